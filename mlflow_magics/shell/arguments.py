"""Parses the options on a magic's line, with "did you mean", and shows them in its help."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser, construct_parser

from ..vocabulary.errors import MlflowMagicsError, OptionError
from ..vocabulary.untouched import untouched

_Magic = TypeVar("_Magic", bound=Callable[..., Any])

_HELP = re.compile(
    r"(?s)(?P<usage>::\n\n.*?)\n\n(?P<what>.*?)\n\n"
    r"(?P<options>(?:positional arguments|options|optional arguments):\n.*)"
)
_EXAMPLES = re.compile(r"(?s)Examples\n-+\n(.*?)(?:\n\n|\Z)")
_OPTION = re.compile(r"(?<!\S)-[-\w]+")


def parse(magic: Callable[..., Any], line: str) -> Any:
    """Parse a magic's line by the arguments declared on it.

    Parameters
    ----------
    magic : callable
        A function decorated with :func:`with_options`.
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
        return parser_of(magic).parse_argstring(line)
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


def with_options(magic: _Magic) -> _Magic:
    """Decorate a magic whose options are declared above it, as IPython's ``magic_arguments`` does, but late.

    The parser and the help are made when they are asked for: for all magics they take longer than the rest.
    """
    magic.getdoc = lambda: help_of(magic)  # type: ignore[attr-defined]  # IPython's ``?`` asks for it first
    return magic


def parser_of(magic: Callable[..., Any]) -> MagicArgumentParser:
    """Return the parser of a magic's line; with it the magic's docstring becomes its whole help."""
    function: Any = getattr(magic, "__func__", magic)
    if not hasattr(function, "parser"):
        function.parser = construct_parser(function)
        parts_of_help = _HELP.match(function.__doc__ or "")
        if parts_of_help is not None:
            # In the order in which people read: what it does, examples, then every option.
            parts = parts_of_help["what"].strip(), parts_of_help["usage"].strip(), parts_of_help["options"].strip()
            function.__doc__ = "\n\n".join(parts) + "\n"
    return function.parser  # type: ignore[no-any-return]


def help_of(magic: Callable[..., Any]) -> str:
    """Return a magic's whole help."""
    if has_options(magic):
        parser_of(magic)
    return inspect.cleandoc(magic.__doc__ or "")


def has_options(magic: Callable[..., Any]) -> bool:
    """Tell whether options are declared on a magic."""
    return hasattr(magic, "has_arguments")


def examples_of(magic: Callable[..., Any]) -> tuple[str, list[str]]:
    """Return the first line of a magic's help, and its examples."""
    text = help_of(magic)
    what = text.partition("\n\n")[0].replace("\n", " ")
    section = _EXAMPLES.search(text)
    return what.replace("``", ""), re.findall(r"^``(.+?)``", section[1], re.MULTILINE) if section else []


def options_of(magic: Callable[..., Any]) -> list[str]:
    """Return the long options declared on a magic, for completion and suggestions."""
    actions = parser_of(magic)._actions
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
    takes_names = any(not action.option_strings for action in parser_of(magic)._actions)
    if extra != message and (extra.startswith("-") or not takes_names):
        word = "option" if extra.startswith("-") else "argument"
        return f"unknown {word} {extra.split()[0]}; it takes {', '.join(known)}"
    if extra != message:
        return f"one name too many: {extra}; put a name with blanks in quotation marks"
    return f"{message}; %{magic.__name__}? shows examples"
