"""All styles, by name.

Two things are another way on purpose, and have no style: autologging without a run of the author's goes into the cell's
run, and a param that changes is refused when it is sent, and told in the block, not raised in the cell.
"""

from __future__ import annotations

from .opening import OPENING
from .parallel import PARALLEL
from .things import THINGS
from .values import VALUES

STYLES = {style.name: style for style in [*OPENING, *PARALLEL, *VALUES, *THINGS]}
