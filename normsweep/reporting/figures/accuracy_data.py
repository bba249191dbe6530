"""What is drawn of a metric against epochs, as numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from normsweep.analysis.confirm_runs import Curve
from normsweep.analysis.evidence import Evidence
from normsweep.analysis.verdicts import Verdict
from normsweep.reporting.figures.limits import Limits, accuracy_limits, cut
from normsweep.reporting.figures.theme import Arms
from normsweep.reporting.words import points
from normsweep.sweep.trial import Result
from normsweep.text import counted

__all__ = ["AccuracyPanel", "accuracy_data", "accuracy_panels", "panel_limits"]

PANELS = {
    "baseline": ("The baseline settings", "more_epochs"),
    "tuned_long": ("Each with its own settings tuned", "both_tuned"),
    "tuned_short": ("Each tuned for the baseline's epochs", "both_tuned_short"),
}
"""Configurations, with a title and the question whose parity is marked."""
USUAL_MARGIN = 0.002


@dataclass(frozen=True)
class AccuracyPanel:
    """One configuration's curves, and what the verdicts say of them.

    `level` is the value at which the reference stands still, where the question is that of more
    epochs, and `stop` the epoch at which it does; a level of None: the arms are held against the
    reference's curve.
    """

    configuration: str
    title: str
    note: str
    """What the band is; empty if there is no band."""
    curves: dict[str, Curve]
    """By arm."""
    answers: dict[str, Verdict]
    level: float | None
    stop: int | None
    margin: float

    @property
    def last(self) -> int:
        """The longest curve's epochs."""
        return max(len(curve.epochs) for curve in self.curves.values())

    def ring(self, arm: str) -> int | None:
        """The epoch from which an arm keeps up."""
        answer = self.answers.get(arm)
        return answer.epoch if answer is not None and answer.catches_up else None


def accuracy_panels(found: Evidence) -> list[AccuracyPanel]:
    """At most two panels: the baseline settings and the tuned ones."""
    known = {curve.configuration for curve in found.curves}
    return [_panel(found, name) for name in PANELS if name in known][:2]


def _panel(found: Evidence, name: str) -> AccuracyPanel:
    title, question = PANELS[name]
    answers = {v.arm: v for v in found.verdicts if v.question == question}
    first = next(iter(answers.values()), None)
    level = first.reference_value if first and question == "more_epochs" else None
    margin = first.margin if first else USUAL_MARGIN
    stop = first.baseline_epochs if first else None
    after = counted(stop, "epoch") if stop else "the baseline's epochs"
    when = "at the same epoch" if level is None else f"after {after}"
    known = first is not None and (level is None or math.isfinite(level))
    around = f"± {points(margin, sign=False, by=found.metric)}"
    return AccuracyPanel(
        configuration=name,
        title=title,
        note=f"band: {found.reference} {when} {around}" if known else "",
        curves={c.arm: c for c in found.curves if c.configuration == name},
        answers=answers,
        level=level,
        stop=stop,
        margin=margin,
    )


def panel_limits(panels: list[AccuracyPanel], found: Evidence) -> Limits:
    """The values at the lower and the upper edge of all panels.

    The reference is seen from its second epoch on, its band too.
    """
    sign, margin = found.metric.sign, max(panel.margin for panel in panels)
    estimates = [e for panel in panels for c in panel.curves.values() for e in c.epochs]
    every = [sign * bound for e in estimates for bound in (e.value, e.low, e.high)]
    of_reference = [p.curves[found.reference] for p in panels if found.reference in p.curves]
    must = [sign * e.value - margin for curve in of_reference for e in curve.epochs[1:]]
    low, high = accuracy_limits(every, must, margin, found.metric)
    return sign * low, sign * high


def accuracy_data(panels: list[AccuracyPanel], found: Evidence) -> pd.DataFrame:
    """A row for each arm, configuration and epoch, and one for each of its seeds.

    `seed` and `trial` are missing in the rows of means, `low` and `high` in those of seeds. `seconds`
    are those of training, `total` those of the arm's search as well. `parity` marks the epoch from which
    an arm keeps up with the reference; `below` and `drawn` are those of `cut`.
    """
    columns = ["arm", "configuration", "seed", "trial", "epoch", "score", "low", "high", "parity"]
    tables = []
    for panel in panels:
        for arm in Arms.of(found).back_to_front(panel.curves):
            curve = panel.curves[arm]
            runs, ring = _runs(found, curve), panel.ring(arm)
            rows = [*_means(curve, ring), *_seeds(runs)]
            key = (arm, panel.configuration)
            frame = pd.DataFrame([(*key, *row) for row in rows], columns=columns)
            seconds = frame["epoch"] * _epoch_seconds(list(runs.values()))
            tables.append(frame.assign(seconds=seconds, total=_effort(found, key) + seconds))
    data = pd.concat(tables, ignore_index=True).astype({"seed": "Int64", "trial": "Int64"})
    return cut(data, panel_limits(panels, found), found.metric)


def _means(curve: Curve, ring: int | None) -> Iterator[tuple[Any, ...]]:
    for epoch, e in enumerate(curve.epochs, start=1):
        yield None, None, epoch, e.value, e.low, e.high, epoch == ring


def _seeds(runs: dict[int, Result]) -> Iterator[tuple[Any, ...]]:
    for seed, (trial, result) in enumerate(runs.items()):
        for e in result.curve:
            if e.tested is not None:
                yield seed, trial, e.epoch, e.tested.value, None, None, False


def _runs(found: Evidence, curve: Curve) -> dict[int, Result]:
    """The runs behind a curve by the trial's number, in the order of the seeds."""
    results = {r.trial.number: r.result for r in found.record.confirmed}
    known = {
        number: results.get(number)
        for c in found.analysis.configurations
        if (c.arm, c.name) == (curve.arm, curve.configuration)
        for number in c.runs
        if number is not None
    }
    return {number: result for number, result in known.items() if result is not None}


def _effort(found: Evidence, key: tuple[str, str]) -> float:
    """Seconds of the arm's search; none for settings that were not searched for."""
    return next((s.tuning_seconds for s in found.speeds if (s.arm, s.configuration) == key), 0.0)


def _epoch_seconds(results: list[Result]) -> float:
    """Median wall time of an epoch, which ignores compilation and a busy machine."""
    seconds = [epoch.seconds for result in results for epoch in result.curve]
    return float(np.median(seconds)) if seconds else float("nan")
