from __future__ import annotations

from dataclasses import replace

import pytest

from mlflow_magics.display.markup.block import Block
from mlflow_magics.display.outputs import tables
from tests.display import samples
from tests.display.page import Page, fits

CHECK = """\
✗ connection check · 1 of 6 steps failed
  ✓ ok              name            mlflow.example.com is 203.0.113.7
  ✓ ok              port            443 answers in 21 ms
  ✗ failed          TLS             self-signed certificate in the chain
  · not reached     authentication
  · not reached     version
  · not applicable  artifact write  artifacts go through the server
  hint     TLS: set REQUESTS_CA_BUNDLE to your company's CA"""

AUTOLOG = """\
autolog · on for 1 of 4 integrations
  integration  autolog  package             tested with    logs
  sklearn      ● on     scikit-learn 1.7.2  1.4.0 - 1.8.1  params, training
                                                           metrics, model
  xgboost      ○ off    xgboost 3.1.0       2.0.0 - 3.2.0  params, metrics per
                                                           iteration, feature
                                                           importance
  not installed lightgbm (lightgbm 4.2.0 - 4.6.0), paddle (paddlepaddle)
  note     xgboost takes no --log-datasets"""

LOCAL = """\
✓ connected to sqlite:///mlflow.db (the local default)
  experiment diabetes · as alice · mlflow 3.17.2
  note     experiment 'diabetes' is new
  note     ./mlruns holds runs of an older MLflow: `mlflow migrate-filestore`"""

REMOTE = """\
✓ connected to https://***@mlflow.example.com (MLFLOW_TRACKING_URI)
  experiment churn · as alice · mlflow 2.22.5
  https://mlflow.example.com/#/experiments/42"""

OPEN = [("forest", samples.RUN_ID, samples.RUN_URL), ("fold 1", "abc", "")]
STATUS = f"""\
{REMOTE}
  open run forest ({samples.RUN_ID})
  {samples.RUN_URL}
  open run fold 1 (abc)"""

NOTHING = """\
not connected: %mlflow_connect connects, and so does the first %%mlflow_run
  open run none; %%mlflow_run opens one for a cell, %mlflow_start for several"""

BLOCKS = {
    "check": (tables.check(samples.STEPS), CHECK),
    "autolog": (tables.integrations(samples.INTEGRATIONS, ["xgboost takes no --log-datasets"]), AUTOLOG),
    "local": (tables.connection(samples.LOCAL), LOCAL),
    "remote": (tables.connection(samples.REMOTE), REMOTE),
    "status": (tables.status(samples.REMOTE, OPEN), STATUS),
    "nothing": (tables.status(None, []), NOTHING),
    "notes": (tables.notes(["logged accuracy = 0.79", "autolog is off"]), "logged accuracy = 0.79\nautolog is off"),
}


@pytest.mark.parametrize(("block", "text"), BLOCKS.values(), ids=BLOCKS)
def test_text(block: Block, text: str) -> None:
    assert block.text == text
    assert fits(block.text) == []


@pytest.mark.parametrize(("block", "text"), BLOCKS.values(), ids=BLOCKS)
def test_html_says_what_the_text_says(block: Block, text: str) -> None:
    words = Page(block.html).words
    hrefs = [link["href"] for link in Page(block.html).all("a")]
    for word in text.replace("(", " ").replace(")", " ").replace(",", " ").replace(";", " ").split():
        assert word in words or word in hrefs, word


@pytest.mark.parametrize("block", [tables.connection(samples.REMOTE), tables.status(samples.REMOTE, [])])
def test_credentials_are_not_looked_at(block: Block) -> None:
    assert "hunter2" not in block.text + block.html


def test_a_check_without_failure_says_so_and_gives_no_hint() -> None:
    block = tables.check([step for step in samples.STEPS if step.result != "failed"])
    assert block.text.startswith("✓ connection check · nothing failed\n")
    assert "hint" not in block.text + block.html


def test_what_is_not_installed_is_folded_unless_it_is_all_there_is() -> None:
    some = Page(tables.integrations(samples.INTEGRATIONS).html)
    assert [tag.get("open") for tag in some.all("details")] == [None]
    none = tables.integrations([replace(row, installed="") for row in samples.INTEGRATIONS])
    assert [tag.get("open") for tag in Page(none.html).all("details")] == ["open"]
    assert none.text.startswith("autolog · on for 1 of 4 integrations\n  not installed sklearn (scikit-learn")


def test_nothing_at_all_to_show() -> None:
    assert tables.integrations([]).text == "autolog · on for 0 of 0 integrations"
    assert tables.check([]).text == "✓ connection check · nothing failed"
    assert tables.notes([]).text == ""
    for block in (tables.integrations([]), tables.check([]), tables.notes([])):
        Page(block.html)


def test_a_page_that_jupyter_passes_on():
    found = tables.page("the pages", "http://127.0.0.1:5000/", "started", "/user/me/proxy/5000/")
    assert 'href="/user/me/proxy/5000/"' in found.html
    assert 'href="http://127.0.0.1:5000/"' in found.html
    assert "/user/me/proxy/5000/ at Jupyter's own address" in found.text
    for path in ("//evil.example.com/", "javascript:alert(1)", "/a b", "/<b>"):
        assert f'href="{path}' not in tables.page("the pages", "http://127.0.0.1:5000/", "", path).html
