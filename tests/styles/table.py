"""All styles, by name."""

from __future__ import annotations

from .opening import OPENING
from .parallel import PARALLEL
from .things import THINGS
from .values import VALUES

STYLES = {style.name: style for style in [*OPENING, *PARALLEL, *VALUES, *THINGS]}
