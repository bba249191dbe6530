"""The gaps of all verdicts below one another, with the margin that was declared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.outcomes import Outcome, Side, side
from normsweep.analysis.verdicts import Verdict, without_repeats
from normsweep.reporting.figures import vega
from normsweep.reporting.figures.figure import Figure, values_of
from normsweep.reporting.figures.theme import BAND, HIDDEN, INK, PAPER, Arms, Chart, Style, shown
from normsweep.reporting.words import between, epoch_words, points, question_of
from normsweep.text import opening

__all__ = ["forest", "reach"]

HEAD, ROW = 38, 29
"""Heights in pixels of a question's title and of an arm."""
MOST = 9.0
"""Margins that the axis reaches at most; what lies beyond is drawn as an arrow."""
SIDES = {Side.YES: "circle", Side.NO: "square", Side.OPEN: "diamond"}
SHAPES = {
    **{outcome: SIDES[side(outcome)] for outcome in Outcome},
    "worse": "triangle-left",
    "better": "triangle-right",
}
DRAWN = {
    Side.YES: "M-.9,.1L-.3,.7L.9,-.8",
    Side.NO: "M-.7,-.7L.7,.7M-.7,.7L.7,-.7",
    Side.OPEN: "M-.45,-.55C-.4,-1.1,.5,-1.1,.5,-.5C.5,-.1,0,-.1,0,.35M0,.75v.15",
}
GLYPHS = {outcome: DRAWN[side(outcome)] for outcome in Outcome}
"""A tick, a cross and a question mark, which not every font has."""
OUTCOMES = vega.param("outcomes", None)


def forest(found: Evidence, style: Style) -> Figure:
    """A row per verdict: gap, interval (thick), the interval for these images alone (thin), outcome."""
    figure = Figure(
        name="forest",
        title="All gaps together",
        caption=f"{opening(found.metric.label)} minus that of {found.reference}. Thick: the interval that "
        "decides; thin: on exactly these test images. Yellow: the equivalence margin. Circle: level or ahead; "
        "square: clearly behind; hollow: open; an arrow points at a gap beyond the axis.",
        missing="There are no verdicts yet.",
    )
    rows = without_repeats(found.verdicts)
    if not rows:
        return figure
    data = _data(rows)
    chart = _Drawing(found, style, Arms.of(found), rows, data).chart()
    return replace(figure, data=data, chart=chart, description=_described(rows))


def _data(rows: Sequence[Verdict]) -> pd.DataFrame:
    """A row per verdict, by question; gaps are in the unit of the metric.

    `group` and `row` count questions and verdicts; `said` and `when` are gap and outcome in words.
    """
    groups = list(dict.fromkeys(row.question for row in rows))
    ordered = sorted(rows, key=lambda row: groups.index(row.question))
    return pd.DataFrame([
        {
            "question": _title(row), "group": groups.index(row.question), "row": number,
            "first": not number or ordered[number - 1].question != row.question,
            "arm": row.arm, "gap": row.gap.value, "low": row.gap.low, "high": row.gap.high,
            "low_on_these_images": row.on_these_images.low,
            "high_on_these_images": row.on_these_images.high,
            "margin": row.margin, "outcome": str(row.outcome), "seeds": row.seeds,
            "number": _number(row), "interval": _interval(row), "when": epoch_words(row),
        }
        for number, row in enumerate(ordered)
    ])  # fmt: skip


def _title(row: Verdict) -> str:
    words = question_of(row.question).heading(row.reference, row.horizon, row.baseline_epochs)
    return f"{words} (main question)" if row.primary else words


def _number(row: Verdict) -> str:
    return points(row.gap.value, by=row.metric).partition(" ")[0]


def _interval(row: Verdict) -> str:
    return between(row.gap.low, row.gap.high, row.metric) if math.isfinite(row.gap.low) else ""


def _described(rows: Sequence[Verdict]) -> str:
    said: dict[str, list[str]] = {}
    for row in rows:
        words = f"{row.arm} {_number(row)} ({_interval(row)}), {epoch_words(row)}"
        said.setdefault(_title(row), []).append(words)
    return " ".join(f"{question}: {'; '.join(words)}." for question, words in said.items())


