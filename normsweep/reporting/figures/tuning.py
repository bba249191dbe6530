"""What tuning gains: the best score on validation by trials, by time, and by the number of epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.trials import best_by_epochs, longest_curve
from normsweep.reporting.figures import vega
from normsweep.reporting.figures.axes import counts, heading, side_title, value_axis
from normsweep.reporting.figures.figure import Figure, values_of
from normsweep.reporting.figures.labels import EndLabel, end_labels, room_for
from normsweep.reporting.figures.panels import (
    DOT,
    Limits,
    grid,
    panel_width,
    pointed,
    put_in_view,
    time_unit,
    tooltips,
    under,
)
from normsweep.reporting.figures.theme import HIDDEN, Arms, Chart, Style, Table, shown, with_links
from normsweep.reporting.words import percent
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
    measured = found.metric.label
    figure = Figure(
        name="tunability",
        title="How much tuning it takes",
        caption="How good the best of so many trials of an arm is, and the best that so much time finds: "
        "the seconds of all its trials together, with failed attempts. These are validation scores of "
        "selected trials: good for comparing the effort, too "
        + ("high as an accuracy." if measured == "accuracy" else "good as an estimate."),
        missing="There are too few trials for a curve of tuning effort.",
    )
    data, unit = _efforts(found)
    if data.empty:
        return figure
    arms = Arms.of(found)
    data, limits = put_in_view(data, data.groupby("arm")["score"].last(), arms, found.metric)
    return replace(
        figure,
        description=_effort_words(data, arms, found),
        data=data,
        chart=_Efforts(found, style, data, limits, unit).chart(),
    )


def _efforts(found: Evidence) -> tuple[Table, str]:
    """One row an arm, kind and number of trials, and the unit of the column `spent`.

    `marked` are the first trial, each new best one and the last, or some of a smooth curve.
    """
    columns = ["kind", "arm", "trials", "seconds", "score", "low", "high", "marked"]
    arms = Arms.of(found).back_to_front({curve.arm for curve in found.tuning})
    rows = []
    for curve in sorted(found.tuning, key=lambda curve: arms.index(curve.arm)):
        count = len(curve.scores)
        for i in _drawn(curve.scores):
            score = curve.scores[i]
            new = i == 0 or curve.scores[i - 1] != score
            marked = i == count - 1 or (
                new if curve.kind == SO_FAR else i % -(-count // MARKED) == 0
            )
            bounds = curve.low[i], curve.high[i]
            rows.append((curve.kind, curve.arm, i + 1, curve.seconds[i], score, *bounds, marked))
    frame: Table = pd.DataFrame(rows, columns=columns)
    unit, seconds = time_unit(frame["seconds"].max() if len(frame) else 0.0)
    return frame.assign(spent=frame["seconds"] / seconds), unit


def _drawn(scores: Sequence[float]) -> list[int]:
    """The places of a long curve that draw it: the beginnings and ends of steps, else ever fewer."""
    count = len(scores)
    if count <= DENSE:
        return list(range(count))
    steps = {i + side for i in range(1, count) if scores[i] != scores[i - 1] for side in (-1, 0)}
    few = steps if len(steps) <= DENSE else set()
    spaced = np.geomspace(1, count, DENSE // 2).round().astype(int) - 1
    return sorted({*few, *map(int, spaced), *range(0, count, -(-count // MARKED))})


def _effort_words(data: Table, arms: Arms, found: Evidence) -> str:
    parts = []
    for arm in arms.ordered(set(data["arm"])):
        last = data[data["arm"] == arm].iloc[-1]
        parts.append(
            f"{arm}: {percent(last['score'], by=found.metric)} after {counted(int(last['trials']), 'trial')} "
            f"and {duration(last['seconds'])}."
        )
    return " ".join(parts)


@dataclass(frozen=True)
class _Curves:
    """The parts of a chart with a curve for each arm; all panels share the axis of scores."""

    found: Evidence
    style: Style
    data: Table
    limits: Limits

    @cached_property
    def arms(self) -> Arms:
        return Arms.of(self.found)

    def tips(self) -> list[vega.Json]:
        """What is read at a mark."""
        raise NotImplementedError

    @cached_property
    def values(self) -> vega.Json:
        return values_of(self.data)

    def size(self, columns: int, room: float) -> tuple[float, float]:
        """Width and height of a panel."""
        return panel_width(self.style, columns, room), 200.0 if self.style.narrow else 260.0

    def ends(self, data: Table) -> list[EndLabel]:
        """An arm's name and score at the height where its curve ends."""
        last = data.dropna(subset="score").groupby("arm")["score"].last()
        by = self.found.metric
        return [
            EndLabel(arm, last[arm], percent(last[arm], by=by))
            for arm in self.arms.ordered(last.index)
        ]

    def rows(self, x: vega.Json) -> Chart:
        return shown(vega.Chart(self.values)).encode(x=x, color=self.arms.colour())

    def marks(
        self, rows: Chart, name: str, labels: bool, marked: str, steps: bool = False
    ) -> list[Chart]:
        """A line that leaves the axes where the scores do, marks where it is `marked`, and what lies below."""
        at, of = (
            value_axis(field, self.limits, self.found.metric, labels=labels)
            for field in ("score", "drawn")
        )
        line = rows.mark("line", clip=True, interpolate="step-after" if steps else "linear")
        line = line.encode(y=at, strokeWidth=self.arms.width(), strokeDash=self.arms.dash())
        inside = rows.filter(f"!datum.below && {marked}").mark("point", **DOT, size=55)
        points, every = inside.encode(y=of, shape=self.arms.shape()), rows.encode(y=of)
        return [line, under(every), points, pointed(every, self.tips(), self.style, name)]


