"""Prepared views of a study's runs in MLflow's own pages.

A view is an experiment's tag, from which the runs' page takes its filter, order, columns and charts.
It is read from the pages' own source and documented nowhere: tests/test_pages.py opens each
view in a browser, and fails where it is no longer honoured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow.entities import Experiment

from normsweep.errors import StoreError
from normsweep.sweep.trial import CONFIRM, SEARCH
from normsweep.text import masked
from normsweep.tracking.client import opened
from normsweep.tracking.settings import mlflow_settings

__all__ = [
    "ARMS_VIEW",
    "CONFIRM_VIEW",
    "TAG",
    "TRIALS_VIEW",
    "find_page",
    "page",
    "run_page",
    "views",
]

TAG = "mlflow.sharedViewState."
"""Before a view's key, the name of its tag."""


TRIALS_VIEW, ARMS_VIEW, CONFIRM_VIEW = "trials", "arms", "confirmed"
"""Keys: every trial of the search; its mean by arm; the confirmation's mean by arm and configuration."""


ARM, CONFIGURATION = "normsweep.arm", "normsweep.configuration"


EVERYONES = "Default"
"""The experiment that every store has."""


def views(params: Sequence[str], metric: str, maximize: bool = True) -> Mapping[str, str]:
    """Every view by its key, as its tag's text.

    Args:
        params: the parameters that were searched, as runs have them.
        metric: what trials are scored by.
        maximize: whether the highest score is the best.
    """
    score, val = f"final/val_{metric}", f"val/{metric}"
    own = [name for name in params if name not in ("epochs", "learning_rate")]
    searched = [*own, "learning_rate", "epochs"]
    columns = [_tag(ARM), _metric(score), *map(_param, searched), _tag("normsweep.status")]
    curves = _lines(val)
    losses = _lines("val/loss")
    trials = [
        curves,
        _parallel(searched, score),
        _scatter("learning_rate", score),
        losses,
        _lines("train/loss"),
    ]
    means = [
        _lines(val),
        _lines("val/loss"),
    ]
    tested = [
        _lines(f"test/{metric}"),
        _lines(val),
    ]
    final = [_tag(CONFIGURATION), _metric(f"final/test_{metric}"), _param("seed")]
    order = {"orderByKey": _metric(score), "orderByAsc": not maximize}
    made = {
        TRIALS_VIEW: order | _view(SEARCH, columns, trials),
        ARMS_VIEW: order | _view(SEARCH, columns, means, [ARM]),
        CONFIRM_VIEW: order
        | _view(CONFIRM, [columns[0], *final, *columns[1:]], tested, [ARM, CONFIGURATION]),
    }
    return {key: json.dumps(view, separators=(",", ":")) for key, view in made.items()}


def page(experiment: str, key: str = "") -> str:
    """Where the pages show an experiment's runs, below their address; in a prepared view by its key."""
    view = f"viewStateShareKey={key}&compareRunsMode=CHART&" if key else ""
    return f"#/experiments/{experiment}/runs?{view}workflowType=machine_learning"


def run_page(experiment: str, run: str, tab: str = "") -> str:
    """Where they show a run, and what of it."""
    place = f"{run}/{tab}" if tab else run
    return f"#/experiments/{experiment}/runs/{place}?workflowType=machine_learning"


def _view(
    phase: str,
    columns: Sequence[str],
    charts: Sequence[Mapping[str, Any]],
    by: Sequence[str] = (),
) -> dict[str, Any]:
    """Runs of a phase, with charts; averaged over those that share the tags `by`."""
    section = "normsweep"
    return {
        "searchFilter": f"tags.`normsweep.phase` = '{phase}'",
        "selectedColumns": list(columns),
        "runsHiddenMode": "SHOW_ALL",  # else charts show the first ten
        "isAccordionReordered": True,  # else sections are sorted, and generated ones come first
        "groupBy": _means(by),
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


def _means(by: Sequence[str]) -> dict[str, Any] | None:
    keys = [{"mode": "tag", "groupByData": tag} for tag in by]
    return {"aggregateFunction": "average", "groupByKeys": keys} if keys else None


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


def _tag(name: str) -> str:
    return f"tags.`{name}`"


def _param(name: str) -> str:
    return f"params.`{name}`"


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


@mlflow_settings()
def find_page(uri: str, study: str | None) -> str:
    """Where MLflow's pages show a study, below their address; with no name, the only one there is.

    Raises:
        StoreError: there is no such study, or the store cannot be opened.
    """
    found = {each.name: each for each in opened(uri).search_experiments(max_results=1000)}
    found.pop(EVERYONES, None)
    if study is None:
        return _page(*found.values()) if len(found) == 1 else "#/experiments"
    if study not in found:
        names = ", ".join(sorted(found)) or "no study"
        raise StoreError(f"--study-name: received {study}; {masked(uri)} holds {names}")
    return _page(found[study])


def _page(experiment: Experiment) -> str:
    prepared = f"{TAG}{TRIALS_VIEW}" in experiment.tags
    return page(experiment.experiment_id, TRIALS_VIEW if prepared else "")