def reach(rows: Sequence[Verdict]) -> tuple[float, float]:
    """The gaps at the left and at the right edge, better to the right: two margins at least, nine at most."""
    margin, sign = max(row.margin for row in rows), rows[0].metric.sign
    estimates = [e for row in rows for e in (row.gap, row.on_these_images)]
    bounds = [sign * bound for e in estimates for bound in (e.low, e.high)]
    seen = [b for b in bounds if abs(b) <= MOST * margin]
    low, high = min([*seen, -2 * margin]), max([*seen, 2 * margin])
    room = 0.06 * (high - low)
    return sign * (low - room), sign * (high + room)


@dataclass(frozen=True)
class _Drawing:
    """The chart's parts; on a phone an arm takes two lines, and its words stand above its gap."""

    found: Evidence
    style: Style
    arms: Arms
    rows: Sequence[Verdict]
    data: pd.DataFrame

    @property
    def step(self) -> int:
        return 2 * ROW - 6 if self.style.narrow else ROW

    @property
    def height(self) -> int:
        groups = len({row.question for row in self.rows})
        return HEAD * groups + self.step * len(self.rows) + 6

    @property
    def left(self) -> float:
        longest = max(map(len, self.data["arm"]))
        return 14 if self.style.narrow else min(7.0 * longest, 165.0) + 28

    @property
    def numbers(self) -> float:
        """Pixels to the right of the axes for gap and interval."""
        return 190 if self.found.metric.percent else 235

    @property
    def width(self) -> float:
        return self.style.width - self.left - (14 if self.style.narrow else self.numbers + 175)

    def chart(self) -> vega.Json:
        rows = shown(vega.Chart())
        margin = vega.param("margin", max(row.margin for row in self.rows))
        return vega.layer(
            *self.band(rows),
            *self.intervals(rows),
            *self.gaps(rows),
            *self.words(rows),
            self.note(),
            self.hover(rows),
            data=values_of(self.data),
            transform=self.places(),
            encoding={"x": self.axis(), "y": self.lines()},
            width=self.width,
            height=self.height,
            params=[HIDDEN, margin, OUTCOMES],
            resolve={"scale": {"shape": "independent"}},
        )

    def places(self) -> list[vega.Json]:
        """Where a row stands, and what its outcome is; a page may have read others with its margin."""
        left, right = reach(self.rows)
        sign = self.found.metric.sign
        low, high = min(left, right), max(left, right)
        beyond = f"{sign} * datum.gap < {sign * left} ? 'worse' : {sign} * datum.gap > {sign * right} ? 'better' : "
        made = {
            "y": f"{HEAD} * (datum.group + 1) + {self.step} * (datum.row + 1) - {ROW / 2}",
            "read": "isArray(outcomes) ? outcomes[datum.row] : datum.outcome",
            "shape": f"{beyond} datum.read",
            "at": f"isValid(datum.gap) ? clamp(datum.gap, {low}, {high}) : null",
        }
        return vega.Chart().calculate(**made)["transform"]

    def axis(self) -> Chart:
        by, (left, right) = self.found.metric, reach(self.rows)
        measured = f"{by.unit} of {by.label}" if by.unit else by.label
        turned = "" if by.sign > 0 else "; better to the right"
        return vega.channel(
            "at:Q",
            scale={"domain": sorted((left, right)), "nice": False, "zero": False, "reverse": left > right},
            axis={
                "title": f"{measured} against the reference{turned}", "tickCount": 8,
                "labelExpr": f"datum.value == 0 ? '0' : format({by.scale} * datum.value, '+~g')",
            },
        )  # fmt: skip

    def lines(self) -> Chart:
        return vega.channel("y:Q", scale={"domain": [self.height, 0], "nice": False}, axis=None)

    def band(self, rows: Chart) -> list[Chart]:
        """What passes for equal behind each row; dashed at the declared margin's worse end, a line at zero."""
        half = 0.3 * ROW if self.style.narrow else 0.5 * ROW
        spans = rows.calculate(
            foot=f"datum.y - {half}", head=f"datum.y + {half}", down="-margin", up="margin",
            worse=f"{-self.found.metric.sign} * datum.margin", none="0",
        )  # fmt: skip
        line = {"color": INK, "opacity": 0.6, "strokeWidth": 1, "clip": True}
        return [
            spans.mark("rect", color=BAND, opacity=0.3, clip=True)
            .encode(x="down:Q", x2="up:Q", y="foot:Q", y2="head:Q"),
            spans.mark("rule", strokeDash=[3, 3], **line).encode(x="worse:Q", y="foot:Q", y2="head:Q"),
            spans.mark("rule", **line).encode(x="none:Q", y="foot:Q", y2="head:Q"),
        ]  # fmt: skip

    def intervals(self, rows: Chart) -> list[Chart]:
        """Thick the intervals that decide, thin those for these images alone."""
        colour = self.arms.colour()
        return [
            rows.mark("rule", strokeWidth=6, opacity=0.45, clip=True)
            .encode(x="low:Q", x2="high:Q", color=colour),
            rows.mark("rule", strokeWidth=1.9, clip=True)
            .encode(x="low_on_these_images:Q", x2="high_on_these_images:Q", color=colour),
        ]  # fmt: skip

    def gaps(self, rows: Chart) -> list[Chart]:
        """The gap itself; its shape tells the outcome, an arrow that it lies beyond the axis."""
        shape = vega.channel("shape:N", scale=_ordinal(SHAPES), legend=None)
        open_ = [str(outcome) for outcome in Outcome if side(outcome) is Side.OPEN]
        hollow = f"indexof({open_}, datum.shape) >= 0"
        mark: dict[str, Any] = {"size": 75, "opacity": 1}
        return [
            rows.filter(f"!({hollow})")
            .mark("point", filled=True, stroke=PAPER, strokeWidth=1, **mark)
            .encode(color=self.arms.colour(), shape=shape),
            rows.filter(hollow)
            .mark("point", fill=PAPER, strokeWidth=2, **mark)
            .encode(color=self.arms.colour(), shape=shape),
        ]  # fmt: skip

    def words(self, rows: Chart) -> list[Chart]:
        """Question, arm, gap and outcome."""
        left, narrow = self.left, self.style.narrow
        title = vega.Chart().filter("datum.first")
        up = -ROW + 8 if narrow else 0
        said = rows.calculate(
            answer="isArray(outcomes) ? datum.read + '*' : datum.when",
            numbers="datum.number + (datum.interval ? ' (' + datum.interval + ')' : '')",
        )
        short = said.calculate(both="datum.number + ' · ' + datum.answer")
        end, word = self.width + 8, self.width + self.numbers
        glyph = {"size": 60, "stroke": INK, "fill": None, "opacity": 1, "strokeWidth": 1.7}
        shape = vega.channel("read:N", scale=_ordinal(GLYPHS), legend=None)
        marks = [
            _text(title, "question", -left, self.style.width - 4, dy=-ROW / 2 - 12 - (ROW - 6) * narrow,
                  fontWeight="bold", fontSize=12.5),
            _text(rows, "arm", 10 - left, 0.35 * self.style.width if narrow else left - 20, dy=up),
            rows.mark("point", yOffset=up, **glyph).encode(x=vega.value(end if narrow else word), shape=shape),
        ]  # fmt: skip
        if narrow:
            return [*marks, _text(short, "both", end - 12, 0.62 * self.width, dy=up, align="right")]
        return [
            *marks,
            _text(said, "numbers", self.width + 12, self.numbers - 22, fontSize=11),
            _text(said, "answer", word + 12, 150, fontSize=11),
        ]

    def note(self) -> Chart:
        """That outcomes were read afterwards, with a margin that was not declared."""
        note = "isArray(outcomes) ? '* read afterwards' : ''"
        one = vega.Chart().filter("datum.row == 0").calculate(note=note)
        made = _text(one, "note", self.width, self.width, fontSize=11, opacity=0.75, align="right")
        return made.encode(y=vega.value(self.height + 46))

    def hover(self, rows: Chart) -> Chart:
        """What one points at."""
        tips = {
            "arm": "arm", "question": "question", "gap": "number", "interval": "interval",
            "equivalence margin": "margin", "outcome": "outcome", "at": "when", "seeds": "seeds",
        }  # fmt: skip
        return rows.mark("rule", strokeWidth=18, opacity=0).encode(
            x=vega.value(0), x2=vega.value(self.width),
            tooltip=[vega.channel(f"{of}:N", title=name) for name, of in tips.items()],
        )  # fmt: skip


def _text(rows: Chart, field: str, x: float, limit: float, **more: Any) -> Chart:
    mark = {"align": "left", "baseline": "middle", "limit": limit, "clip": False, **more}
    return rows.mark("text", **mark).encode(x=vega.value(x), text=f"{field}:N")


def _ordinal(looks: dict[Any, str]) -> vega.Json:
    return {"domain": [str(key) for key in looks], "range": list(looks.values())}
