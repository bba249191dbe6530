"""Prepared views of a study's runs in the MLflow UI.

A view is a tag of the experiment, from which the UI takes filter, order, columns and charts. Its format
is not documented, but taken from the source of the UI: tests/test_pages.py opens each view in a browser,
and fails if it no longer works.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Experiment

from normsweep.errors import StoreError
from normsweep.sweep.trial import SEARCH
from normsweep.text import masked
from normsweep.tracking.client import asked, opened, remote
from normsweep.tracking.runs import ARM, BEST, CONFIGURATION, DESCRIPTION, LOG_RATE, MEAN, PHASE
from normsweep.tracking.settings import mlflow_settings

__all__ = [
    "BEST_VIEW",
    "CONFIRM_VIEW",
    "LABELS",
    "NOTE",
    "TAG",
    "TRIALS_VIEW",
    "find_page",
    "find_runs",
    "forget_views",
    "is_our_note",
    "note_digest",
    "page",
    "run_address",
    "run_page",
    "views",
]

TAG = "mlflow.sharedViewState."
"""Prefix of a view's tag, before its key."""


TRIALS_VIEW, BEST_VIEW, CONFIRM_VIEW = "trials", "best", "confirmed"
"""Keys: every trial of the search; the best trial of each arm; the confirmation's mean over its seeds.

None averages in the browser: trials of different length and rate have no common mean, and MLflow
colours what it has grouped itself."""
_OURS = tuple(f"{TAG}{key}" for key in (TRIALS_VIEW, BEST_VIEW, CONFIRM_VIEW))


NOTE = "normsweep.note"
"""Tag of the experiment: SHA-256 of the note that was written there last, and of the one before."""
LABELS = "normsweep.labels"
"""Tag of the experiment: the labels that its runs have, by arm; a JSON object."""
EVERYONES = "Default"
"""The default experiment of every store."""


def note_digest(note: str) -> str:
    """SHA-256 of a note, hexadecimal."""
    return hashlib.sha256(note.encode()).hexdigest()


def is_our_note(tags: Mapping[str, str]) -> bool:
    """Whether the note of an experiment with these tags is one of normsweep's, and not edited since.

    Earlier versions kept no digest: theirs has the link to a view.
    """
    note = tags.get(DESCRIPTION, "")
    if NOTE not in tags:
        return f"viewStateShareKey={TRIALS_VIEW}" in note
    return note_digest(note) in tags[NOTE].split()


def forget_views(client: MlflowClient, experiment: str) -> None:
    """Delete the tags that normsweep set on an experiment that also has other runs."""
    tags = client.get_experiment(experiment).tags
    note = [DESCRIPTION] if is_our_note(tags) else []
    for key in (*note, *_OURS, LABELS, NOTE):
        if key in tags:
            client.delete_experiment_tag(experiment, key)


def views(
    params: Sequence[str],
    metric: str,
    maximize: bool = True,
    arm: str = ARM,
    rate: str = LOG_RATE,
) -> Mapping[str, str]:
    """The views as texts of tags, by key.

    Args:
        params: names of the searched parameters in the runs.
        metric: metric of the study.
        maximize: whether higher is better.
        arm: the tag with the arms' names.
        rate: the parameter that shows the learning rate in charts, whose axes are linear.
    """
    score, tested = f"final/val_{metric}", f"final/test_{metric}"
    own = [name for name in params if name not in ("epochs", "learning_rate")]
    searched = [*own, "learning_rate", "epochs"]
    columns = [_tag(arm), _metric(score), *map(_param, searched), _tag("normsweep.status")]
    curves = [_lines(f"val/{metric}"), _lines("val/loss"), _lines("train/loss")]
    tuned = [_parallel([*own, rate, "epochs"], score), _scatter(rate, score)]
    bounds = [f"{tested}_low", f"{tested}_high"]
    means = [_tag(arm), _tag(CONFIGURATION), *map(_metric, [tested, *bounds])]
    order = {"orderByKey": _metric(score), "orderByAsc": not maximize}
    made = {
        TRIALS_VIEW: order
        | _view(_equal(PHASE, SEARCH), columns, [curves[0], *tuned, *curves[1:]]),
        BEST_VIEW: order | _view(_equal(BEST, "true"), columns, [*curves, _bars(score)]),
        CONFIRM_VIEW: order
        | {"orderByKey": _metric(tested)}
        | _view(_equal(PHASE, MEAN), means, [_lines(f"test/{metric}"), _bars(tested)]),
    }
    return {key: json.dumps(view, separators=(",", ":")) for key, view in made.items()}


