"""A DataFrame of runs that shows as our table."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ...vocabulary.lookback import Found
from ...vocabulary.panel import RunView

_KINDS = ("metrics.", "params.", "tags.")


def frame(found: Found, text: str, html: str) -> Any:
    """Make a DataFrame of runs that shows as our table.

    Parameters
    ----------
    found : Found
        The runs.
    text, html : str
        How it shows, as long as nothing in it is changed.

    Returns
    -------
    pandas.DataFrame
        Its columns are named as ``mlflow.search_runs`` names them, and ``run_name``. What is made of it is a plain
        DataFrame.
    """
    import pandas

    rows = [_row(run) for run in found.runs]
    names = list(dict.fromkeys((*_row(RunView("", "", "", 0.0)), *(name for row in rows for name in row))))
    kinds = [next((kind for kind in _KINDS if name.startswith(kind)), "") for name in names]
    columns = [name for kind in ("", *_KINDS) for name, its in zip(names, kinds, strict=True) if its == kind]
    table = _frame_class()(rows, columns=columns)
    object.__setattr__(table, "_shown", (text, html, pandas.DataFrame(table).copy()))
    return table


def _row(run: RunView) -> dict[str, Any]:
    import pandas

    def moment(seconds: float | None) -> Any:
        # Whole milliseconds, as MLflow keeps them.
        return pandas.NaT if seconds is None else pandas.to_datetime(round(seconds * 1000), unit="ms", utc=True)

    row = {
        "run_id": run.run_id,
        "run_name": run.name,
        "experiment_id": run.experiment_id,
        "status": run.status,
        "artifact_uri": run.artifact_uri,
        "start_time": moment(run.began),
        "end_time": moment(run.ended),
    }
    row |= {f"metrics.{name}": value for name, value in run.metrics.items()}
    row |= {f"params.{name}": value for name, value in run.params.items()}
    return row | {f"tags.{name}": value for name, value in {**run.tags, **run.system_tags}.items()}


@lru_cache(maxsize=1)
def _frame_class() -> type:
    import pandas

    class Runs(pandas.DataFrame):  # type: ignore[misc]  # pandas has no types here
        """A DataFrame of runs; what is made of it is a plain one."""

        _shown: Any = ("", "", None)

        @property
        def _constructor(self) -> Any:
            return pandas.DataFrame

        def _is_as_made(self) -> bool:
            return bool(pandas.DataFrame(self).equals(self._shown[2]))

        def __repr__(self) -> str:
            return str(self._shown[0] if self._is_as_made() else pandas.DataFrame(self).__repr__())

        def _repr_html_(self) -> Any:
            return self._shown[1] if self._is_as_made() else pandas.DataFrame(self)._repr_html_()

        def __reduce__(self) -> Any:
            return pandas.DataFrame, (pandas.DataFrame(self),)

    return Runs
