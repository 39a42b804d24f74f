"""Outcomes as real cells give them, for the golden tests and for looking at."""

from __future__ import annotations

from mlflow_magics.vocabulary.records import Metric, Outcome, Param, Skipped
from mlflow_magics.vocabulary.stores import CheckStep, Connection, Integration

RUN_ID = "3f2a9c1b7d5e4f60a8b9c0d1e2f30415"
EXPERIMENT_URL = "http://127.0.0.1:5000/#/experiments/42"
RUN_URL = f"{EXPERIMENT_URL}/runs/{RUN_ID}"
READ = "read, defined in an earlier cell"
LITERAL = "written from a literal"
CALL = "computed by a call"

QUICK = Outcome(
    run_id=RUN_ID,
    run_name="logistic",
    experiment_name="diabetes",
    status="FINISHED",
    duration=0.8123,
    where="sqlite:///mlflow.db",
    params=(Param("reg", "0.1", LITERAL), Param("solver", "liblinear", LITERAL)),
    metrics=(Metric("accuracy", 0.7912345678, CALL), Metric("n_iter", 17.0, CALL)),
    previous={"accuracy": 0.774, "n_iter": 17.0},
    skipped=(
        Skipped("epoch", "a loop variable", "--metrics epoch"),
        Skipped("X_train", "data (DataFrame)"),
        Skipped("api_key", "a secret"),
    ),
    artifacts=("cell.py", "figures/roc.png"),
    models=("model",),
)

SERVER = Outcome(
    run_id=RUN_ID,
    run_name="boosted trees, wide",
    experiment_name="churn / Kündigungen",
    status="FINISHED",
    duration=72.4,
    run_url=RUN_URL,
    experiment_url=EXPERIMENT_URL,
    params=(
        Param("cfg.optimizer.name", "adam", READ),
        Param("cfg.optimizer.lr", "0.0003", READ),
        Param("cfg.model.encoder.layers.0.attention.dropout", "0.1", READ),
        Param("prompt", "Classify the following customer message into exactly one category: " * 3, LITERAL),
        Param("path", "/data/" + "x" * 90 + "/train.parquet", LITERAL),
        Param("名前", "日本語の値", LITERAL),
    ),
    metrics=(
        Metric("accuracy", 0.947368, CALL),
        Metric("loss", 1.2e-05, CALL),
        Metric("report.weighted avg.f1-score", 0.91, CALL),
        Metric("tokens", 1234567.0, CALL),
        Metric("perplexity", float("nan"), CALL),
        Metric("bound", float("inf"), CALL),
        Metric("seconds", 61.25, CALL),
    ),
    previous={"accuracy": 0.93, "loss": 2.5e-05, "tokens": 1200000.0, "perplexity": 12.5,
              "bound": float("inf"), "seconds": 61.25},
    auto_params={"n_estimators": "100", "max_depth": "None", "eta": "0.3"},
    auto_metrics={"training_score": 0.99, "validation-logloss": 0.21},
    artifacts=("cell.py", *(f"figures/figure_{n}.png" for n in range(1, 14))),
    models=("model", "calibrated"),
    skipped=tuple(Skipped(f"column_{n}", "data (Series)") for n in range(20)),
    notes=(
        "metric 'f1@k' is logged as 'f1_k': MLflow allows no '@' in names",
        "param 'lr' was 0.1 and cannot become 0.2; the first value is kept",
    ),
)  # fmt: skip

FAILED = Outcome(
    run_id=RUN_ID,
    run_name="forest",
    experiment_name="Default",
    status="FAILED",
    duration=3671.0,
    where="sqlite:///mlflow.db",
    params=(Param("depth", "12", LITERAL),),
    artifacts=("cell.py", "traceback.txt"),
    error="ValueError: Found input variables with inconsistent numbers of samples: [353, 89]",
)

KILLED = Outcome(
    run_id=RUN_ID,
    run_name="long",
    experiment_name="Default",
    status="KILLED",
    duration=14.2,
    run_url=RUN_URL,
    metrics=(Metric("loss", 0.4, CALL),),
    error="KeyboardInterrupt",
)

DRY = Outcome(
    run_id="",
    run_name="logistic",
    experiment_name="diabetes",
    status="FINISHED",
    duration=0.05,
    params=(Param("reg", "0.1", LITERAL),),
    metrics=(Metric("accuracy", 0.79, CALL),),
    dry_run=True,
)

MANY = Outcome(
    run_id=RUN_ID,
    run_name="sweep",
    experiment_name="diabetes",
    status="FINISHED",
    duration=9.99,
    where="sqlite:///mlflow.db",
    params=tuple(Param(f"cfg.param_{n}", str(n / 7), READ) for n in range(100)),
    metrics=tuple(Metric(f"metric_{n}", n / 3, CALL) for n in range(400)),
    previous={f"metric_{n}": n / 3.1 for n in range(400)},
)

AUTO = Outcome(
    run_id=RUN_ID,
    run_name="autologged",
    experiment_name="diabetes",
    status="FINISHED",
    duration=2.5,
    where="sqlite:///mlflow.db",
    auto_params={"C": "1.0", "penalty": "l2"},
    auto_metrics={"training_accuracy_score": 0.98},
    models=("model",),
)

RUNS = {
    "quick": QUICK,
    "server": SERVER,
    "failed": FAILED,
    "killed": KILLED,
    "dry": DRY,
    "many": MANY,
    "auto": AUTO,
}

LOCAL = Connection(
    uri="sqlite:///mlflow.db",
    where="sqlite:///mlflow.db",
    user="alice",
    origin="the local default",
    experiment_id="1",
    experiment_name="diabetes",
    experiment_url="",
    mlflow_version="3.17.2",
    notes=(
        "experiment 'diabetes' is new",
        "./mlruns holds runs of an older MLflow: `mlflow migrate-filestore`",
    ),
)

REMOTE = Connection(
    uri="https://alice:hunter2@mlflow.example.com",
    where="https://***@mlflow.example.com",
    user="alice",
    origin="MLFLOW_TRACKING_URI",
    experiment_id="42",
    experiment_name="churn",
    experiment_url="https://***@mlflow.example.com/#/experiments/42",
    mlflow_version="2.22.5",
)

STEPS = (
    CheckStep("name", "ok", "mlflow.example.com is 203.0.113.7"),
    CheckStep("port", "ok", "443 answers in 21 ms"),
    CheckStep("TLS", "failed", "self-signed certificate in the chain", "set REQUESTS_CA_BUNDLE to your company's CA"),
    CheckStep("authentication", "not reached", ""),
    CheckStep("version", "not reached", ""),
    CheckStep("artifact write", "not applicable", "artifacts go through the server"),
)

BOOSTING = "params, metrics per iteration, feature importance"
INTEGRATIONS = (
    Integration("sklearn", "scikit-learn", "1.7.2", True, "params, training metrics, model", "1.4.0 - 1.8.1"),
    Integration("xgboost", "xgboost", "3.1.0", False, BOOSTING, "2.0.0 - 3.2.0"),
    Integration("lightgbm", "lightgbm", "", False, BOOSTING, "4.2.0 - 4.6.0"),
    Integration("paddle", "paddlepaddle", "", False, "params, metrics", ""),
)
