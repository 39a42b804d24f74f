"""Packs a point into a record of fixed size, with a checksum as its mark."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple
from zlib import crc32

RECORD = Struct("@qddII")
"""step, seconds since 1970, value, key, mark. The mark is written last: a record without it was never finished."""

BODY = Struct("@qddI")
"""What the mark is a checksum of."""

SIZE = RECORD.size
FIRST_MARK = 0x4D4C464D
"""The mark of every record in a journal of the first format, which had no checksums."""

UNMARKED = bytes(4)
MARK_AT = SIZE - 4
KEY_AT = SIZE - 8

Append = Callable[[int, float, float], None]
"""step, seconds since 1970, value."""


def mark_of(body: bytes | memoryview) -> int:
    """Return the mark of a record: the checksum of what stands before it, and never 0."""
    return crc32(body) or 1


class Point(NamedTuple):
    """A point as the journal has it."""

    step: int
    when: float
    value: float
    key: int
