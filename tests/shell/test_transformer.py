"""``%%mlflow_run`` becomes a line magic on the same line; the rest of the cell stays what it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from mlflow_magics.shell.cell.transformer import rewrite


def transform(cell):
    manager = TransformerManager()
    manager.cleanup_transforms.append(rewrite)
    return manager.transform_cell(cell)


def test_the_body_keeps_its_lines():
    assert transform("%%mlflow_run a -e b\nx = 1\n\ny = 2\n").splitlines() == [
        "get_ipython().run_line_magic('mlflow_run', 'a -e b')",
        "x = 1",
        "",
        "y = 2",
    ]


def test_a_body_indented_as_a_whole_is_dedented_like_a_bare_cell():
    body = "    x = 1\n    if x:\n        y = 2\n"
    assert transform("%%mlflow_run\n" + body).split("\n", 1)[1] == transform(body)


def test_a_second_cell_magic_takes_the_rest():
    lines = transform("%%mlflow_run\n%%time\nx = 1\n").splitlines()
    assert lines[1] == "get_ipython().run_cell_magic('time', '', 'x = 1\\n')"


def test_shell_and_line_magics_in_the_body_work():
    lines = transform("%%mlflow_run\n!ls\n%pwd\nfiles = !ls\n").splitlines()
    assert lines[1:] == [
        "get_ipython().system('ls')",
        "get_ipython().run_line_magic('pwd', '')",
        "files = get_ipython().getoutput('ls')",
    ]


def test_comments_above_the_magic_are_allowed():
    lines = transform("# train\n\n%%mlflow_run a\nx = 1\n").splitlines()
    assert lines[0] == "# train"
    assert lines[2:] == ["get_ipython().run_line_magic('mlflow_run', 'a')", "x = 1"]


@pytest.mark.parametrize(
    "cell", ["", "\n", "x = 1\n", "%%time\nx\n", "%%mlflow_runs\nx\n", "s = '''\n%%mlflow_run\n'''\n"]
)
def test_other_cells_are_untouched(cell):
    lines = cell.splitlines(keepends=True)
    assert rewrite(list(lines)) == lines


def test_a_terminal_waits_for_the_body():
    manager = TransformerManager()
    manager.cleanup_transforms.append(rewrite)
    assert manager.check_complete("%%mlflow_run a")[0] == "incomplete"
    assert manager.check_complete("%%mlflow_run a\nx = 1\n\n")[0] == "complete"


bodies = st.lists(st.sampled_from(["x = 1", "", "# c", "for i in y:", "    pass", "%time z", "'''", "@d"]), max_size=8)


@given(bodies, st.text(alphabet="ab -=\"'{}$", max_size=12))
def test_the_transformer_is_stateless_and_keeps_the_line_count(body, arguments):
    lines = [line + "\n" for line in ["%%mlflow_run " + arguments.replace("\n", ""), *body]]
    once = rewrite(list(lines))
    assert once == rewrite(list(lines))
    assert len(once) == len(lines)
    assert once[0] == lines[0][1:]
