"""Values that look like params or metrics and are neither, each beside one that is alike and must stay."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from .cells import capture, execute, fresh, metrics, params, skipped

EARLIER = """
import math, random
import numpy as np, pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.tree import DecisionTreeClassifier
rng = np.random.default_rng(0)
X, y = load_breast_cancer(return_X_y=True)
df = pd.DataFrame({"a": [1, 2, 2], "b": [4, 5, 6]})
def train(*args, **kwargs): return 0.25
def score(*args, **kwargs): return 0.75
class Trial:
    number, params = 0, {"depth": 3}
    def suggest_float(self, name, low, high, log=False): return low
    def suggest_int(self, name, low, high): return low
    def suggest_categorical(self, name, choices): return choices[0]
Trial.__module__ = "optuna.trial"
class Study:
    best_trial, best_params, best_value = Trial(), {"depth": 3}, 0.9
    def ask(self): return Trial()
    def tell(self, trial, value): pass
def fmin(**kwargs): return {"max_depth": 3.0, "lr": 0.1}
fmin.__module__ = "hyperopt.fmin"
"""


@dataclass(frozen=True)
class Cell:
    about: str
    code: str
    params: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    earlier: tuple[str, ...] = ()


DRAWN = "a setting drawn at random"
TOLD = "a result of an earlier cell, only compared or printed here"
TREE = "m = DecisionTreeClassifier(max_depth=depth).fit(X, y)\nacc = m.score(X, y)"

CELLS = [
    # -- settings drawn at random
    Cell("a drawn setting", "depth = int(rng.integers(2, 8))\n" + TREE, {"depth"}, {"acc"}),
    Cell(
        "drawn settings in a loop",
        "for i in range(5):\n    min_decrease = 10 ** rng.uniform(-4, -1)\n    depth = int(rng.integers(2, 8))\n"
        "    m = DecisionTreeClassifier(max_depth=depth, min_impurity_decrease=min_decrease).fit(X, y)\n"
        "    acc = m.score(X, y)",
        set(),
        {"acc"},
        {"min_decrease": DRAWN, "depth": DRAWN, "i": "a loop variable"},
    ),
    Cell(
        "a choice of the standard library", "opt = random.choice(['sgd', 'adam'])\nloss = train(opt)", {"opt"}, {"loss"}
    ),
    Cell(
        "choices, imported bare",
        "from random import choice, uniform\nlr = uniform(0, 1)\nopt = choice(['a', 'b'])\nloss = train(lr, opt=opt)",
        {"lr", "opt"},
        {"loss"},
    ),
    Cell("numpy's old way", "lr = np.random.uniform(0, 1)\nloss = train(lr=round(lr, 3))", {"lr"}, {"loss"}),
    Cell(
        "through exp and a conversion",
        "alpha = float(np.exp(rng.uniform(-4, 0)))\nn = int(round(rng.normal(10, 1)))\nloss = train(alpha, n)",
        {"alpha", "n"},
        {"loss"},
    ),
    Cell(
        "a generator made in place", "lr = np.random.default_rng(1).uniform(0, 1)\nloss = train(lr)", {"lr"}, {"loss"}
    ),
    Cell(
        "scipy's distributions",
        "from scipy import stats\nlr = stats.loguniform(1e-4, 1e-1).rvs(random_state=0)\nloss = train(lr)",
        {"lr"},
        {"loss"},
    ),
    Cell(
        "a dict of drawn settings",
        "cfg = {'lr': 10 ** rng.uniform(-4, -1), 'depth': int(rng.integers(2, 8)), 'seed': 0}\nloss = train(**cfg)",
        {"cfg.lr", "cfg.depth", "cfg.seed"},
        {"loss"},
    ),
    Cell(
        "a dict of drawn settings in a loop; the best of them",
        "best, best_cfg = 0, None\nfor _ in range(4):\n"
        "    cfg = {'lr': rng.uniform(0, 1), 'opt': random.choice(['a', 'b'])}\n"
        "    acc = score(**cfg)\n    if acc > best:\n        best, best_cfg = acc, cfg",
        {"best_cfg.lr", "best_cfg.opt"},
        {"best", "acc"},
        {"cfg.lr": DRAWN, "cfg.opt": DRAWN},
    ),
    Cell(
        "the best drawn setting",
        "best = 0\nfor _ in range(4):\n    lr = rng.uniform(0, 1)\n    acc = score(lr)\n    if acc > best:\n"
        "        best = acc\n        best_lr = lr",
        {"best_lr"},
        {"best", "acc"},
        {"lr": DRAWN},
    ),
    Cell(
        "drawn settings for a later cell",
        "seed = random.randint(0, 99)\nlr = 10 ** rng.uniform(-4, -1)\nopt = rng.choice(['sgd', 'adam'])",
        {"seed", "lr", "opt"},
    ),
    Cell(
        "what Optuna suggests",
        "study = Study()\ntrial = study.ask()\nlr = trial.suggest_float('lr', 1e-4, 1e-1, log=True)\n"
        "kind = trial.suggest_categorical('kind', ['a', 'b'])\nacc = score(lr, kind)\nstudy.tell(trial, acc)",
        {"lr", "kind"},
        {"acc"},
    ),
    Cell(
        "what Optuna suggests, in a loop",
        "study = Study()\nfor _ in range(3):\n    trial = study.ask()\n    lr = trial.suggest_float('lr', 0.1, 1)\n"
        "    acc = score(lr)\n    study.tell(trial, acc)",
        set(),
        {"acc"},
        {"lr": DRAWN},
    ),
    Cell(
        "sampled by scikit-learn",
        "from sklearn.model_selection import ParameterSampler\n"
        "for p in ParameterSampler({'lr': [0.1, 0.2]}, n_iter=2, random_state=0):\n    lr = p['lr']\n"
        "    acc = score(lr)",
        {"param_distributions.lr", "n_iter", "random_state"},
        {"acc"},
        {"lr": DRAWN},
    ),
    Cell(
        "configurações sorteadas",
        "profundidade = int(rng.integers(2, 8))\ntaxa = 10 ** np.random.uniform(-4, -1)\n"
        "acurácia = score(profundidade, taxa=taxa)",
        {"profundidade", "taxa"},
        {"acurácia"},
    ),
    Cell(
        "sorteios em um laço",
        "for rodada in range(3):\n    taxa = random.uniform(0.01, 0.1)\n    perda = train(taxa)",
        set(),
        {"perda"},
        {"taxa": DRAWN, "rodada": "a loop variable"},
    ),
    Cell(
        "a seed that is drawn", "seed = np.random.randint(99)\nnp.random.seed(seed)\nloss = train()", {"seed"}, {"loss"}
    ),
    Cell(
        "a setting that is saved", "import io, pickle\nopt = 'adam'\npickle.dump({'opt': opt}, io.BytesIO())", {"opt"}
    ),
    # -- ... and random numbers that are results, or nothing
    Cell(
        "Monte Carlo",
        "n, hits = 50, 0\nfor _ in range(n):\n    x, y_ = random.random(), random.random()\n"
        "    if x * x + y_ * y_ <= 1:\n        hits += 1\nestimate = 4 * hits / n",
        {"n"},
        {"estimate"},
        {"x": "drawn at random", "y_": "drawn at random", "hits": "a counter"},
    ),
    Cell("a random walk", "at = 0\nfor _ in range(9):\n    at += rng.choice([-1, 1])", set(), {"at"}),
    Cell(
        "a made-up loss",
        "for epoch in range(3):\n    loss = 1 / (epoch + 1) + 0.01 * rng.random()\n    print(loss)",
        set(),
        {"loss"},
    ),
    Cell("a made-up score", "acc = 0.8 + 0.01 * rng.random()\nprint(acc)", set(), {"acc"}),
    Cell(
        "the mean of a sample",
        "mean = rng.normal(size=20).mean()\nspread = np.std(rng.normal(size=9))",
        set(),
        {"mean", "spread"},
    ),
    Cell(
        "a bootstrap",
        "for _ in range(3):\n    sample = rng.choice(y, size=20)\n    share = sample.mean()",
        set(),
        {"share"},
    ),
    Cell(
        "data that was drawn",
        "Z = rng.normal(size=(20, 2))\nfirst = train(Z)\nbias = Z[0, 0] * 2",
        set(),
        {"first", "bias"},
    ),
    Cell(
        "a row picked at random",
        "i = rng.integers(0, len(X))\nrow = X[i]\np = score(row)",
        set(),
        {"p"},
        {"i": "drawn at random"},
    ),
    Cell("the sum of draws", "total = sum(rng.random(5))", set(), {"total"}),
    # -- what searches found
    Cell(
        "hyperopt's answer",
        "best = fmin(fn=train, max_evals=3)\nm = DecisionTreeClassifier(max_depth=int(best['max_depth'])).fit(X, y)\n"
        "acc = m.score(X, y)",
        {"best.max_depth", "best.lr", "max_evals"},
        {"acc"},
    ),
    Cell(
        "hyperopt's answer, unpacked",
        "best = fmin(fn=train, max_evals=3)\ndepth = int(best['max_depth'])\n" + TREE,
        {"best.max_depth", "best.lr", "depth", "max_evals"},
        {"acc"},
    ),
    Cell(
        "Optuna's answer",
        "study = Study()\nbest = study.best_params\nd = study.best_trial.params['depth']\nacc = score(best)\n"
        "top = study.best_value",
        {"best.depth", "d"},
        {"acc", "top"},
    ),
    Cell("um `fmin` do autor é resultado", "melhor = fmin(1)", set(), {"melhor"}, {}, ("def fmin(x): return 0.3",)),
    # -- sizes
    Cell(
        "sizes of data",
        "n_features = X.shape[1]\nn_classes = len(np.unique(y))\nn_train = len(X[:400])\ndepth = 3\n" + TREE,
        {"depth"},
        {"acc"},
        dict.fromkeys(("n_features", "n_classes", "n_train"), "a size"),
    ),
    Cell(
        "more sizes",
        "rows, cols = df.shape\nn = df.size\nk = df.a.nunique()\nd = X.ndim\nc = np.unique(y).size\n"
        "w = max(len(str(v)) for v in X)",
        skipped=dict.fromkeys(("rows", "cols", "n", "k", "d", "c", "w"), "a size"),
    ),
    Cell(
        "tamanhos",
        "n_linhas = df.shape[0]\nn_classes = df['a'].nunique()\nn_treino = int(len(X) * 0.8)\n"
        "lotes = math.ceil(n_treino / 32)",
        skipped=dict.fromkeys(("n_linhas", "n_classes", "n_treino", "lotes"), "a size"),
    ),
    Cell(
        "a size from a root",
        "k = int(np.sqrt(X.shape[1]))\nhalf = X.shape[0] // 2",
        skipped={"k": "a size", "half": "a size"},
    ),
    Cell(
        "a share is a result",
        "wrong = X[:40]\nshare = len(wrong) / len(X)\npct = 100 * len(wrong) / len(X)",
        set(),
        {"share", "pct"},
    ),
    Cell(
        "a mean over a size is a result",
        "total = 0.0\nfor v in X[:4]:\n    total += train(v)\nmean = total / X.shape[0]",
        set(),
        {"total", "mean"},
    ),
    Cell(
        "counts that are results",
        "wrong = (y != 1).sum()\nmissing = df.isna().sum().sum()",
        set(),
        {"wrong", "missing"},
    ),
    Cell("a size of what is given", "layers = (64, 32)\ndepth = len(layers)\n" + TREE, {"layers", "depth"}, {"acc"}),
    Cell("rows seen", "seen = 0\nfor part in np.array_split(X, 3):\n    seen += len(part)", skipped={"seen": "a size"}),
    # -- places
    Cell(
        "the best index and what stands there",
        "f1s = np.array([score(t) for t in range(3)])\nbest_idx = f1s.argmax()\nbest_f1 = f1s[best_idx]\n"
        "ks = [1, 3, 5]\nbest_k = ks[best_idx]",
        {"ks"},
        {"best_f1", "best_k"},
        {"best_idx": "an index"},
    ),
    Cell(
        "more indices",
        "errs = [score(k) for k in range(3)]\ni = errs.index(min(errs))\nj = int(np.argmin(errs)) + 1\n"
        "k = df['b'].idxmax()\nlast = np.argsort(errs)[-1]",
        skipped=dict.fromkeys(("i", "j", "k", "last"), "an index"),
    ),
    Cell(
        "melhor época",
        "perdas = [score(e) for e in range(3)]\nmelhor_epoca = np.argmin(perdas)\nmenor = min(perdas)",
        set(),
        {"menor"},
        {"melhor_epoca": "an index"},
    ),
    Cell("a frequency made of an index", "peak = np.argmax(X[:, 0]) * 0.5", set(), {"peak"}),
    Cell("right answers", "correct = (X[:5].argmax(axis=1) == 3).sum()\nacc = correct / 5", set(), {"correct", "acc"}),
    Cell(
        "the best place of all",
        "s = [score(k) for k in range(3)]\nbest = max(range(len(s)), key=s.__getitem__)\ntop = s[best]",
        set(),
        {"top"},
        {"best": "an index"},
    ),
    # -- imported constants
    Cell(
        "a constant, imported here",
        "from math import pi\narea = 2 * pi",
        {"area"},
        set(),
        {"pi": "imported from a library"},
    ),
    Cell(
        "constants, imported earlier",
        "radius = 2.0\ndef objective(r): return {'loss': pi * r ** 2, 'status': CRITICAL}\n"
        "loss = objective(radius)['loss']",
        {"radius"},
        {"loss"},
        {"pi": "imported from a library", "CRITICAL": "imported from a library"},
        ("from math import pi", "from logging import CRITICAL\nx = 1"),
    ),
    Cell("bound again since", "loss = train(pi)", {"pi"}, {"loss"}, {}, ("from math import pi", "pi = 3.0")),
    Cell("a module's constant is still an input", "import math\ntau = 2 * math.pi", {"tau"}),
    Cell(
        "settings of the author's own module",
        "loss = train(LR)",
        {"LR"},
        {"loss"},
        {},
        (
            "import sys, types\nm = types.ModuleType('own_settings_zz')\n"
            "m.LR, m.__file__ = 0.1, '/home/me/own_settings_zz.py'\n"
            "sys.modules['own_settings_zz'] = m",
            "from own_settings_zz import LR",
        ),
    ),
    # -- results of earlier cells
    Cell(
        "a baseline that is printed",
        "new_f1 = f1_score(y, y)\nprint(f'F1 {new_f1:.3f} (baseline {baseline_f1:.3f})')",
        set(),
        {"new_f1"},
        {"baseline_f1": TOLD},
        ("baseline_f1 = score()",),
    ),
    Cell(
        "a baseline that is compared",
        "new = f1_score(y, y)\nif new > baseline:\n    verdict = 'better'\nassert baseline < 2",
        {"verdict"},
        {"new"},
        {"baseline": TOLD},
        ("baseline = score()",),
    ),
    Cell(
        "a difference that is printed",
        "new = f1_score(y, y)\nprint('gain: %.3f' % (new - baseline), round(baseline, 2), '{:.2f}'.format(baseline))",
        set(),
        {"new"},
        {"baseline": TOLD},
        ("baseline = score()",),
    ),
    Cell(
        "acurácia anterior",
        "nova = score()\nlogger.info('antes: %s', anterior)\nplt.axhline(anterior)",
        set(),
        {"nova"},
        {"anterior": TOLD},
        (
            "import logging\nlogger = logging.getLogger('x')\nfrom unittest.mock import MagicMock\n"
            "plt = MagicMock()\nanterior = score()",
        ),
    ),
    Cell(
        "how many were right, printed",
        "new = score()\nprint(n_right)",
        set(),
        {"new"},
        {"n_right": TOLD},
        ("n_right = (y == 1).sum()",),
    ),
    Cell(
        "earlier results in a dict",
        "new = score()\nprint(old['f1'])",
        set(),
        {"new"},
        {"old.f1": TOLD},
        ("old = {'f1': score()}",),
    ),
    Cell(
        "a tolerance is a setting",
        "loss = 1.0\nwhile loss > tol:\n    loss *= train()",
        {"tol"},
        {"loss"},
        {},
        ("tol = 0.1",),
    ),
    Cell(
        "a result that goes on",
        "gain = score() - baseline\nloss = train(best)",
        {"baseline", "best"},
        {"gain", "loss"},
        {},
        ("baseline = score()", "best = score()"),
    ),
    Cell(
        "a setting that is printed",
        "print('epochs:', epochs, name)\nloss = train()",
        {"epochs", "name"},
        {"loss"},
        {},
        ("epochs, name = 3, 'rf'",),
    ),
    Cell(
        "printed, and read by a function",
        "print('lr', lr)\nloss = fit()",
        {"lr"},
        {"loss"},
        {},
        ("lr = 0.1\ndef inner(): return [train(lr) for _ in range(1)][0]\ndef fit(): return inner()",),
    ),
    Cell(
        "a literal that is only printed",
        "print(target)",
        skipped={"target": "only printed here"},
        earlier=("target = 0.9",),
    ),
    Cell("a literal threshold", "ok = score() > threshold", {"threshold"}, set(), {}, ("threshold = 0.5",)),
    # -- paths
    Cell(
        "a report's path",
        'report_path = "report.txt"\nacc = score()',
        set(),
        {"acc"},
        {"report_path": "a path that is written to"},
    ),
    Cell(
        "written to",
        "import os, tempfile\nwhere = 'results'\nif not os.path.exists(where):\n    pass\n"
        "target = os.path.join(where, 'a.csv')\n"
        "try:\n    df.to_csv(target)\nexcept OSError:\n    print(target)",
        skipped={"where": "a path that is written to", "target": "a path that is written to"},
    ),
    Cell(
        "a file that is opened",
        "out = tmp\nwith open(out, 'w') as f:\n    f.write('x')",
        skipped={"out": "a path that is written to"},
        earlier=("import os\ntmp = os.devnull",),
    ),
    Cell(
        "caminhos",
        "caminho_relatorio = 'relatorio.txt'\npasta_saida = 'saida'\ncaminho_dados = 'dados.csv'\nacc = score()",
        {"caminho_dados"},
        {"acc"},
        {"caminho_relatorio": "a path that is written to", "pasta_saida": "a path that is written to"},
    ),
    Cell(
        "a path that is read",
        "data_path = 'a/train.csv'\nmodel_path = 'b.pkl'\nacc = train(model_path)",
        {"data_path", "model_path"},
        {"acc"},
    ),
    # -- lists of names and labels
    Cell(
        "columns",
        "exclusions = ['id', 'target'] + ['x']\nfeatures = ['a', 'b']\nloss = train(df[features])",
        set(),
        {"loss"},
        {"exclusions": "a list of names", "features": "a list of names"},
    ),
    Cell(
        "labels",
        "labels = ['no', 'yes']\ny_true = [0, 1, 1]\npred = [0, 1, 0]\nacc = accuracy_score(y_true, pred)",
        set(),
        {"acc"},
        {"labels": "a list of names", "y_true": "a list of labels", "pred": "a list of labels"},
    ),
    Cell(
        "colunas e rótulos",
        "colunas = ['idade', 'renda']\nrotulos = [0, 1]\nacc = score()",
        set(),
        {"acc"},
        {"colunas": "a list of names", "rotulos": "a list of labels"},
    ),
    Cell(
        "classes in a tuple",
        "classes = ('cat', 'dog')\nstages = ('fit', 'test')\nacc = score()",
        {"stages"},
        {"acc"},
        {"classes": "a list of names"},
    ),
    Cell(
        "lists that are settings",
        "sizes = [64, 32]\nbetas = (0.9, 0.999)\nloss = train(sizes, betas=betas)",
        {"sizes", "betas"},
        {"loss"},
    ),
    Cell(
        "choices in a grid",
        "grid = {'kernel': ['rbf', 'linear'], 'C': [0.1, 1]}\nloss = train(grid)",
        {"grid.kernel", "grid.C"},
        {"loss"},
    ),
]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.about)
def test_cell(cell: Cell, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace = fresh(EARLIER)
    for number, earlier in enumerate(cell.earlier):
        execute(earlier, namespace, f"<before {number}>")
    captured = capture(cell.code, namespace, history=[EARLIER, *cell.earlier])

    assert set(params(captured)) == cell.params
    assert set(metrics(captured)) == cell.metrics
    reasons = skipped(captured)
    assert {name: reasons.get(name) for name in cell.skipped} == cell.skipped
    assert not captured.notes


def test_there_are_enough_cells() -> None:
    assert len(CELLS) >= 60
