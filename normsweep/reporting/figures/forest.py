"""The gaps of all verdicts below one another, with the margin that was declared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from normsweep.analysis.evidence import Findings
from normsweep.analysis.outcomes import Outcome, Side, side
from normsweep.analysis.several import StudyLines
from normsweep.analysis.verdicts import Verdict, without_repeats
from normsweep.reporting.figures.figure import Figure
from normsweep.reporting.figures.limits import UNIT, Limits
from normsweep.reporting.figures.panels import HIDDEN, rows_of, tooltips
from normsweep.reporting.figures.theme import BAND, INK, PAPER, Arms, Style, Table
from normsweep.reporting.figures.vega import Chart, Json, channel, expr
from normsweep.reporting.words import epoch_words, gap_number, interval_words, question_of
from normsweep.text import opening

__all__ = ["ROW", "forest", "forest_of_studies", "reach"]

ROW = 29
"""Height of an arm in pixels; on a phone an arm takes two lines."""
MOST = 9.0
"""Margins that the axis reaches at most; what lies beyond is drawn as an arrow."""
SHAPES = {Side.YES: "circle", Side.NO: "square", Side.OPEN: "diamond"}
GLYPHS = {
    Side.YES: "M-.9,.1L-.3,.7L.9,-.8",
    Side.NO: "M-.7,-.7L.7,.7M-.7,.7L.7,-.7",
    Side.OPEN: "M-.45,-.55C-.4,-1.1,.5,-1.1,.5,-.5C.5,-.1,0,-.1,0,.35M0,.75v.15",
}
"""A tick, a cross and a question mark, which not every font has."""


def forest(found: Findings, style: Style) -> Figure:
    """A row per verdict: gap, interval (thick), the interval for these images alone (thin), outcome."""
    thin = any(row.images for row in found.verdicts)
    figure = Figure(
        name="forest",
        title="All gaps together",
        caption=f"{opening(found.metric.label)} minus that of {found.reference}. Thick: the interval that "
        f"decides{'; thin: on exactly this test data' if thin else ''}. Yellow: the equivalence margin. Circle: level or ahead; "
        "square: clearly behind; hollow: open; an arrow points at a gap beyond the axis.",
        missing="There are no verdicts yet.",
    )
    rows = without_repeats(found.verdicts)
    questions = list(dict.fromkeys(row.question for row in rows))
    ordered = sorted(rows, key=lambda row: questions.index(row.question))
    return _drawn(figure, found, style, rows, _data(ordered, [row.arm for row in ordered]))


def forest_of_studies(found: StudyLines, style: Style) -> Figure:
    """A row per study and arm, on the studies' primary question: as `forest`, with the margin of each study."""
    figure = Figure(
        name=f"gaps_{found.metric.name}",
        title=f"The gaps in {found.metric.label}, study by study",
        caption=f"{opening(found.metric.label)} of the arm minus that of the reference, on each study’s primary question. Thick: the "
        "interval that decides; thin: on exactly this test data. Yellow: the study’s own equivalence margin. Circle: level or "
        "ahead; square: clearly behind; hollow: open; an arrow points at a gap beyond the axis.",
        missing="There are no verdicts yet.",
    )
    data = _data(found.verdicts, found.labels)
    return _drawn(figure, found, style, found.verdicts, data, own_margins=True)


def _drawn(
    figure: Figure,
    found: Findings,
    style: Style,
    rows: Sequence[Verdict],
    data: Table,
    own_margins: bool = False,
) -> Figure:
    if data.empty:
        return figure
    parts = []
    for question, of in data.groupby("question", sort=False):
        intervals = of["interval"].map(lambda text: f" ({text})" if text else "")
        words = of["line"] + " " + of["number"] + intervals + ", " + of["when"]
        parts.append(f"{question}: {'; '.join(words)}.")
    chart = _Drawing(found, style, rows, data, own_margins).chart()
    return replace(figure, data=data, chart=chart, description=" ".join(parts))


def _data(rows: Sequence[Verdict], lines: Sequence[str]) -> Table:
    """A row per verdict, in this order, with its name; gaps are in the unit of the metric.

    `row` counts the verdicts; `number`, `interval` and `when` are gap and outcome in words.
    """
    return pd.DataFrame([
        {
            "question": _title(row), "row": number, "line": line, "arm": row.arm, "gap": row.gap.value,
            "low": row.gap.low, "high": row.gap.high, "low_on_these_images": row.on_these_images.low,
            "high_on_these_images": row.on_these_images.high, "margin": row.margin,
            "outcome": str(row.outcome), "seeds": row.seeds,
            "number": gap_number(row.gap.value, by=row.metric),
            "interval": interval_words(row), "when": epoch_words(row),
        }
        for number, (row, line) in enumerate(zip(rows, lines, strict=True))
    ])  # fmt: skip