def page(experiment: str, key: str = "") -> str:
    """The path of an experiment's runs in the MLflow UI; `key`: in a prepared view."""
    view = f"viewStateShareKey={key}&compareRunsMode=CHART&" if key else ""
    return f"#/experiments/{experiment}/runs?{view}workflowType=machine_learning"


def run_page(experiment: str, run: str, tab: str = "") -> str:
    """The path of a run in the MLflow UI; `tab`: one of its tabs."""
    place = f"{run}/{tab}" if tab else run
    return f"#/experiments/{experiment}/runs/{place}?workflowType=machine_learning"


def run_address(mlflow: str, experiment: str) -> Callable[[str], str] | None:
    """A function from a run's id to the address of its page; None if a page may not name MLflow.

    `mlflow` is the address of MLflow in a browser, or empty. One with a password is not named.
    """
    if not mlflow or masked(mlflow) != mlflow:
        return None
    return lambda run: f"{mlflow.rstrip('/')}/{run_page(experiment, run)}"


def _equal(tag: str, value: str) -> str:
    return f"tags.`{tag}` = '{value}'"


def _view(
    query: str, columns: Sequence[str], charts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A view of the runs that a query finds, with charts."""
    section = "normsweep"
    return {
        "searchFilter": query,
        "selectedColumns": list(columns),
        "runsHiddenMode": "SHOW_ALL",  # otherwise charts show the first ten
        "isAccordionReordered": True,  # otherwise sections are sorted, with generated ones first
        "groupBy": None,
        "compareRunSections": [
            {
                "uuid": section,
                "name": "Study",
                "display": True,
                "isReordered": True,
                "columns": 2,
                "cardHeight": 360,
            }
        ],
        "compareRunCharts": [
            {
                **chart,
                "uuid": f"{section}-{place}",
                "metricSectionId": section,
                "deleted": False,
                "isGenerated": False,
            }
            for place, chart in enumerate(charts)
        ],
    }


def _lines(metric: str) -> dict[str, Any]:
    return {
        "type": "LINE",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "xAxisKey": "step",
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
        "lineSmoothness": 0,
        "scaleType": "linear",
        "xAxisScaleType": "linear",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "range": {},
    }


def _parallel(params: Sequence[str], metric: str) -> dict[str, Any]:
    return {
        "type": "PARALLEL",
        "selectedParams": list(params),
        "selectedMetrics": [metric],
        "showAllRuns": True,
    }


def _scatter(param: str, metric: str) -> dict[str, Any]:
    return {
        "type": "SCATTER",
        "xaxis": {"key": param, "type": "PARAM"},
        "yaxis": {"key": metric, "type": "METRIC"},
    }


def _bars(metric: str) -> dict[str, Any]:
    return {"type": "BAR", "metricKey": metric}


def _tag(name: str) -> str:
    return f"tags.`{name}`"


def _param(name: str) -> str:
    return f"params.`{name}`"


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


@mlflow_settings()
def find_page(uri: str, study: str | None) -> str:
    """The path of a study in the MLflow UI; if `study` is None, that of the only one or the list.

    Raises:
        StoreError: there is no such study, or the store cannot be opened.
    """
    with asked(uri):
        found = {each.name: each for each in opened(uri).search_experiments(max_results=1000)}
    found.pop(EVERYONES, None)
    if study is None:
        return _page(*found.values()) if len(found) == 1 else "#/experiments"
    if study not in found:
        names = ", ".join(sorted(found)) or "none"
        raise StoreError(f"--study-name: no study {study} in {masked(uri)}; available: {names}")
    return _page(found[study])


@mlflow_settings()
def find_runs(uri: str, study: str, mlflow_page: str | None) -> Callable[[str], str] | None:
    """`run_address` of a study's runs; None if it has none in a browser, or is not in the store.

    `mlflow_page` is the address of MLflow in a browser, if not the tracking URI `uri`.

    Raises:
        StoreError: the store cannot be opened.
    """
    address = mlflow_page or (uri if remote(uri) else "")
    if not address:
        return None
    with asked(uri):
        experiment = opened(uri).get_experiment_by_name(study)
    return run_address(address, experiment.experiment_id) if experiment is not None else None


def _page(experiment: Experiment) -> str:
    prepared = f"{TAG}{TRIALS_VIEW}" in experiment.tags
    return page(experiment.experiment_id, TRIALS_VIEW if prepared else "")
