"""What a page's script and its controls get: specs and numbers of the figures, verdicts, outcomes, looks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from normsweep.analysis import outcomes
from normsweep.analysis.evidence import Evidence
from normsweep.analysis.verdicts import Verdict, without_repeats
from normsweep.reporting.verdict_text import row_id

if TYPE_CHECKING:
    from normsweep.reporting.figures.gallery import Picture

__all__ = ["arm_looks", "page_data"]

Json = dict[str, Any]

STEPS = 10
"""Steps of the margin's slider in a declared margin."""
FARTHEST = 50
"""Declared margins at the slider's end, at most."""
PATHS = {
    "circle": "M-.9,0A.9,.9 0 1,1 .9,0A.9,.9 0 1,1 -.9,0Z",
    "square": "M-.8,-.8h1.6v1.6h-1.6Z",
    "triangle-up": "M0,-.9L1,.8H-1Z",
    "triangle-down": "M0,.9L1,-.8H-1Z",
    "diamond": "M0,-1.1L1.1,0L0,1.1L-1.1,0Z",
}
"""Shapes that Vega has names for."""


def page_data(found: Evidence, pictures: Mapping[str, Picture]) -> Json:
    """Everything that the page's script knows; the numbers of figures are under `datasets`, each once."""
    from normsweep.reporting.figures.theme import INK

    drawn = [picture for picture in pictures.values() if picture.specs]
    return {
        "study": found.record.name,
        "figures": {picture.name: _figure(picture) for picture in drawn},
        "datasets": {name: rows for picture in drawn for name, rows in picture.datasets.items()},
        "ink": INK,
        "outcomes": outcomes.as_data(_table(found)),
        "verdicts": list(_verdicts(found.verdicts)),
        "margin": _margin(found),
    }


def _table(found: Evidence) -> Sequence[outcomes.OutcomeRow]:
    """The table of outcomes by which the study is read."""
    earlier = any(verdict.earlier for verdict in found.verdicts)
    return outcomes.EARLIER if earlier else outcomes.OUTCOMES


def _figure(picture: Picture) -> Json:
    """The specs of a figure; `table` is the name of the numbers that it saves, as CSV."""
    tables = {name: text for name, text in picture.datasets.items() if isinstance(text, str)}
    table = max(tables, key=lambda name: len(tables[name]))
    specs = {
        kind: {key: part for key, part in spec.items() if key != "$schema"}
        for kind, spec in picture.specs.items()
    }
    return {"title": picture.title, "table": table, "specs": specs}


def _verdicts(verdicts: Sequence[Verdict]) -> Iterator[Json]:
    """The intervals that the outcomes are read off, higher is better, by the row of the page."""
    places: dict[str, int] = defaultdict(int)
    for verdict in without_repeats(verdicts):
        gap = (verdict.relative or verdict.gap).times(verdict.metric.sign)
        yield {
            "row": row_id(verdict.question, places[verdict.question]),
            "arm": verdict.arm,
            "primary": verdict.primary,
            "outcome": verdict.outcome.value,
            "low": _finite(gap.low),
            "high": _finite(gap.high),
            "barred": verdict.barred,
        }
        places[verdict.question] += 1


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _margin(found: Evidence) -> Json:
    """The declared margin and how far its slider goes: beyond the last bound of the primary question.

    `drawn` is the margin in figures, in the metric's unit, for 1 of the slider's.
    """
    by, share = found.metric, found.record.sweep.confirm.share
    declared = share or found.margin
    gaps = [verdict.relative or verdict.gap for verdict in found.primary]
    bounds = [abs(bound) for gap in gaps for bound in gap.bounds if math.isfinite(bound)]
    reach = 1.1 * max(bounds, default=0.0)
    most = math.ceil(reach / declared) if declared > 0 else 0
    return {
        "declared": _finite(declared),
        "drawn": _finite(found.margin / share) if share else 1,
        "scale": 100 if share else by.scale,
        "unit": "% of the reference" if share else by.unit or by.label,
        "steps": STEPS,
        "most": min(max(most, 3), FARTHEST),
    }


def arm_looks(found: Evidence) -> dict[str, tuple[str, str]]:
    """By arm, its colour and its marker as an SVG path within ±1; ink is the page's text colour."""
    from normsweep.reporting.figures.theme import INK, Arms

    looks = Arms.of(found)
    shown = {arm: looks.look(arm)[:2] for arm in found.record.arms}
    return {
        arm: ("currentColor" if colour == INK else colour, PATHS.get(shape, shape))
        for arm, (colour, shape) in shown.items()
    }
