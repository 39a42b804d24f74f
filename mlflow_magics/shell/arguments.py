"""The words on a magic's line: options with "did you mean", ``k=v`` pairs, ``a,b`` lists, ``name=expression``."""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
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


def names(words: Iterable[str] | None) -> tuple[str, ...]:
    """Return names given as ``a b``, as ``a,b`` or both.

    Parameters
    ----------
    words : iterable of str or None
        As argparse collected them.

    Returns
    -------
    tuple of str
        In order.
    """
    return tuple(name for word in words or () for name in word.split(",") if name)


def pairs(words: Iterable[str] | None, option: str) -> dict[str, str]:
    """Return ``k=v`` words as a dict.

    Parameters
    ----------
    words : iterable of str or None
        As argparse collected them.
    option : str
        The option they belong to, for the message.

    Returns
    -------
    dict of str to str
        A value keeps whatever follows the first ``=``.

    Raises
    ------
    OptionError
        A word has no ``=``.
    """
    found = {}
    for word in words or ():
        key, sign, value = unquote(word).partition("=")
        if not sign or not key.strip():
            raise OptionError(f"{option} takes name=value, not {word!r}")
        found[key.strip()] = unquote(value)
    return found


def unquote(word: str) -> str:
    """Return `word` without the quotation marks around it; IPython keeps them on a magic's line.

    Parameters
    ----------
    word : str
        One word of the line.

    Returns
    -------
    str
        The text meant.
    """
    if len(word) >= 2 and word[0] == word[-1] and word[0] in "\"'":
        return word[1:-1]
    return word


def assignments(text: str) -> list[tuple[str, str]]:
    """Split ``a=1 b=f(x, y == z)`` into names and expressions; a lone ``name`` is its own expression.

    Parameters
    ----------
    text : str
        What follows ``%mlflow_log metric``. Pairs stand apart by blanks or commas.

    Returns
    -------
    list of (str, str)
        Name and Python expression.

    Raises
    ------
    OptionError
        A part is neither a name nor ``name=expression``.
    """
    found = []
    for part in _parts(text):
        match = re.match(
            r"""\s*(?P<quote>["']?)(?P<name>[\w.\-/@ ]+?)(?P=quote)\s*=(?!=)\s*(?P<value>.+)$""", part, re.S
        )
        name, value = (match["name"], match["value"]) if match else (part.strip(), part.strip())
        try:
            ast.parse(value, mode="eval")
        except SyntaxError:
            raise OptionError(f"not a Python expression: {value}; write name=expression") from None
        found.append((name, value))
    return found


def _parts(text: str) -> list[str]:
    """Split at blanks and commas outside brackets and quotes, but only in front of ``name=`` or a new lone name."""
    starts = [0]
    depth, quote = 0, ""
    for position, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif depth == 0 and (char.isspace() or char == ",") and _complete(text[starts[-1] : position]):
            rest = text[position + 1 :]
            if re.match(r"""\s*(["']?)[\w.\-/@]+\1\s*=(?!=)""", rest) or (
                re.match(r"\s*[A-Za-z_][\w.]*\s*(,|\s|$)", rest) and not _OPERATOR.match(rest)
            ):
                starts.append(position + 1)
    ends = [*starts[1:], len(text)]
    parts = [text[a:b].strip().strip(",").strip() for a, b in zip(starts, ends, strict=True)]
    return [part for part in parts if part]


_OPERATOR = re.compile(r"\s*(if|else|and|or|not|in|is|for)\b")


def _complete(part: str) -> bool:
    """Whether `part` is a whole ``name=expression`` or a whole expression by itself."""
    value = re.sub(r"""^\s*(["']?)[\w.\-/@ ]+?\1\s*=(?!=)""", "", part.strip().strip(","))
    try:
        ast.parse(value.strip(), mode="eval")
    except SyntaxError:
        return False
    return True


def _explain(message: str, magic: Callable[..., Any], line: str) -> str:
    """Turn argparse's message into one that names the mend."""
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
