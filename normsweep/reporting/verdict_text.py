"""The verdicts in words: for a page, a document and the console."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from normsweep.analysis.outcomes import Outcome, Side, side
from normsweep.analysis.rules import Missing
from normsweep.analysis.verdicts import Verdict, without_repeats
from normsweep.parts.metrics import ACCURACY
from normsweep.reporting.outcome_words import (
    chosen_words,
    outcome_text,
    seeds_words,
    when,
    window_words,
)
from normsweep.reporting.rows import Rows
from normsweep.reporting.words import (
    gap_number,
    interval_words,
    margin_number,
    margin_words,
    percent,
    points,
    question_of,
    sample_numbers,
    sample_words,
)
from normsweep.text import counted, opening, quoted

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CELLS",
    "PrintedVerdict",
    "VerdictTable",
    "level_words",
    "row_id",
    "verdict_cells",
    "verdict_lines",
    "verdict_rows",
    "verdict_tables",
]

NO_BREAK = "\u00a0"
BESIDE_A_NUMBER = re.compile(r"(?<=\d) |(?<!,) (?=\d)")
GLYPHS = {Side.YES: "✓", Side.NO: "✕", Side.OPEN: "?"}
CELLS = [
    "question", "arm", "verdict", "gap", "interval", "on_these_images", "seeds", "images", "margin",
    "analysis",
]  # fmt: skip


@dataclass(frozen=True)
class PrintedVerdict:
    """A verdict in words. `kind` is yes, no or open; `next_step` is empty where nothing is left to do."""

    row: str
    """Identifier of its row, as from `row_id`."""
    arm: str
    kind: str
    glyph: str
    word: str
    when: str
    gap: str
    level: str
    interval: str
    these_images: str
    value: str
    reference_value: str
    evidence: tuple[str, ...]
    next_step: str
    command: str


@dataclass(frozen=True)
class VerdictTable:
    """A question's verdicts."""

    key: str
    title: str
    primary: bool
    measured: str
    """The metric in words."""
    rows: tuple[PrintedVerdict, ...]
    warnings: tuple[str, ...]
    """What qualifies any of the rows, each once."""
    last: str
    """Of which epochs gap and values are, as the end of a heading."""
    images: bool = True
    """Whether there are intervals for new images, beside those for these ones alone."""


def level_words(verdict: Verdict) -> str:
    """The level of the verdict's own intervals: `97.5 %`."""
    return f"{100 * verdict.level:.4g} %"


def verdict_tables(
    verdicts: Sequence[Verdict], part: int, command: str = "", study: str = ""
) -> list[VerdictTable]:
    """The questions of a part of the report.

    `command` confirms with more of them, `study` runs the study, which adds some by itself.
    """
    told = [v for v in without_repeats(verdicts) if question_of(v.question).part == part]
    tables = []
    for key in dict.fromkeys(v.question for v in told):
        found = [v for v in told if v.question == key]
        first = found[0]
        title = question_of(key).heading(first.reference, first.horizon, first.baseline_epochs)
        printed = tuple(
            _printed(v, row_id(key, place), command, study) for place, v in enumerate(found)
        )
        warnings = tuple(dict.fromkeys(text for v in found for text in v.warnings))
        label = first.metric.label
        last = f", last {'epoch' if first.window == 1 else 'epochs'}" if first.horizon else ""
        images = first.images > 0
        tables.append(
            VerdictTable(key, title, first.primary, label, printed, warnings, last, images)
        )
    return tables


def row_id(question: str, place: int) -> str:
    """The identifier of a verdict's row on a page; `place` is that among the question's verdicts."""
    return f"{question}-{place + 1}"


def _printed(verdict: Verdict, row: str, command: str, study: str) -> PrintedVerdict:
    kind = side(verdict.outcome)
    by, gap = verdict.metric, verdict.gap.value
    return PrintedVerdict(
        row=row,
        arm=verdict.arm,
        kind=kind,
        glyph=GLYPHS[kind],
        word=verdict.outcome.value,
        when=_when(verdict),
        gap=points(gap, by=by) if math.isfinite(gap) else "not known",
        level=f"{level_words(verdict)} interval",
        interval=interval_words(verdict) or "not known",
        these_images=interval_words(verdict, verdict.on_these_images) or "not known",
        value=percent(verdict.value, by=by),
        reference_value=percent(verdict.reference_value, by=by),
        evidence=_evidence(verdict),
        next_step=_next_step(verdict),
        command=_command(verdict, command, study),
    )


def _when(verdict: Verdict) -> str:
    """The epoch in words; a question that stays open has none."""
    low, up = verdict.epoch_low, verdict.epoch
    early = verdict.catches_up and low is not None and up is not None and low < up
    said = when(verdict).strip(" ,;")
    said = said.strip("()") if said.startswith("(") else said
    if said and verdict.outcome is Outcome.A_LITTLE_BEHIND:
        said = f"level {said}"  # it may have been ahead before
    return f"{said}; perhaps from epoch {low}" if early else said


def _evidence(verdict: Verdict) -> tuple[str, ...]:
    """Lines: how many seeds and images, by which rules, what is left out."""
    arm, reference = verdict.trained
    trained = [seeds_words(arm)] if arm.seeds else []
    if reference.lost:
        trained.append(
            f"{reference.trained} of {counted(reference.seeds, 'seed')} of {quoted(verdict.reference)} trained"
        )
    samples = [sample_words(verdict)]
    if verdict.images:
        samples.append(counted(verdict.images, "test example"))
    margin = margin_words(verdict.margin, verdict.share, verdict.metric)
    lines = (samples, (f"margin {margin}", f"analysis {verdict.analysis}"))
    kept = (BESIDE_A_NUMBER.sub(NO_BREAK, ", ".join(line)) for line in lines)
    chosen = chosen_words(verdict.chosen)
    tuned = [f"tuned: chosen {chosen}"] if chosen else []
    return *kept, *_own_epoch(verdict), *trained, *tuned


