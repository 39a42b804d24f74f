"""Judges how a cell ended: finished, failed, or killed by whoever interrupted it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ...capture.values.inspection import is_a  # an error's class may answer `isinstance` with code of the user's

if TYPE_CHECKING:
    from ...vocabulary.records import Status


def status_of(error: BaseException | None) -> tuple[Status, BaseException | None]:
    """Return the status of a cell that ended with an error, or with none; and the error where it did not finish."""
    if error is None or (is_a(error, SystemExit) and _says_success(SystemExit.__dict__["code"].__get__(error))):
        return "FINISHED", None
    # Not imported for this: where nobody has, nothing was cancelled, and in a terminal it takes 50 ms.
    cancelled = getattr(sys.modules.get("asyncio"), "CancelledError", KeyboardInterrupt)
    if is_a(error, KeyboardInterrupt, cancelled):
        return "KILLED", error
    return "FAILED", error


def _says_success(code: object) -> bool:
    """Read an exit code as Python does: nothing, or 0."""
    return code is None or (is_a(code, int) and int.__eq__(code, 0))  # type: ignore[operator]
