"""The runs of any MLflow experiment as a table: parameters, tags, latest metrics, the history of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from normsweep.errors import StoreError
from normsweep.sweep.problems import shown, unknown
from normsweep.text import masked
from normsweep.tracking.client import failure, opened
from normsweep.tracking.settings import mlflow_settings

__all__ = ["experiment_rows"]

PAGE = 1000
"""Runs that are read at once."""


@mlflow_settings()
def experiment_rows(uri: str, name: str, history: str | None = None) -> list[dict[str, Any]]:
    """One row a run; with `history`, one row for each step of this metric, with the column `epoch`.

    Columns: `run_id`, `name`, `status`, `params.…`, `tags.…`, `metrics.…`, as in `mlflow.search_runs`.

    Raises:
        StoreError: the store cannot be opened, or does not have the experiment or the metric.
    """
    client = opened(uri)
    try:
        found = client.get_experiment_by_name(name)
        if found is None:
            names = [e.name for e in client.search_experiments(max_results=PAGE)]
            raise StoreError(f"--experiment: {unknown('experiment', name, names)} in {masked(uri)}")
        rows = [_row(run) for run in _runs(client, found.experiment_id)]
        if history is None:
            return rows
        metric = history.removeprefix("metrics.")
        steps = [row | step for row in rows for step in _steps(client, row["run_id"], metric)]
    except MlflowException as error:
        raise StoreError(
            f"--experiment: cannot read {shown(name)}: {failure(error, uri)}"
        ) from None
    if rows and not steps:
        raise StoreError(f"--score: no run of {shown(name)} has the metric {shown(metric)}")
    return steps


def _runs(client: MlflowClient, experiment: str) -> Iterator[Run]:
    token = None
    while True:
        page = client.search_runs([experiment], max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _row(run: Run) -> dict[str, Any]:
    data, info = run.data, run.info
    tags = {key: value for key, value in data.tags.items() if not key.startswith("mlflow.")}
    return {
        "run_id": info.run_id,
        "name": info.run_name,
        "status": info.status,
        **{f"params.{key}": value for key, value in data.params.items()},
        **{f"tags.{key}": value for key, value in tags.items()},
        **{f"metrics.{key}": value for key, value in data.metrics.items()},
    }


def _steps(client: MlflowClient, run: str, metric: str) -> Iterator[dict[str, Any]]:
    """The last value of each step."""
    history = client.get_metric_history(run, metric)
    for step, value in {m.step: m.value for m in history}.items():
        yield {"epoch": step, f"metrics.{metric}": value}
