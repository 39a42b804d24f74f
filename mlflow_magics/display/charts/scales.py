"""Puts numbers on an axis: ranges that hold any float, ticks at round numbers, and their short labels.

A tick is kept as two whole numbers, ``digits * 10 ** exponent``, until it is written: 0.3 is never 0.30000000000000004,
and 1e-323 is a tick like any other.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_GREATEST = sys.float_info.max
_NARROWEST = 1e-9  # Of a number's size: what is narrower is drawn flat, as no label could tell its ends apart.
_TINIEST = 1e-300
_SUFFIXES = ("", "k", "M", "G", "T")

_SIXTIETHS = (1, 2, 5, 10, 15, 20, 30)
_UNITS = ((1.0, "s", _SIXTIETHS), (60.0, "min", _SIXTIETHS), (3600.0, "h", (1, 2, 3, 6, 12)))
_DAY, _MILLISECOND = 86400.0, 1e-3


@dataclass(frozen=True)
class Tick:
    """A named place on an axis, between 0 and 1; its label is short: ``"0.25"``, ``"10k"``, ``"1e-5"``, ``"30 s"``."""

    at: float
    label: str


@dataclass(frozen=True)
class Scale:
    """The range of an axis, its ends finite and apart; where `log`, they are decimal logarithms."""

    low: float
    high: float
    log: bool = False

    def place(self, values: Sequence[float], start: float = 0.0, end: float = 1.0) -> list[float]:
        """Tell where values are."""
        low, high = self.low, self.high
        if self.log:
            values = [math.log10(value) for value in values]
        if math.isinf(high - low):  # -1e308 and 1e308 are farther apart than a float can say
            low, high = low / 2, high / 2
            values = [value / 2 for value in values]
        factor = (end - start) / (high - low)
        return [start + (value - low) * factor for value in values]


def around(numbers: Iterable[float], log: bool = False) -> Scale | None:
    """Find the range that holds all numbers.

    Wider than the numbers where these are equal; None where there is no number.
    """
    finite = (
        [number for number in filter(math.isfinite, numbers) if number > 0]
        if log
        else list(filter(math.isfinite, numbers))
    )
    if not finite:
        return None
    low, high = min(finite), max(finite)
    if log:
        low, high = math.log10(low), math.log10(high)
        pad = 0.0 if high - low > _NARROWEST else 0.5
        return Scale(low - pad, high + pad, log)
    size = max(abs(low), abs(high))
    # Compared as halves, which cannot overflow.
    if high / 2 - low / 2 <= max(size * _NARROWEST, _TINIEST) / 2:
        pad = max(size * 0.1, _TINIEST) if size else 1.0
        low, high = max(low - pad, -_GREATEST), min(high + pad, _GREATEST)
    return Scale(low, high)


def numbered(scale: Scale, most: int, whole: bool = False) -> list[Tick]:
    """Find round numbers on an axis."""
    if scale.log:
        pairs = _powers(scale, most)
        return [Tick(_share(math.log10(digits) + ten, scale), _label([(digits, ten)])[0]) for digits, ten in pairs]
    digits, ten = _round_up(_rough(scale, most))
    if whole and ten < 0:
        digits, ten = 1, 0
    return _ticks(scale, _multiples(scale.low, scale.high, digits, ten))


def timed(scale: Scale, most: int) -> list[Tick]:
    """Find round times on an axis of seconds."""
    rough = _rough(scale, most)
    for length, name, steps in _UNITS:
        for step in steps:
            if 0.5 < rough <= step * length:
                return _ticks(scale, _multiples(scale.low / length, scale.high / length, step, 0), length, name)
    length, name = (_DAY, "d") if rough > 1 else (1.0, "s") if rough > 0.05 else (_MILLISECOND, "ms")
    digits, ten = _round_up(rough / length)
    return _ticks(scale, _multiples(scale.low / length, scale.high / length, digits, ten), length, name)


def _ticks(scale: Scale, pairs: list[tuple[int, int]], length: float = 1.0, unit: str = "") -> list[Tick]:
    labels = _label(pairs)
    places = scale.place([_number(*pair) * length for pair in pairs])
    return [
        Tick(min(max(place, 0.0), 1.0), f"{label} {unit}".rstrip())
        for place, label in zip(places, labels, strict=True)
        if math.isfinite(place)
    ]


def _share(place: float, scale: Scale) -> float:
    return min(max((place - scale.low) / (scale.high - scale.low), 0.0), 1.0)


def _number(digits: int, ten: int) -> float:
    return float(f"{digits}e{ten}")  # the nearest float there is; a product with a power of ten would round twice


def _rough(scale: Scale, most: int) -> float:
    # Divided first, and cut where even one step would be greater than a float.
    return min(scale.high / most - scale.low / most, 1e308)


def _round_up(rough: float) -> tuple[int, int]:
    """Find the least of 1, 2 and 5 times a power of ten that is as great."""
    ten = math.floor(math.log10(rough))
    for digits in (1, 2, 5):
        if _number(digits, ten) >= rough * (1 - 1e-9):
            return digits, ten
    return 1, ten + 1


def _multiples(low: float, high: float, digits: int, ten: int) -> list[tuple[int, int]]:
    """List the multiples of a step that lie between `low` and `high`; one at an end may be a rounding error outside."""
    step = _number(digits, ten)
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [(times * digits, ten) for times in range(first, last + 1)]


def _powers(scale: Scale, most: int) -> list[tuple[int, int]]:
    low, high = scale.low - 1e-9, scale.high + 1e-9
    first, last = math.ceil(low), math.floor(high)
    if last - first > 2:
        digits, power = _round_up(max((last - first + 1) / most, 1))
        every = digits * 10**power
        return [(1, ten) for ten in range(first, last + 1) if ten % every == 0]
    all_tens = range(first - 1, last + 1)
    within = [(digits, ten) for ten in all_tens for digits in (1, 2, 5) if low <= math.log10(digits) + ten <= high]
    if len(within) > most + 2:
        return [(digits, ten) for digits, ten in within if digits == 1]
    # Below 1e-290 there are too few floats for the steps of a part of a decade.
    if len(within) > 1 or scale.low < -290:
        return within
    # Less than a decade: as on a linear axis. 308.25 is where floats end.
    low, high = 10**low, 10 ** min(high, 308.25)
    pairs = _multiples(low, high, *_round_up(high / most - low / most))
    return [(digits, ten) for digits, ten in pairs if digits > 0]


def _label(pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Write the numbers of one axis, all in the same manner: the one that takes the least room."""
    # The place of the first digit: 3 for 5000, -2 for 0.012.
    greatest = max((len(str(abs(digits))) - 1 + ten for digits, ten in pairs if digits), default=0)
    if not -7 < greatest < 15:
        manners = [_power]
    elif greatest < -3 or (len(pairs) == 1 and greatest < 0):
        manners = [_even, _power]
    elif greatest < 4 and len(pairs) > 1:
        manners = [_even]
    else:
        manners = [_even, _suffixed]
    return min(([manner(*pair) for pair in pairs] for manner in manners), key=lambda labels: sum(map(len, labels)))


def _even(digits: int, ten: int) -> str:
    """Write all decimals: 0.80 below 0.85."""
    if ten >= 0:
        return str(digits * 10**ten)
    padded = str(abs(digits)).rjust(1 - ten, "0")
    return ("-" if digits < 0 else "") + f"{padded[:ten]}.{padded[ten:]}"


def _plain(digits: int, ten: int) -> str:
    written = _even(digits, ten)
    return written.rstrip("0").rstrip(".") if ten < 0 else written


def _suffixed(digits: int, ten: int) -> str:
    thousands = (len(str(abs(digits))) - 1 + ten) // 3 if digits else 0
    if not 0 <= thousands < len(_SUFFIXES):
        thousands = 0
    return _plain(digits, ten - 3 * thousands) + _SUFFIXES[thousands]


def _power(digits: int, ten: int) -> str:
    if not digits:
        return "0"
    places = len(str(abs(digits))) - 1
    return f"{_plain(digits, -places)}e{places + ten}"
