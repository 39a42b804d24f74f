"""Notes what others than capture write into runs: the author's own calls, and autologging."""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import threading
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_VALUES = 200
"""Of a metric, so many values are remembered while the kernel lives: enough to tell one curve from another."""

_SAMPLED = "system/"
"""How the names of MLflow's own samples of the machine begin: nobody's results."""

_MOST_BYTES = 8 << 20
_METRE = 0.0254


@dataclass(frozen=True)
class Picture:
    """A PNG file that was logged.

    Attributes
    ----------
    dpi : float
        As the file says; 0 where it does not.
    digest : bytes
        Of its content.
    """

    dpi: float
    digest: bytes


@dataclass
class Own:
    """What one run got.

    Attributes
    ----------
    params : dict of str to str
        As logged.
    metrics : dict of str to array of float
        The first values of each metric, in the order of their coming.
    files : list of str
        Their paths in the run.
    pictures : list of Picture
        Those of them that are PNG.
    models : list of str
        Names of models.
    """

    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, array[float]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    models: list[str] = field(default_factory=list)


class Authored:
    """What one outbox took in that capture did not write. Any thread may write."""

    def __init__(self) -> None:
        self._runs: dict[str, Own] = defaultdict(Own)
        self._ours = threading.local()

    def of(self, run_id: str) -> Own:
        """Return what a run got; empty where that is nothing."""
        return self._runs.get(run_id) or Own()

    @contextlib.contextmanager
    def by_capture(self) -> Iterator[None]:
        """Within it, this thread writes what was captured."""
        self._ours.depth = getattr(self._ours, "depth", 0) + 1
        try:
            yield
        finally:
            self._ours.depth -= 1

    def metric(self, run_id: str, key: str, value: float) -> bool:
        """Note a point; return whether it is the first of an author's metric."""
        if getattr(self._ours, "depth", 0) or key.startswith(_SAMPLED):
            return False
        values = self._runs[run_id].metrics.get(key)
        if values is None:
            self._runs[run_id].metrics[key] = array("d", (value,))
            return True
        if len(values) < MOST_VALUES:
            values.append(value)
        return False

    def params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Note params. What comes later under a name is refused by the store, and so is in no run."""
        if params and not getattr(self._ours, "depth", 0):
            held = self._runs[run_id].params
            held |= {key: value for key, value in params.items() if key not in held}

    def model(self, run_id: str, name: str) -> None:
        """Note a model."""
        if name not in self._runs[run_id].models:
            self._runs[run_id].models.append(name)

    def file(self, run_id: str, name: str, path: Path) -> None:
        """Note a file: its name in the run, and what it shows."""
        if getattr(self._ours, "depth", 0):
            return
        self._runs[run_id].files.append(name)
        if (found := picture(path)) is not None:
            self._runs[run_id].pictures.append(found)


def picture(path: Path) -> Picture | None:
    """Return what tells a PNG file from others; None for any other file."""
    if path.suffix.lower() != ".png":
        return None
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    return Picture(_dpi(content), digest(content))


def digest(content: bytes) -> bytes:
    """Return what tells one content from another."""
    return hashlib.sha256(content).digest()


def is_drawn(figure: Any, pictures: Sequence[Picture], saved: bytes = b"") -> bool:
    """Tell whether a matplotlib figure is what one of some files shows: drawn alike, it has the same bytes.

    That is so however the file was saved: by ``log_figure``, or by ``savefig`` in anybody's function. One that was
    changed since, or saved with other margins or colours, is another picture. What the cell saved of it (`saved`) is
    compared as it is; without a figure, nothing else can be.
    """
    if saved and digest(saved) in {each.digest for each in pictures}:
        return True
    if figure is None:
        return False
    for dpi in {each.dpi for each in pictures if each.dpi}:
        wanted = {each.digest for each in pictures if each.dpi == dpi}
        for margins in (None, "tight"):
            drawn = io.BytesIO()
            try:
                figure.savefig(drawn, format="png", dpi=dpi, bbox_inches=margins)
            except Exception:  # noqa: BLE001
                return False  # the figure is the user's, and draws itself with the user's data; staging it says why
            if digest(drawn.getvalue()) in wanted:
                return True
    return False


def _dpi(content: bytes) -> float:
    """Read at how many dots an inch a PNG was drawn; 0 where it does not say."""
    at = content.find(b"pHYs", 0, 200)
    if at < 0 or len(content) < at + 13:
        return 0.0
    per_metre = struct.unpack_from(">I", content, at + 4)[0]
    dpi = per_metre * _METRE
    # The file holds whole dots a metre: 100 an inch come back as 99.9998.
    return float(round(dpi)) if abs(dpi - round(dpi)) < 0.02 else dpi
