from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_magics.display.markup.words import clean
from mlflow_magics.display.outputs import summary
from mlflow_magics.vocabulary.records import Metric, Outcome, Param, Skipped
from tests.display import samples
from tests.display.page import Page, fits

TEXTS = {
    "quick": """\
✓ logistic · finished in 0.8 s · experiment diabetes
  run      3f2a9c1b7d5e4f60a8b9c0d1e2f30415 in sqlite:///mlflow.db
  params   reg     0.1
           solver  liblinear
  metrics  accuracy  0.791235  ▲ +0.0172
           n_iter    17        =
  files    cell.py, figures/roc.png
  models   model
  why      written from a literal: reg, solver; computed by a call: accuracy,
           n_iter
  skipped  epoch (a loop variable; --metrics epoch), X_train (data (DataFrame)),
           api_key (a secret)""",
    "server": """\
✓ boosted trees, wide · finished in 1 min 12 s · experiment churn /
  Kündigungen
  http://127.0.0.1:5000/#/experiments/42/runs/3f2a9c1b7d5e4f60a8b9c0d1e2f30415
  params   cfg.optimizer.name                 adam
           cfg.optimizer.lr                   0.0003
           cfg.model.encoder.layers.0.attent  0.1
           ion.dropout
           prompt                             Classify the following customer
                                              message into exactly one category:
                                              Classify the following customer
                                              message into exactly…
           path                               /data/xxxxxxxxxxxxxxxxxxxxxxxxxxxx
                                              xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
                                              xxxxxxxxxxxxxxxxxxxxxxxxxxxx/train
                                              .parquet
           名前                               日本語の値
  metrics  accuracy                      0.947368  ▲ +0.0174
           loss                          1.2e-05   ▼ -1.3e-05
           report.weighted avg.f1-score  0.91
           tokens                        1234567   ▲ +34567
           perplexity                    nan       was 12.5
           bound                         inf       =
           seconds                       61.25     =
  also     3 params: n_estimators=100, max_depth=None, eta=0.3; 2 metrics:
           training_score=0.99, validation-logloss=0.21 (autolog, mlflow.log_*)
  files    cell.py, figures/figure_1.png, figures/figure_2.png,
           figures/figure_3.png, figures/figure_4.png, figures/figure_5.png,
           figures/figure_6.png, figures/figure_7.png and 6 more
  models   model, calibrated
  why      read, defined in an earlier cell: cfg.optimizer.name,
           cfg.optimizer.lr, cfg.model.encoder.layers.0.attention.dropout;
           written from a literal: prompt, path, 名前; computed by a call:
           accuracy, loss, report.weighted avg.f1-score, tokens and 3 more
  skipped  column_0 (data (Series)), column_1 (data (Series)), column_2 (data
           (Series)), column_3 (data (Series)), column_4 (data (Series)),
           column_5 (data (Series)), column_6 (data (Series)), column_7 (data
           (Series)) and 12 more
  note     metric 'f1@k' is logged as 'f1_k': MLflow allows no '@' in names
  note     param 'lr' was 0.1 and cannot become 0.2; the first value is kept""",
    "failed": """\
✗ forest · failed after 1 h 1 min · experiment Default
  run      3f2a9c1b7d5e4f60a8b9c0d1e2f30415 in sqlite:///mlflow.db
  error    ValueError: Found input variables with inconsistent numbers of
           samples: [353, 89]
  params   depth  12
  files    cell.py, traceback.txt
  why      written from a literal: depth""",
    "killed": """\
■ long · killed after 14 s · experiment Default
  http://127.0.0.1:5000/#/experiments/42/runs/3f2a9c1b7d5e4f60a8b9c0d1e2f30415
  error    KeyboardInterrupt
  metrics  loss  0.4
  why      computed by a call: loss""",
    "dry": """\
✓ logistic · finished in 50 ms · experiment diabetes
  note     dry run: nothing was logged
  params   reg  0.1
  metrics  accuracy  0.79
  why      written from a literal: reg; computed by a call: accuracy""",
    "auto": """\
✓ autologged · finished in 2.5 s · experiment diabetes
  run      3f2a9c1b7d5e4f60a8b9c0d1e2f30415 in sqlite:///mlflow.db
  also     2 params: C=1.0, penalty=l2; 1 metric: training_accuracy_score=0.98
           (autolog, mlflow.log_*)
  models   model""",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text(name: str) -> None:
    assert summary.render(samples.RUNS[name]).text == TEXTS[name]


def test_the_smallest_outcome_is_one_line_and_says_that_no_run_was_opened() -> None:
    block = summary.render(Outcome("", "", "", "FINISHED", 0.2))
    assert block.text == "✓ unnamed run · finished in 0.2 s\n  note     no run was opened"
    assert Page(block.html).words == "✓ finished unnamed run in 0.2 s no run was opened"


def test_both_forms_are_given_to_ipython() -> None:
    block = summary.render(samples.QUICK)
    assert block._repr_mimebundle_() == {"text/plain": block.text, "text/html": block.html}


class TestFolding:
    def test_hundreds_of_metrics_are_twelve_and_a_fold(self) -> None:
        block = summary.render(samples.MANY)
        assert "           … and 88 more\n" in block.text
        assert "           … and 388 more\n" in block.text
        assert "metric_11 " in block.text
        assert "metric_12" not in block.text
        visible, folded = _split(block.html)
        assert "metric_11" in visible
        assert "metric_12" not in visible
        assert "metric_12" in folded
        assert "metric_211" in folded
        assert "metric_212" not in folded
        assert "388 more metrics, the first 200 here" in folded
        assert "88 more params" in folded
        assert "cfg.param_99" in folded

    def test_a_block_is_of_bounded_size(self) -> None:
        many = 20_000
        block = summary.render(
            replace(
                samples.MANY,
                params=tuple(Param(f"p{n}", "x" * 10_000, "why" * 1000) for n in range(many)),
                skipped=tuple(Skipped(f"s{n}", "data") for n in range(many)),
                auto_metrics={f"m{n}": 1.5 for n in range(many)},
                artifacts=tuple(f"f{n}" for n in range(many)),
                notes=tuple(f"note {n}" for n in range(many)),
            )
        )
        assert len(block.text) < 20_000
        assert len(block.html) < 1_000_000
        assert "  note     and 19980 more notes" in block.text
        assert "… and 19800 more" in Page(block.html).words

    def test_skipped_names_and_reasons_are_folded(self) -> None:
        visible, folded = _split(summary.render(samples.QUICK).html)
        for word in ("epoch", "a loop variable", "--metrics epoch", "a secret", "written from a literal"):
            assert word not in visible
            assert word in folded

    def test_autologs_share_is_unfolded_where_there_is_nothing_else(self) -> None:
        assert [tag.get("open") for tag in Page(summary.render(samples.AUTO).html).all("details")] == ["open"]
        assert not any("open" in tag for tag in Page(summary.render(samples.SERVER).html).all("details"))


class TestHtml:
    def test_links(self) -> None:
        links = Page(summary.render(samples.SERVER).html).all("a")
        assert [link["href"] for link in links] == [samples.EXPERIMENT_URL, samples.RUN_URL]
        assert all(link["target"] == "_blank" and "noopener" in link["rel"] for link in links)

    def test_no_link_without_a_page(self) -> None:
        assert Page(summary.render(samples.QUICK).html).all("a") == []

    def test_credentials_in_a_link_are_dropped(self) -> None:
        block = summary.render(replace(samples.SERVER, run_url="https://alice:hunter2@mlflow.example.com/r"))
        assert "  https://mlflow.example.com/r\n" in block.text
        assert "hunter2" not in block.text + block.html

    def test_every_row_has_its_name_as_a_header(self) -> None:
        page = Page(summary.render(samples.QUICK).html)
        scopes = [header["scope"] for header in page.all("th")]
        assert scopes.count("row") == len(page.all("tr")) - len(page.all("table"))
        assert set(scopes) == {"row", "col"}

    @pytest.mark.parametrize(("name", "word"), [("quick", "finished"), ("failed", "failed"), ("killed", "killed")])
    def test_status_is_a_word(self, name: str, word: str) -> None:
        assert word in Page(summary.render(samples.RUNS[name]).html).words


def _split(html: str) -> tuple[str, str]:
    """The words that are seen at once, and those in folds."""
    pieces = html.split("<details>")
    folded = [piece.partition("</details>") for piece in pieces[1:]]
    return pieces[0] + "".join(after for _, _, after in folded), "".join(inside for inside, _, _ in folded)


WORDS = st.text(st.characters(), max_size=150) | st.text("ab日本 \n\x1b[31m", max_size=400)
URLS = st.sampled_from(["", samples.RUN_URL, "https://example.com/" + "a" * 300, "javascript:alert(1)"]) | WORDS
FLOATS = st.floats()


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    def few(of: st.SearchStrategy) -> tuple:
        return tuple(draw(st.lists(of, max_size=15)))

    metrics = few(st.builds(Metric, WORDS, FLOATS, WORDS))
    return Outcome(
        run_id=draw(st.sampled_from(["", samples.RUN_ID])),
        run_name=draw(WORDS),
        experiment_name=draw(WORDS),
        status=draw(st.sampled_from(["FINISHED", "FAILED", "KILLED"])),
        duration=draw(FLOATS),
        where=draw(WORDS),
        run_url=draw(URLS),
        experiment_url=draw(URLS),
        params=few(st.builds(Param, WORDS, WORDS, WORDS)),
        metrics=metrics,
        skipped=few(st.builds(Skipped, WORDS, WORDS, WORDS)),
        previous={metric.name: draw(FLOATS) for metric in metrics[::2]},
        auto_params=draw(st.dictionaries(WORDS, WORDS, max_size=10)),
        auto_metrics=draw(st.dictionaries(WORDS, FLOATS, max_size=10)),
        artifacts=few(WORDS),
        models=few(WORDS),
        notes=few(WORDS),
        error=draw(WORDS),
        dry_run=draw(st.booleans()),
    )


@given(outcomes())
def test_any_outcome_fits_and_says_the_same_in_both_forms(outcome: Outcome) -> None:
    block = summary.render(outcome)
    assert fits(block.text) == []
    block.text.encode("utf-8")
    seen, read = _squeeze(block.text), _squeeze(Page(block.html).words)
    for each in (*outcome.params[:12], *outcome.metrics[:12]):
        assert _squeeze(clean(each.name)) in read
    for param in outcome.params[:12]:
        assert _squeeze(clean(param.value)) in read
    # A wrapped cell stands beside other cells, so only what fits one line is looked for in the text.
    for each in (*outcome.params[:12], *outcome.metrics[:12]):
        if len(clean(each.name)) <= 6:
            assert _squeeze(clean(each.name)) in seen


def _squeeze(text: str) -> str:
    return "".join(text.split())