@dataclass(frozen=True)
class _Efforts(_Curves):
    """Two panels for each kind of estimate: by time and by trials."""

    unit: str
    """Of the time."""

    @cached_property
    def kinds(self) -> list[str]:
        return [kind for kind in TITLES if kind in set(self.data["kind"])]

    @cached_property
    def room(self) -> float:
        labels = [label for kind in self.kinds for label in self.ends(self.of(kind))]
        return room_for(labels, self.style.width)

    def of(self, kind: str) -> Table:
        return self.data[self.data["kind"] == kind]

    def chart(self) -> Chart:
        panels = [self.panel(kind, by_time) for kind in self.kinds for by_time in (True, False)]
        return grid(panels, 1 if self.style.narrow else 2)

    def panel(self, kind: str, by_time: bool) -> Chart:
        first, columns = by_time or self.style.narrow, 1 if self.style.narrow else 2
        width, height = self.size(columns, self.room)
        rows = self.rows(self.time() if by_time else self.trials())
        rows = rows.filter(vega.equal("kind", kind))
        smooth, name = (
            kind == EXPECTED,
            f"zoom_{'time' if by_time else 'trials'}_{self.kinds.index(kind)}",
        )
        layers = self.band(rows, first) if smooth else []
        layers += self.marks(rows, name, first, "datum.marked", steps=not smooth)
        if first:
            layers.append(side_title(f"validation {self.found.metric.label}", height))
        if not by_time or self.style.narrow:
            ends = self.ends(self.of(kind))
            layers += end_labels(ends, self.arms, self.limits, (width, height), self.room)
        title = TITLES[kind] if by_time else ""
        return vega.layer(
            *layers, *heading(title, width=width + self.room), width=width, height=height
        )

    def band(self, rows: Chart, labels: bool) -> list[Chart]:
        """Where the expected best is known with its interval."""
        low = value_axis("low", self.limits, self.found.metric, labels=labels)
        area = rows.filter("isValid(datum.low)").mark("area", opacity=0.13, clip=True)
        return [area.encode(y=low, y2=vega.channel("high:Q"))]

    def time(self) -> vega.Json:
        axis = {"title": f"{self.unit} of the arm's trials together", "tickCount": 6}
        return vega.channel("spent:Q", scale={"nice": False, "zero": True, "padding": 6}, axis=axis)

    def trials(self) -> vega.Json:
        return _whole("trials", int(self.data["trials"].max()), "trials of the arm")

    def tips(self) -> list[vega.Json]:
        score = f"validation {self.found.metric.label}"
        return tooltips(
            self.found.metric,
            arm="arm",
            kind="estimate",
            score=score,
            trials="trials",
            seconds="seconds",
        )


