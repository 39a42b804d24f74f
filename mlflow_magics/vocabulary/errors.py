"""What can go wrong, as values: the facts as attributes, how to go on in the message.

The magics turn every :class:`MlflowMagicsError` into an IPython ``UsageError``, which a notebook shows as one
line without a traceback. So a message is one line, names what was wrong, and says what to type instead.
"""

from __future__ import annotations

from collections.abc import Iterable


class MlflowMagicsError(Exception):
    """The root of every error this package raises on purpose."""


class OptionError(MlflowMagicsError):
    """A magic was called with words it does not take."""


class UnknownNameError(MlflowMagicsError):
    """A name that should exist does not.

    Parameters
    ----------
    kind : str
        What was looked for, in the user's words: ``"variable"``, ``"option"``, ``"flavor"``.
    name : str
        The name as it was typed.
    known : iterable of str, optional
        The names that would have been right; the nearest ones are offered in the message.
    hint : str, optional
        What to do when no known name is near.

    Attributes
    ----------
    kind, name : str
        As given.
    suggestions : tuple of str
        The known names nearest to `name`, best first; may be empty.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str] = (), hint: str = "") -> None:
        from difflib import get_close_matches  # late: %load_ext imports this module

        self.kind = kind
        self.name = name
        self.suggestions = tuple(get_close_matches(name, list(known), n=2, cutoff=0.6))
        tail = f"; did you mean {' or '.join(self.suggestions)}?" if self.suggestions else ""
        if not tail and hint:
            tail = f"; {hint}"
        super().__init__(f"unknown {kind} {name!r}{tail}")


class NotLoggableError(MlflowMagicsError):
    """A value was asked to be logged as something that it is not.

    Parameters
    ----------
    name : str
        The name of the value.
    reason : str
        What the value was, and what would be right.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name}: {reason}")


class ConnectionFailedError(MlflowMagicsError):
    """The tracking store could not be reached or used.

    Parameters
    ----------
    where : str
        The tracking URI, its credentials masked.
    reason : str
        What was seen, in one line.
    hint : str, optional
        What to do about it.

    Attributes
    ----------
    where, reason, hint : str
        As given.
    """

    def __init__(self, where: str, reason: str, hint: str = "") -> None:
        self.where = where
        self.reason = reason
        self.hint = hint
        super().__init__(f"{where}: {reason}" + (f"; {hint}" if hint else ""))


class ExperimentError(ConnectionFailedError):
    """The experiment that was asked for is deleted, unknown or forbidden; the store itself is there."""


class TrackingError(MlflowMagicsError):
    """MLflow refused or failed a write; the cell itself is not affected.

    Parameters
    ----------
    message : str
        What failed, in one line.
    timed_out : bool, optional
        Whether the store was waited for in vain, so that the next try would wait as long.

    Attributes
    ----------
    timed_out : bool
        As given.
    """

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        self.timed_out = timed_out
        super().__init__(message)