def _own_epoch(verdict: Verdict) -> Iterator[str]:
    """Of which epochs the gap is a mean, and the gap of the last one alone."""
    if window := window_words(verdict):
        alone = points(verdict.last_epoch.value, by=verdict.metric)
        yield f"{window}; epoch {verdict.horizon} alone {alone}"


def _next_step(verdict: Verdict) -> str:
    """What to do about an open question."""
    more, seeds = verdict.further_seeds, _confirmed_seeds(verdict)
    match verdict.missing:
        case Missing.NOTHING:
            return ""
        case Missing.MORE_IMAGES:
            return (
                "More test data would decide, not more seeds: use a larger test set, "
                "or declare a wider margin for the next study."
            )
        case Missing.UNDECIDABLE:
            return f"{opening(verdict.reason)}: declare a wider margin for the next study."
        case Missing.MORE_SEEDS if more is not None and verdict.most is not None:
            them = "it" if more == 1 else "them"
            return f"{opening(verdict.reason)}: the study adds {them} when it is run again."
        case Missing.MORE_SEEDS if more is not None:
            return (
                f"About {counted(more, 'more seed')} would decide: "
                f"raise their number from {seeds} to {seeds + more}."
            )
        case Missing.MORE_SEEDS:
            return (
                f"{opening(verdict.more_seeds)} further seeds would be needed; "
                "if that is too many, declare a wider margin for the next study."
            )
        case Missing.REFERENCE_AT_CHANCE:
            hint = "More trials, or more epochs, come before a verdict."
            return f"This is open because {verdict.reason}. {hint}"
        case Missing.TOO_FEW_SEEDS:
            return f"This is open because {verdict.reason}."


def _confirmed_seeds(verdict: Verdict) -> int:
    """The seeds of both sides, those that did not train included."""
    return min(each.seeds for each in verdict.trained) or verdict.seeds


def _command(verdict: Verdict, command: str, study: str) -> str:
    """The command that adds the seeds that this verdict needs; empty if seeds do not help."""
    seeds = _confirmed_seeds(verdict)
    needed = verdict.further_seeds is not None or verdict.missing is Missing.TOO_FEW_SEEDS
    if needed and verdict.most is not None and seeds < verdict.most:
        return study
    if verdict.further_seeds is not None:
        wanted = f"confirm.seeds={seeds + verdict.further_seeds}"
        return re.sub(r"confirm\.seeds=\d+", wanted, command)
    return command if verdict.missing is Missing.TOO_FEW_SEEDS else ""


def verdict_cells(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row a question and arm for documents, all text: what a verdict rests on, in few columns.

    Gaps, intervals and the margin are in the metric's unit: for the accuracy and all other shares in
    percentage points. `interval` holds for new seeds and new images, `on_these_images` for new seeds
    alone; what too few seeds leave unknown is empty. The primary question has a star, and a question that
    repeats another one has no row.
    """
    return Rows.of(CELLS, map(_cells, without_repeats(verdicts))).frame().astype(object)


def _cells(verdict: Verdict) -> tuple[str, ...]:
    by, gap = verdict.metric, verdict.gap.value
    return (
        _starred(verdict),
        f"{verdict.arm} − {verdict.reference}",
        outcome_text(verdict),
        gap_number(gap, by=by) if math.isfinite(gap) else "",
        interval_words(verdict),
        interval_words(verdict, verdict.on_these_images),
        f"{verdict.seeds}",
        f"{verdict.images or ''}",
        margin_number(verdict.margin, verdict.share, by),
        f"{verdict.analysis}",
    )


def verdict_lines(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """The verdicts for the console as a data frame, see `verdict_rows`."""
    return verdict_rows(verdicts).frame().astype(object)


def verdict_rows(verdicts: Sequence[Verdict]) -> Rows:
    """The verdicts for the console: arm, question, answer, gap in its unit with interval, seeds.

    All columns are text; the primary question has a star.
    """
    told = without_repeats(verdicts)
    by = told[0].metric if told else ACCURACY
    unit = by.unit or by.label
    columns = ["arm", "question", "answer", f"gap in {unit}", "seeds"]
    return Rows.of(columns, map(_line, told))


def _line(verdict: Verdict) -> tuple[str, ...]:
    answer = outcome_text(verdict)
    if verdict.outcome is Outcome.CLEARLY_BEHIND and not verdict.parity.level_until:
        answer = verdict.outcome.value
    if verdict.missing is Missing.MORE_IMAGES:
        answer = f"{verdict.outcome}: more test data"
    elif verdict.missing is Missing.MORE_SEEDS:
        more = verdict.further_seeds
        seeds = f"{verdict.more_seeds} more seeds" if more is None else counted(more, "more seed")
        answer = f"{verdict.outcome}: {seeds}"
    gap = gap_number(verdict.gap.value, by=verdict.metric)
    found = interval_words(verdict)
    interval = f" ({found})" if found else ""
    return verdict.arm, _starred(verdict), answer, f"{gap}{interval}", sample_numbers(verdict)


def _starred(verdict: Verdict) -> str:
    label = question_of(verdict.question).label(verdict.horizon)
    return f"{label} *" if verdict.primary else label