def _whole(field: str, last: int, title: str) -> vega.Json:
    """Whole numbers from 1, the last among them."""
    axis = {"title": title, "values": counts(last), "labelOverlap": True}
    return vega.channel(
        f"{field}:Q", scale={"zero": False, "nice": False, "padding": 14}, axis=axis
    )


def budget(found: Evidence, style: Style) -> Figure:
    """The best score of each arm for every number of epochs."""
    measured = found.metric.label
    figure = Figure(
        name="budget",
        title="The best for each number of epochs",
        caption=f"The best validation {measured} of each arm after so many epochs, among its trials that "
        "got so far: fewer got to the later ones. A triangle is below the axis. The best of several "
        "trials is too good as an estimate.",
        missing="No trial has a score yet.",
    )
    data = with_links(_budgets(found), style)
    if data.empty:
        return figure
    arms = Arms.of(found)
    data, limits = put_in_view(data, data.groupby("arm")["score"].last(), arms, found.metric)
    return replace(
        figure,
        description=_budget_words(data, arms, found),
        data=data,
        chart=_Budgets(found, style, data, limits).chart(),
    )


def _budgets(found: Evidence) -> Table:
    """One row an arm and number of epochs, with the best trial's settings; `among` so many trials."""
    searched = found.record.searched
    arms = Arms.of(found).back_to_front(found.record.arms)
    best = best_by_epochs(searched, arms, range(1, longest_curve(searched) + 1))
    columns = ["arm", "epochs", "score", "trial", "among", "optimizer", "learning_rate"]
    rows = [
        (
            each.arm,
            each.epochs,
            each.score,
            trial.number,
            each.among,
            trial.optimizer,
            trial.learning_rate,
        )
        for each in best
        for trial in [each.record.trial]
    ]
    frame: Table = pd.DataFrame(rows, columns=columns).dropna(subset="score")
    return frame


def _budget_words(data: Table, arms: Arms, found: Evidence) -> str:
    parts = []
    for arm in arms.ordered(set(data["arm"])):
        of_arm = data[data["arm"] == arm]
        ends = [
            f"{percent(row.score, by=found.metric)} after {counted(int(row.epochs), 'epoch')}"
            for row in of_arm.iloc[[0, -1]].drop_duplicates().itertuples()
        ]
        parts.append(f"{arm}: {', '.join(ends)}.")
    return " ".join(parts)


@dataclass(frozen=True)
class _Budgets(_Curves):
    """One panel."""

    def chart(self) -> Chart:
        ends, by = self.ends(self.data), self.found.metric
        room = room_for(ends, self.style.width)
        width, height = self.size(1, room)
        rows = self.rows(_whole("epochs", int(self.data["epochs"].max()), "epochs"))
        layers = [
            *self.marks(rows, "zoom_budget", labels=True, marked="true"),
            *end_labels(ends, self.arms, self.limits, (width, height), room),
            side_title(f"validation {by.label}", height),
        ]
        return vega.layer(*layers, width=width, height=height, params=[HIDDEN])

    def tips(self) -> list[vega.Json]:
        return tooltips(
            self.found.metric,
            arm="arm",
            epochs="epochs",
            score=f"validation {self.found.metric.label}",
            optimizer="optimizer",
            learning_rate="learning rate",
            trial="trial",
            among="best of",
        )
