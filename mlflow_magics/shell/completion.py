"""Tab completion of the magics' options."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher

from .arguments import options_of

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext
    from IPython.core.interactiveshell import InteractiveShell

_MAGIC = re.compile(r"^\s*(?:[\w.,\s]+=\s*)?%%?(\w+) (.*)$")


class OptionCompleter:
    """Offers the long options of a magic on the magic's own line.

    Parameters
    ----------
    shell : InteractiveShell
        The shell.
    magics : sequence of callable
        Magic functions; those without declared options are left out.
    """

    def __init__(self, shell: InteractiveShell, magics: Sequence[Callable[..., Any]]) -> None:
        self.shell = shell
        self.options = {magic.__name__: options_of(magic) for magic in magics if hasattr(magic, "parser")}

        @context_matcher()
        def mlflow_magics_options(context: CompletionContext) -> dict[str, Any]:
            return self._match(context)

        self._matcher = mlflow_magics_options

    def register(self) -> None:
        """Add the completer to IPython's own."""
        if self.shell.Completer is not None:
            self.shell.Completer.custom_matchers.append(self._matcher)

    def unregister(self) -> None:
        """Take it out again."""
        if self.shell.Completer is not None and self._matcher in self.shell.Completer.custom_matchers:
            self.shell.Completer.custom_matchers.remove(self._matcher)

    def _match(self, context: CompletionContext) -> dict[str, Any]:
        # Also behind `runs = `.
        found = _MAGIC.search(context.line_with_cursor[: context.cursor_position])
        options, typed = (self.options.get(found[1], []), found[2]) if found else ([], "")
        word = typed.rsplit(None, 1)[-1] if typed and not typed[-1].isspace() else ""
        if not word.startswith("-"):
            return {"completions": []}
        near = [SimpleCompletion(option, type="param") for option in options if option.startswith(word)]
        return {"completions": near, "matched_fragment": word, "suppress": bool(near)}
