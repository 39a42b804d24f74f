"""Tab completion of the magics' options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext
    from IPython.core.interactiveshell import InteractiveShell

# A text: %load_ext imports this module, and compiling it takes as long as the rest of it.
_MAGIC = r"^\s*(?:[\w.,\s]+=\s*)?%%?(\w+) (.*)$"


class OptionCompleter:
    """Offers the long options of a magic on the magic's own line.

    Parameters
    ----------
    shell : InteractiveShell
        The shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell

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
        import re

        from .arguments import has_options, options_of

        # Also behind `runs = `.
        magic_line = re.search(_MAGIC, context.line_with_cursor[: context.cursor_position])
        name, typed = magic_line.groups() if magic_line else ("", "")
        word = typed.rsplit(None, 1)[-1] if typed and not typed[-1].isspace() else ""
        magic = self.shell.magics_manager.magics["line"].get(name) if name.startswith("mlflow_") else None
        if magic is None or not word.startswith("-") or not has_options(magic):
            return {"completions": []}
        near = [SimpleCompletion(option, type="param") for option in options_of(magic) if option.startswith(word)]
        return {"completions": near, "matched_fragment": word, "suppress": bool(near)}
