"""The options on a magic's line: parsed, with "did you mean", and shown in its help."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import parse_argstring

from ..vocabulary.errors import MlflowMagicsError, OptionError
from ..vocabulary.untouched import untouched

_HELP = re.compile(
    r"(?P<usage>::\n\n.*?)\n\n(?P<what>.*?)\n\n(?P<options>(?:positional arguments|options|optional arguments):\n.*)",
    re.DOTALL,
)
_EXAMPLES = re.compile(r"Examples\n-+\n(.*?)(?:\n\n|\Z)", re.DOTALL)
_OPTION = re.compile(r"(?<!\S)-[-\w]+")


def parse(magic: Callable[..., Any], line: str) -> Any:
    """Parse a magic's line by the arguments declared on it.

    Parameters
    ----------
    magic : callable
        A function decorated with ``magic_arguments``.
    line : str
        What was typed after the magic's name.

    Returns
    -------
    argparse.Namespace
        One attribute for each declared argument.

    Raises
    ------
    OptionError
        The line does not fit; one line with the nearest option, if there is one.
    """
    try:
        return parse_argstring(magic, line)
    except UsageError as error:
        raise OptionError(_explain(str(error), magic, line)) from None
    except ValueError as error:  # shlex: an open quotation mark
        raise OptionError(f"{error}: {line.strip()}") from None


@contextlib.contextmanager
def one_line(redact: Callable[[str], str], *, runs_users_code: bool = False) -> Iterator[None]:
    """Show our own errors as one line, without a traceback and without secrets; leave the process as it was.

    Parameters
    ----------
    redact : callable
        Takes the secrets out of a text.
    runs_users_code : bool, optional
        Whether code of the user's runs inside, which may change the process.

    Raises
    ------
    UsageError
        In place of one of ours.
    """
    try:
        with contextlib.nullcontext() if runs_users_code else untouched():
            yield
    except MlflowMagicsError as error:
        raise UsageError(redact(str(error))) from None


def examples_first(magic: Callable[..., Any]) -> None:
    """Bring a magic's help into the order in which people read: what it does, examples, then every option."""
    found = _HELP.match(magic.__doc__ or "")
    if found is not None:
        magic.__doc__ = "\n\n".join((found["what"].strip(), found["usage"].strip(), found["options"].strip())) + "\n"


def examples_of(magic: Callable[..., Any]) -> tuple[str, list[str]]:
    """Return the first line of a magic's help, and its examples."""
    text = inspect.cleandoc(magic.__doc__ or "")
    what = text.partition("\n\n")[0].replace("\n", " ")
    section = _EXAMPLES.search(text)
    return what.replace("``", ""), re.findall(r"^``(.+?)``", section[1], re.MULTILINE) if section else []


def options_of(magic: Callable[..., Any]) -> list[str]:
    """Return the long options declared on a magic, for completion and suggestions."""
    actions = magic.parser._actions  # type: ignore[attr-defined]  # set by magic_arguments
    return sorted(option for action in actions for option in action.option_strings if option.startswith("--"))


def _explain(message: str, magic: Callable[..., Any], line: str) -> str:
    """Turn argparse's message into one that says how to go on."""
    from difflib import get_close_matches  # late: only a wrong line needs it

    known = options_of(magic)
    for word in _OPTION.findall(line):
        if word.startswith("--") and not any(option.startswith(word.split("=")[0]) for option in known):
            near = get_close_matches(word, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known)}"
            return f"unknown option {word}; {hint}"
    extra = message.removeprefix("unrecognized arguments: ")
    takes_names = any(not action.option_strings for action in magic.parser._actions)  # type: ignore[attr-defined]
    if extra != message and (extra.startswith("-") or not takes_names):
        word = "option" if extra.startswith("-") else "argument"
        return f"unknown {word} {extra.split()[0]}; it takes {', '.join(known)}"
    if extra != message:
        return f"one name too many: {extra}; put a name with blanks in quotation marks"
    return f"{message}; %{magic.__name__}? shows examples"
