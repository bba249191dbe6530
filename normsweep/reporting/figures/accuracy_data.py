"""What is drawn of a metric against epochs, as numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from normsweep.analysis.confirm_runs import Curve, SeedCurve
from normsweep.analysis.evidence import Findings
from normsweep.analysis.given import GIVEN
from normsweep.analysis.verdicts import Verdict, without_repeats
from normsweep.reporting.figures.limits import UNIT, Limits, accuracy_limits, cut
from normsweep.reporting.figures.theme import Arms
from normsweep.reporting.words import margin_number
from normsweep.text import counted

__all__ = ["AccuracyPanel", "accuracy_data", "accuracy_panels", "panel_limits"]

PANELS = {
    "baseline": ("The baseline settings", ("more_epochs", "equal_epochs")),
    "tuned_long": ("Each with its own settings tuned", ("both_tuned",)),
    "tuned_short": ("Each tuned for the baseline's epochs", ("both_tuned_short",)),
    GIVEN: ("The given runs", (GIVEN,)),
}
"""Configurations, with a title and the question whose parity is marked: the first one that has a row."""


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


def accuracy_panels(found: Findings) -> list[AccuracyPanel]:
    """At most two panels: the baseline settings and the tuned ones."""
    known = {curve.configuration for curve in found.curves}
    return [_panel(found, name) for name in PANELS if name in known][:2]


def _panel(found: Findings, name: str) -> AccuracyPanel:
    title, questions = PANELS[name]
    curves = {c.arm: c for c in found.curves if c.configuration == name}
    told = without_repeats(found.verdicts)
    asked = next((q for q in questions if any(v.question == q for v in told)), "")
    answers = {v.arm: v for v in told if v.question == asked}
    first = next(iter(answers.values()), None)
    declared = [v.margin for v in answers.values() if math.isfinite(v.margin)]
    margin = declared[0] if declared else UNIT
    stop = first.baseline_epochs if first else None
    level = None
    if stop and asked == "more_epochs":
        reference = curves.get(found.reference, Curve(found.reference, name, ()))
        level = reference.after(stop)
    after = counted(stop, "epoch") if stop else "the baseline's epochs"
    when = "at the same epoch" if level is None else f"after {after}"
    known = bool(declared) and (level is None or math.isfinite(level))
    share = first.share if first else 0.0
    around = f"± {found.metric.measured(margin_number(margin, share, found.metric))}"
    return AccuracyPanel(
        configuration=name,
        title=title,
        note=f"band: {found.reference} {when} {around}" if known else "",
        curves=curves,
        answers=answers,
        level=level,
        stop=stop,
        margin=margin,
    )


def panel_limits(panels: list[AccuracyPanel], found: Findings) -> Limits:
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


def accuracy_data(panels: list[AccuracyPanel], found: Findings) -> pd.DataFrame:
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
            runs, ring = found.seeds_of(curve), panel.ring(arm)
            rows = [*_means(curve, ring), *_seeds(runs)]
            key = (arm, panel.configuration)
            frame = pd.DataFrame([(*key, *row) for row in rows], columns=columns)
            seconds = frame["epoch"] * _epoch_seconds(runs)
            total = found.tuning_seconds(curve) + seconds
            tables.append(frame.assign(seconds=seconds, total=total))
    data = pd.concat(tables, ignore_index=True).astype({"seed": "Int64", "trial": "Int64"})
    return cut(data, panel_limits(panels, found), found.metric)


def _means(curve: Curve, ring: int | None) -> Iterator[tuple[Any, ...]]:
    for epoch, e in enumerate(curve.epochs, start=1):
        yield None, None, epoch, e.value, e.low, e.high, epoch == ring


def _seeds(runs: Sequence[SeedCurve]) -> Iterator[tuple[Any, ...]]:
    for run in runs:
        for epoch, score in enumerate(run.scores, start=1):
            yield run.seed, run.trial, epoch, score, None, None, False


def _epoch_seconds(runs: Sequence[SeedCurve]) -> float:
    """Median wall time of an epoch, which ignores compilation and a busy machine."""
    seconds = [each for run in runs for each in run.seconds]
    return float(np.median(seconds)) if seconds else float("nan")
