"""What tuning gains: the best score on validation by trials, by time, and by the number of epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.trials import TuningCurve
from normsweep.reporting.evidence_tables import budget_table, learning_rates_table, tunability_table
from normsweep.reporting.figures.axes import time_unit, value_axis, whole
from normsweep.reporting.figures.figure import Figure
from normsweep.reporting.figures.labels import EndLabel, end_labels, room_for
from normsweep.reporting.figures.limits import Limits, in_view
from normsweep.reporting.figures.panels import (
    DOT,
    by_arm,
    grid,
    panel,
    panel_width,
    pointed,
    rows_of,
    tooltips,
    under,
    with_links,
    with_score,
)
from normsweep.reporting.figures.theme import Arms, Style, Table
from normsweep.reporting.figures.vega import Chart, Json, channel, equal
from normsweep.reporting.words import budget_unit, percent
from normsweep.text import counted, duration

__all__ = ["budget", "tunability"]

EXPECTED, SO_FAR = "expected best", "best so far"
TITLES = {
    EXPECTED: "Best of so many random trials, on average",
    SO_FAR: "Best so far, as the search went",
}
MARKED = 8
"""Marks on a smooth curve."""
DENSE = 300
"""Points of a curve that are drawn one by one."""


def tunability(found: Evidence, style: Style) -> Figure:
    """The best score of an arm's first trials, by their number and by the time that they took."""
    figure = Figure(
        name="tunability",
        title="How much tuning it takes",
        caption="How good the best of so many trials of an arm is, and the best that so much time finds: "
        "the seconds of all its trials together, with failed attempts. These are validation scores of "
        "selected trials: good for comparing the effort, too "
        + ("high as an accuracy." if found.metric.label == "accuracy" else "good as an estimate."),
        missing="There are too few trials for a curve of tuning effort.",
    )
    if not found.tuning:
        return figure
    data, unit = _efforts(found)
    data, limits = in_view(data, data.groupby("arm")["score"].last(), found)
    columns, fields = 2 - style.narrow, ("arm", "kind", "score", "trials", "seconds")
    curves = _Curves(found, style, data, limits, columns, fields)
    axis = {"title": f"{unit} of the arm's trials together", "tickCount": 6}
    time = channel("spent:Q", scale={"nice": False, "zero": True, "padding": 6}, axis=axis)
    trials = whole("trials", int(data["trials"].max()), "trials of the arm")
    panels = []
    for kind in curves.kinds:
        panels += [
            curves.panel(time, kind, ends=style.narrow, title=TITLES[kind]),
            curves.panel(trials, kind, labels=style.narrow),
        ]
    words = [
        f"{arm}: {percent(last.score, by=found.metric)} after {counted(int(last.trials), 'trial')} and "
        f"{duration(last.seconds)}."
        for arm, rows in by_arm(data, found)
        for last in rows.tail(1).itertuples()
    ]
    return replace(figure, description=" ".join(words), data=data, chart=grid(panels, columns))


def _efforts(found: Evidence) -> tuple[Table, str]:
    """One row an arm, kind and number of trials, and the unit of the column `spent`."""
    arms = Arms.of(found).back_to_front({curve.arm for curve in found.tuning})
    curves = sorted(found.tuning, key=lambda curve: arms.index(curve.arm))
    frame: Table = pd.concat(map(_effort, curves), ignore_index=True)
    unit, seconds = time_unit(frame["seconds"].max())
    return frame.assign(spent=frame["seconds"] / seconds), unit