def _title(row: Verdict) -> str:
    words = question_of(row.question).heading(row.reference, row.horizon, row.baseline_epochs)
    return f"{words} (primary question)" if row.primary else words


def reach(rows: Sequence[Verdict]) -> Limits:
    """The gaps at the left and at the right edge, better to the right: two margins at least, nine at most."""
    margin, sign = _widest(rows), rows[0].metric.sign
    estimates = [e for row in rows for e in (row.gap, row.on_these_images)]
    bounds = [sign * bound for e in estimates for bound in (e.low, e.high)]
    seen = [b for b in bounds if abs(b) <= MOST * margin]
    low, high = min([*seen, -2 * margin]), max([*seen, 2 * margin])
    room = 0.06 * (high - low)
    return sign * (low - room), sign * (high + room)


def _widest(rows: Sequence[Verdict]) -> float:
    """The largest margin; a share of a reference that did not train is not known."""
    return max((row.margin for row in rows if math.isfinite(row.margin)), default=UNIT)


@dataclass(frozen=True)
class _Drawing:
    """A facet for each question; on a phone an arm's words stand above its gap."""

    found: Findings
    style: Style
    rows: Sequence[Verdict]
    data: Table
    own_margins: bool = False
    """Whether the margin of each row is drawn, and questions have rows of their own."""

    @cached_property
    def limits(self) -> Limits:
        return reach(self.rows)

    @cached_property
    def left(self) -> float:
        """Pixels to the left of the axes for the arms' names."""
        longest = max(map(len, self.data["line"]))
        return 14 if self.style.narrow else min(7.0 * longest, 165.0) + 28

    @cached_property
    def numbers(self) -> float:
        """Pixels to the right of the axes for gap and interval."""
        return 190 if self.found.metric.percent else 235

    @cached_property
    def width(self) -> float:
        return self.style.width - self.left - (14 if self.style.narrow else self.numbers + 175)

    def chart(self) -> Json:
        base = rows_of().calculate(**self.read()).encode(x=self.across(), y=self.down())
        marks = [*self.band(), *self.intervals(), *self.gaps(), *self.words(), self.hover()]
        step = 2 * ROW - 6 if self.style.narrow else ROW
        apart = {"scale": {"shape": "independent"}}
        spec = {
            **base,
            "layer": marks,
            "width": self.width,
            "height": {"step": step},
            "resolve": apart,
        }
        questions = self.data["question"].unique().tolist()
        afterwards = expr("isArray(outcomes) ? '* read afterwards' : ''")
        note = {"text": afterwards, "orient": "bottom", "anchor": "end"}
        params = {"margin": _widest(self.rows), "outcomes": None}
        return {
            "facet": channel("question:N", sort=questions),
            "columns": 1,
            "spacing": 12,
            "spec": spec,
            "title": note,
            **({"resolve": {"scale": {"y": "independent"}}} if self.own_margins else {}),
            "params": [HIDDEN, *({"name": name, "value": value} for name, value in params.items())],
        }

    def read(self) -> dict[str, str]:
        """What a row's outcome and place are; a page may have read outcomes with its margin."""
        left, right, sign = *self.limits, self.found.metric.sign
        low, high = sorted(self.limits)
        margin = "datum.margin" if self.own_margins else "margin"
        beyond = f"{sign} * datum.gap < {sign * left} ? 'worse' : {sign} * datum.gap > {sign * right} ? 'better' : "
        return {
            "read": "isArray(outcomes) ? outcomes[datum.row] : datum.outcome",
            "shape": f"{beyond} datum.read",
            "at": f"isValid(datum.gap) ? clamp(datum.gap, {low}, {high}) : null",
            "answer": "isArray(outcomes) ? datum.read + '*' : datum.when",
            "numbers": "datum.number + (datum.interval ? ' (' + datum.interval + ')' : '')",
            "both": "datum.number + ' · ' + datum.answer",
            "down": f"-{margin}", "up": margin, "none": "0", "worse": f"{-sign} * datum.margin",
        }  # fmt: skip

    def across(self) -> Json:
        by, (left, right) = self.found.metric, self.limits
        measured = f"{by.unit} of {by.label}" if by.unit else by.label
        turned = "" if by.sign > 0 else "; better to the right"
        axis = {
            "title": f"{measured} against the reference{turned}", "tickCount": 8, "labelOverlap": True,
            "labelExpr": f"datum.value == 0 ? '0' : format({by.scale} * datum.value, '+~g')",
        }  # fmt: skip
        scale = {
            "domain": sorted(self.limits),
            "nice": False,
            "zero": False,
            "reverse": left > right,
        }
        return channel("at:Q", scale=scale, axis=axis)

    def down(self) -> Json:
        names = {
            "title": None, "grid": False, "domain": False, "labelFontSize": 12, "labelLimit": self.left - 18,
            "minExtent": self.left,
        }  # fmt: skip
        arms = Arms.of(self.found).ordered(self.data["arm"])
        sort = self.data["line"].tolist() if self.own_margins else arms
        return channel("line:N", sort=sort, axis=None if self.style.narrow else names)

    def band(self) -> list[Chart]:
        """What passes for equal behind each row; dashed at the declared margin's worse end, a line at zero."""
        top, end = (0.3, 0.7) if self.style.narrow else (0, 1)
        rows = Chart().encode(
            y=channel("line:N", bandPosition=top), y2=channel("line", bandPosition=end)
        )
        line = {"color": INK, "opacity": 0.6, "strokeWidth": 1, "clip": True}
        return [
            rows.mark("rect", color=BAND, opacity=0.3, clip=True).encode(x="down:Q", x2="up:Q"),
            rows.mark("rule", strokeDash=[3, 3], **line).encode(x="worse:Q"),
            rows.mark("rule", **line).encode(x="none:Q"),
        ]

    def intervals(self) -> list[Chart]:
        """Thick the intervals that decide, thin those for these images alone."""
        rows = Chart().encode(**Arms.of(self.found).looks("color"))
        thick = rows.mark("rule", strokeWidth=6, opacity=0.45, clip=True)
        thin = rows.mark("rule", strokeWidth=1.9, clip=True)
        return [
            thick.encode(x="low:Q", x2="high:Q"),
            thin.encode(x="low_on_these_images:Q", x2="high_on_these_images:Q"),
        ]

    def gaps(self) -> list[Chart]:
        """The gap itself; its shape tells the outcome, an arrow that it lies beyond the axis."""
        looks = Arms.of(self.found).looks("fill", "stroke")
        open_ = [str(outcome) for outcome in Outcome if side(outcome) is Side.OPEN]
        hollow = f"indexof({open_}, datum.shape) >= 0"
        inside = {"condition": {"test": hollow, "value": PAPER}}
        edge = {"condition": {"test": f"!({hollow})", "value": PAPER}}
        shape = channel(
            "shape:N",
            scale=_by_side(SHAPES, worse="triangle-left", better="triangle-right"),
            legend=None,
        )
        made = Chart().mark("point", size=75, opacity=1, strokeWidth=1.6).encode(shape=shape)
        return [made.encode(fill=looks["fill"] | inside, stroke=looks["stroke"] | edge)]

    def words(self) -> list[Chart]:
        """Gap and outcome."""
        up, end, word = -ROW + 8, self.width + 8, self.width + self.numbers
        narrow = self.style.narrow
        look = {"size": 60, "stroke": INK, "fill": None, "opacity": 1, "strokeWidth": 1.7}
        shape = channel("read:N", scale=_by_side(GLYPHS), legend=None)
        glyph = Chart().mark("point", **look, yOffset=up * narrow)
        glyph = glyph.encode(x=end if narrow else word, shape=shape)
        if narrow:
            arm = _text("line", 0, 0.35 * self.style.width, dy=up)
            return [glyph, arm, _text("both", end - 12, 0.62 * self.width, dy=up, align="right")]
        numbers = _text("numbers", self.width + 12, self.numbers - 22, fontSize=11)
        return [glyph, numbers, _text("answer", word + 12, 150, fontSize=11)]

    def hover(self) -> Chart:
        """What one points at."""
        titles = {"number": "gap", "margin": "equivalence margin", "when": "at"}
        names = ("arm", "question", "number", "interval", "margin", "outcome", "when", "seeds")
        tips = tooltips(self.found.metric, **{name: titles.get(name, name) for name in names})
        return Chart().mark("rect", opacity=0).encode(x=0, x2=self.width, tooltip=tips)


def _text(field: str, x: float, limit: float, **more: Any) -> Chart:
    mark = {"align": "left", "baseline": "middle", "limit": limit, "clip": False, **more}
    return Chart().mark("text", **mark).encode(x=x, text=f"{field}:N")


def _by_side(looks: dict[Side, str], **more: str) -> Json:
    """A look for each outcome."""
    every = {str(outcome): looks[side(outcome)] for outcome in Outcome} | more
    return {"domain": list(every), "range": list(every.values())}
