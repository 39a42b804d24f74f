"""What a style is: the cells of a small notebook, one of them the run cell."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Style:
    """A notebook that logs by hand.

    Attributes
    ----------
    name : str
        Of the test.
    before, after : tuple of str
        Plain cells around the run cell. Runs that they open are named ``earlier…`` and ``later…``.
    cell : str
        The run cell, without its first line.
    more : int or None
        How many runs the tracked store has beyond the bare one's: 1 where the cell opens several runs, whose parent
        is the cell's run; None where the design does not say.
    ends : str
        The status of the cell's run, where the design asks for another than the bare cell's.
    fails : bool
        Whether the run cell raises.
    keeps : tuple of str
        Keys that the author logs in runs of their own, and that the cell comes to itself as well.
    files : dict of str to str
        Beside the notebook: modules and scripts.
    """

    name: str
    before: tuple[str, ...]
    cell: str
    after: tuple[str, ...]
    more: int | None = 0
    ends: str = ""
    fails: bool = False
    keeps: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)


def style(name: str, text: str, **options: object) -> Style:
    """A style written as one text: cells begin with ``# %%``, the run cell with ``# %% run``."""
    before: list[str] = []
    after: list[str] = []
    cell = ""
    for mark, body in re.findall(r"^# %%(.*)\n((?:(?!# %%).*\n?)*)", "# %%\n" + text.strip() + "\n", re.MULTILINE):
        if mark.strip() == "run":
            cell = body.rstrip() + "\n"
        elif body.strip():
            (after if cell else before).append(body)
    assert cell, f"{name} has no run cell"
    return Style(name, tuple(before), cell, tuple(after), **options)  # type: ignore[arg-type]