def _effort(curve: TuningCurve) -> Table:
    """A curve's points; of a long one the beginnings and ends of steps, or ever fewer.

    `marked` are the first trial, each new best one and the last, or some of a smooth curve.
    """
    frame = tunability_table([curve]).rename(columns={"expected": "score"})
    count, place, score = len(frame), frame.index, frame["score"]
    new, some = score != score.shift(), place % -(-count // MARKED) == 0
    frame["marked"] = (place == count - 1) | (new if curve.kind == SO_FAR else some)
    steps = new | new.shift(-1, fill_value=False)
    spaced = place.isin(np.geomspace(1, count, DENSE // 2).round() - 1)
    return frame[some | spaced | (count <= DENSE) | (steps & (steps.sum() <= DENSE))]


def budget(found: Evidence, style: Style) -> Figure:
    """The best score of each arm for every number of epochs."""
    figure = Figure(
        name="budget",
        title="The best for each number of epochs",
        caption=f"The best validation {found.metric.label} of each arm after so many epochs, among its "
        f"trials that got so far{_survivors(found)}. A triangle is below the axis. The best of "
        "several trials is too good as an estimate.",
        missing="No trial has a score yet.",
    )
    data = with_links(_budgets(found), style)
    if data.empty:
        return figure
    data, limits = in_view(data, data.groupby("arm")["score"].last(), found)
    fields = (
        "arm",
        "epochs",
        "score",
        "optimizer",
        "learning_rate",
        "trial",
        "among",
        "reached_by",
    )
    title = budget_unit(found.steps_per_epoch)
    epochs = whole("epochs", int(data["epochs"].max()), title)
    chart = grid([_Curves(found, style, data, limits, 1, fields).panel(epochs)], 1)
    return replace(figure, description=_budget_words(data, found), data=data, chart=chart)


def _survivors(found: Evidence) -> str:
    """Which trials got to the later epochs."""
    rungs = found.record.run_sweep.rungs
    if not rungs:
        return ": fewer got to the later ones" if found.record.sweep.samples_epochs else ""
    parts = [f"{rung.going_on} of an arm after epoch {rung.epoch}" for rung in rungs]
    return f": halving let only the best go on, {' and '.join(parts)}, and marks are pale where only they got"


def _budgets(found: Evidence) -> Table:
    """One row an arm and number of epochs, with the best trial's settings; `among` so many trials."""
    searched, arms = found.record.searched, Arms.of(found).back_to_front(found.record.arms)
    settings = learning_rates_table(searched)[["trial", "optimizer", "learning_rate"]]
    best = budget_table(searched, arms).merge(settings, on="trial")
    return with_score(best).dropna(subset="score")


def _budget_words(data: Table, found: Evidence) -> str:
    parts = []
    for arm, rows in by_arm(data, found):
        ends = [
            f"{percent(row.score, by=found.metric)} after {counted(int(row.epochs), 'epoch')}"
            for row in rows.iloc[[0, -1]].drop_duplicates().itertuples()
        ]
        parts.append(f"{arm}: {', '.join(ends)}.")
    return " ".join(parts)


@dataclass(frozen=True)
class _Curves:
    """A curve for each arm; all panels share the axis of scores, and the room for names at the right."""

    found: Evidence
    style: Style
    data: Table
    limits: Limits
    columns: int
    fields: Sequence[str]
    """What is read at a mark."""

    @cached_property
    def kinds(self) -> list[str]:
        """Of estimates, each with panels of its own."""
        return [kind for kind in TITLES if "kind" in self.data and kind in set(self.data["kind"])]

    @cached_property
    def ends(self) -> dict[str, list[EndLabel]]:
        """By kind, an arm's name and score at the height where its curve ends."""
        known = self.data.dropna(subset="score")
        of_kinds = {kind: known[known["kind"] == kind] for kind in self.kinds} or {"": known}
        return {
            kind: [
                EndLabel(arm, last, percent(last, by=self.found.metric))
                for arm, rows in by_arm(of_kind, self.found)
                for last in rows["score"].tail(1)
            ]
            for kind, of_kind in of_kinds.items()
        }

    @property
    def pale(self) -> Json:
        """Marks where only survivors of halving got are pale."""
        if "reached_by" not in self.data or not self.found.record.run_sweep.rungs:
            return {}
        survivors = {"test": equal("reached_by", "survivors"), "value": 0.4}
        return {"opacity": {"condition": survivors, "value": 1}}

    def panel(
        self, x: Json, kind: str = "", labels: bool = True, ends: bool = True, title: str = ""
    ) -> Json:
        """The curves with names or without; `labels` are those of the scores."""
        arms = Arms.of(self.found)
        room = room_for([one for each in self.ends.values() for one in each], self.style.width)
        size = panel_width(self.style, self.columns, room), 200.0 if self.style.narrow else 260.0
        score = f"validation {self.found.metric.label}"
        y = value_axis("score", self.limits, self.found.metric, score, labels)
        base = rows_of(*([equal("kind", kind)] if kind else []))
        base = base.encode(x=x, y=y, **arms.looks("color"))
        marks = self.marks(kind, f"zoom_{x['field']}_{self.kinds.index(kind) if kind else 0}")
        names = end_labels(self.ends[kind], arms, self.limits, size, room) if ends else []
        return panel(base, marks, size, title, beside=names)

    def marks(self, kind: str, zoom: str) -> list[Json]:
        """Bands, lines that leave the axes where the scores do, marks, and what lies below."""
        looks, rows = Arms.of(self.found).looks, Chart()
        band = rows.filter("isValid(datum.low)").mark("area", opacity=0.13, clip=True)
        line = rows.mark(
            "line", clip=True, interpolate="step-after" if kind == SO_FAR else "linear"
        )
        dots = rows.filter("!datum.below && datum.marked !== false").mark("point", **DOT, size=55)
        tips = tooltips(self.found.metric, *self.fields)
        return [
            *([band.encode(y="low:Q", y2="high:Q")] if kind == EXPECTED else []),
            line.encode(**looks("strokeDash", "strokeWidth")),
            under(rows),
            dots.encode(**looks("shape"), **self.pale),
            pointed(rows.encode(y="drawn:Q"), tips, self.style, zoom),
        ]
