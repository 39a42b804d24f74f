"""``python -m tests.styles NAME`` runs one style and prints both stores; without a name it lists the styles."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from ..rig.children import Zygote
from .reading import as_text
from .running import compare, make_template, run_both
from .table import STYLES


def main(names: list[str]) -> int:
    """Run the styles named; all of them for ``all``, with their differences only."""
    if not names:
        print(*STYLES, sep="\n")
        return 0
    bad = 0
    with tempfile.TemporaryDirectory(prefix="styles-") as place, Zygote() as zygote:
        template = make_template(Path(place) / "template")
        for name in STYLES if names == ["all"] else names:
            bare, tracked = run_both(STYLES[name], Path(place) / name, template, zygote)
            found = compare(STYLES[name], bare, tracked)
            bad += bool(found)
            if names != ["all"]:
                for title, told in (("bare", bare), ("tracked", tracked)):
                    print(f"\n===== {name}, {title}\n{as_text(told.runs)}\n----- printed\n{told.output.strip()}")
            print(f"\n===== {name}: {'differs' if found else 'the same'}", *found, sep="\n", flush=True)
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
