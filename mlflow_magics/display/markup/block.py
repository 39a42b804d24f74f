"""What every command shows: one value that each front end reads in its own language."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """A piece of output, ready for every front end.

    Attributes
    ----------
    text : str
        For terminals and diffs: at most 80 columns, no control characters, no trailing newline. Only a URL,
        on a line of its own, may be longer: a broken one is useless.
    html : str
        For notebooks: inline styles only, nothing that an untrusted notebook would strip.
    """

    text: str
    html: str

    def _repr_mimebundle_(
        self, include: Container[str] | None = None, exclude: Container[str] | None = None
    ) -> dict[str, str]:
        """Give IPython both forms; it drops by itself what `include` and `exclude` rule out."""
        return {"text/plain": self.text, "text/html": self.html}
