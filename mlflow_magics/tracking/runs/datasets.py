"""Logs what a run was given: datasets as MLflow's inputs, told apart at a bounded cost.

MLflow's own digest of a table reads every value, its schema too. Here the digest is of the shape, the columns' names
and types, an exact sum of each number column, and 10,000 rows at most: the first, the last, and evenly between. So a
changed number is seen wherever it is, and a changed text where it is among those rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.entities import Dataset, DatasetInput, InputTag, Run
from mlflow.tracking._tracking_service.utils import _get_store
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from ...vocabulary.errors import NotLoggableError
from ..calls.guards import as_tracking_error

SAMPLE = 10_000
"""The most rows that are read in full."""

_TAGS = ("mlflow.source.name", "mlflow.source.type", "mlflow.source.git.commit")


@dataclass(frozen=True)
class Described:
    """A dataset as MLflow is told of it.

    Attributes
    ----------
    name, digest : str
        The variable's name, and eight hexadecimal digits.
    shape : tuple of int
        Its lengths.
    sampled : int
        How many rows were read in full.
    schema : str
        In MLflow's form; empty where it has none for this.
    """

    name: str
    digest: str
    shape: tuple[int, ...]
    sampled: int
    schema: str = ""

    @property
    def words(self) -> str:
        """What to tell of it."""
        size = " x ".join(f"{length:,}" for length in self.shape)
        rows = self.shape[0] if self.shape else 0
        part = f", from {self.sampled:,} of {rows:,} rows and the columns' sums" if self.sampled < rows else ""
        return f"{self.name} {size} (digest {self.digest}{part})"


def describe(name: str, value: Any) -> Described:
    """Look at a dataset.

    Parameters
    ----------
    name : str
        The variable's name.
    value : object
        A DataFrame or Series of pandas or polars, an array, a tensor, or a list of numbers or texts.

    Returns
    -------
    Described
        The same for the same data, in every process.

    Raises
    ------
    NotLoggableError
        It is no dataset.
    """
    if hasattr(type(value), "iloc"):
        return _of_pandas(name, value)
    if hasattr(type(value), "to_pandas") and hasattr(type(value), "gather_every"):
        return _of_polars(name, value)
    return _of_array(name, _as_array(name, value))


def log(run: Run, described: Described, context: str, tags: Mapping[str, str]) -> None:
    """Write a dataset down as an input of a run.

    Parameters
    ----------
    run : Run
        The run.
    described : Described
        The dataset.
    context : str
        What it was for, in MLflow's words: ``"training"``, ``"testing"``, ``"validation"``.
    tags : mapping of str to str
        The run's; what they say of the notebook is the dataset's source.

    Raises
    ------
    TrackingError
        The store refuses it.
    """
    source = CodeDatasetSource({key: tags[key] for key in _TAGS if key in tags})
    profile: dict[str, Any] = {"shape": list(described.shape), "rows_in_digest": described.sampled}
    entity = Dataset(
        described.name,
        described.digest,
        source._get_source_type(),
        source.to_json(),
        schema=described.schema or None,
        profile=json.dumps(profile),
    )
    with as_tracking_error():
        given = DatasetInput(entity, tags=[InputTag(MLFLOW_DATASET_CONTEXT, context)])
        _get_store().log_inputs(run.info.run_id, [given])


def rows_of(count: int) -> Any:
    """Choose the rows that are read in full."""
    import numpy

    if count <= SAMPLE:
        return numpy.arange(count)
    return numpy.linspace(0, count - 1, SAMPLE).astype(numpy.int64)


def _of_pandas(name: str, value: Any) -> Described:
    import pandas

    frame = value.to_frame() if isinstance(value, pandas.Series) else value
    sample = frame.iloc[rows_of(len(frame))]
    told: list[Any] = [
        list(frame.shape),
        [str(column) for column in frame.columns],
        [str(each) for each in frame.dtypes],
    ]
    told.append(_sums(frame))
    digest = hashlib.sha256(json.dumps(told).encode())
    digest.update(_hashed(sample))
    shape = tuple(value.shape)
    return Described(name, digest.hexdigest()[:8], shape, len(sample), _schema(sample))


def _sums(frame: Any) -> list[str]:
    """Return the sum of each number column."""
    if len(set(frame.dtypes)) == 1:
        columns = [frame.to_numpy()] if _is_number(frame.dtypes.iloc[0]) else []  # one block: a view, read once
    else:
        columns = [frame.iloc[:, at].to_numpy() for at, dtype in enumerate(frame.dtypes) if _is_number(dtype)]
    return [each for values in columns for each in _bit_sums(values)]


def _bit_sums(values: Any) -> list[str]:
    """Return the sum of each column's numbers, taken as their bits, without what is carried over the 64th.

    Unlike a sum of floats it is exact: the same in whatever order memory holds them, and another one if any differs.
    """
    import numpy

    parts = (values.real, values.imag) if numpy.iscomplexobj(values) else (values,)
    sums = [part.view(f"u{part.itemsize}").sum(axis=0, dtype=numpy.uint64) for part in parts if part.itemsize <= 8]
    return [str(each) for found in sums for each in numpy.atleast_1d(found).ravel().tolist()]


def _is_number(dtype: Any) -> bool:
    import numpy

    # pandas' own nullable types are no numpy types: their rows are read, their sums are not.
    return isinstance(dtype, numpy.dtype) and numpy.issubdtype(dtype, numpy.number)


def _hashed(sample: Any) -> bytes:
    import pandas

    try:
        hashed = pandas.util.hash_pandas_object(sample, index=False)
    except TypeError:  # cells that hold lists, dicts or arrays
        hashed = pandas.util.hash_pandas_object(sample.astype(str), index=False)
    return bytes(hashed.to_numpy().tobytes())


def _of_polars(name: str, value: Any) -> Described:
    frame = value if hasattr(value, "columns") else value.to_frame()
    rows = rows_of(frame.height)
    sample = frame[rows.tolist()].to_pandas()
    facts: list[Any] = [list(value.shape), list(frame.columns), [str(each) for each in frame.dtypes]]
    numbers = [frame[column].to_numpy() for column in frame.columns if frame[column].dtype.is_numeric()]
    facts.append([each for values in numbers if _is_number(values.dtype) for each in _bit_sums(values)])
    digest = hashlib.sha256(json.dumps(facts).encode())
    digest.update(_hashed(sample))
    return Described(name, digest.hexdigest()[:8], tuple(value.shape), len(rows), _schema(sample))


def _of_array(name: str, value: Any) -> Described:
    import numpy

    sample = value[rows_of(len(value))]
    told: list[Any] = [list(value.shape), str(value.dtype)]
    if numpy.issubdtype(value.dtype, numpy.number):
        told.append(_bit_sums(value)[:10_000])
    digest = hashlib.sha256(json.dumps(told).encode())
    digest.update(numpy.ascontiguousarray(sample).tobytes() if value.dtype != object else str(sample.tolist()).encode())
    return Described(name, digest.hexdigest()[:8], tuple(value.shape), len(sample), _schema(sample))


def _as_array(name: str, value: Any) -> Any:
    import numpy

    if hasattr(value, "detach"):  # a tensor; a copy, where it is on a device
        value = value.detach().cpu()
    if isinstance(value, (str, bytes, dict, set)) or not (hasattr(value, "__array__") or hasattr(value, "__len__")):
        raise NotLoggableError(name, _WRONG.format(type(value).__name__))
    try:
        array = numpy.asarray(value)
    except (ValueError, TypeError):  # lists of unequal lengths
        array = numpy.asarray(list(map(str, value)), dtype=object)
    if array.ndim == 0 or not len(array):
        raise NotLoggableError(name, _WRONG.format(f"{'an empty ' if array.ndim else ''}{type(value).__name__}"))
    return array


_WRONG = "not a dataset ({}); --data takes a DataFrame, a Series, an array, a tensor or a list"


def _schema(sample: Any) -> str:
    """Return the schema in MLflow's form, inferred from 1,000 of the rows that were read.

    MLflow looks at every text by itself: 10,000 rows of 20 columns take it half a second.
    """
    from mlflow.types.utils import _infer_schema

    from ..calls.quiet import quiet

    try:
        with quiet():
            schema = _infer_schema(sample[:: max(1, len(sample) // 1_000)])
    except Exception:  # noqa: BLE001 - MLflow has no schema for some types, and says so in as many ways
        return ""
    kind = "mlflow_tensorspec" if schema.is_tensor_spec() else "mlflow_colspec"
    return json.dumps({kind: schema.to_dict()})
