"""The verdicts as a page prints them: every cell in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from normsweep.reporting.verdict_rows import VerdictRow, baseline_epochs
from normsweep.reporting.words import between, counted, percent, points, question_of, quoted

__all__ = ["PrintedVerdict", "VerdictTable", "verdict_tables"]

KINDS = {"catches up": ("yes", "✓"), "does not catch up": ("no", "✕")}


@dataclass(frozen=True)
class PrintedVerdict:
    """A verdict in words. `kind` is yes, no or open; `next_step` is empty where nothing is left to do."""

    arm: str
    kind: str
    glyph: str
    word: str
    when: str
    gap: str
    interval: str
    these_images: str
    accuracies: str
    evidence: str
    next_step: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class VerdictTable:
    """A question's verdicts."""

    key: str
    title: str
    primary: bool
    rows: tuple[PrintedVerdict, ...]


def verdict_tables(rows: Sequence[VerdictRow], part: int, command: str = "") -> list[VerdictTable]:
    """The questions of a part of the report; `command` adds seeds to the study."""
    keys = dict.fromkeys(row.question for row in rows if question_of(row.question).part == part)
    tables = []
    for key in keys:
        found = [row for row in rows if row.question == key]
        first = found[0]
        title = question_of(key).heading(first.reference, first.horizon, baseline_epochs(rows))
        printed = tuple(_printed(row, command) for row in found)
        tables.append(VerdictTable(key, title, first.primary, printed))
    return tables


def _printed(row: VerdictRow, command: str) -> PrintedVerdict:
    kind, glyph = KINDS.get(row.word, ("open", "?"))
    level = f"{100 * row.confidence:g} %" if math.isfinite(row.confidence) else ""
    return PrintedVerdict(
        arm=row.arm,
        kind=kind,
        glyph=glyph,
        word=row.word,
        when=_when(row),
        gap=points(row.gap) if math.isfinite(row.gap) else "not known",
        interval=f"{level} interval {_bounds(row.low, row.high)}".strip(),
        these_images=_bounds(row.seeds_low, row.seeds_high),
        accuracies=f"{percent(row.accuracy)} against {percent(row.reference_accuracy)}",
        evidence=_evidence(row),
        next_step=_next_step(row, command),
        warnings=row.warnings,
    )


def _bounds(low: float, high: float) -> str:
    return between(low, high) if math.isfinite(low) and math.isfinite(high) else "not known"


def _when(row: VerdictRow) -> str:
    """The epoch in words; a question that stays open has none."""
    if row.catches_up:
        tail = row.verdict.removeprefix(f"{row.word} ")
        early = row.epoch_low is not None and row.epoch is not None and row.epoch_low < row.epoch
        return f"{tail}; perhaps from epoch {row.epoch_low}" if early else tail
    if row.falls_short:
        return f"not within {counted(row.horizon, 'epoch')}"
    return ""


def _evidence(row: VerdictRow) -> str:
    parts = [counted(row.seeds, "seed"), counted(row.images, "image")]
    parts += [f"margin {points(row.margin, sign=False)}", f"look {row.look}"]
    lost = [
        f"{count} diverged with {quoted(arm)}"
        for arm, count in ((row.arm, row.diverged), (row.reference, row.reference_diverged))
        if count
    ]
    return ", ".join(parts + lost)


def _next_step(row: VerdictRow, command: str) -> str:
    """What to do about an open question."""
    if not row.undecided:
        return ""
    reason = f"{row.reason[:1].upper()}{row.reason[1:]}. " if row.reason else ""
    if row.more_seeds == "images":
        return (
            f"{reason}A larger test set, or a wider margin declared before the next study, helps."
        )
    if not row.more_seeds:
        return reason.strip()
    if row.more_seeds.isdigit():
        return f"{reason}Raise the number of seeds from {row.seeds} to {row.seeds + int(row.more_seeds)}."
    return f"{reason}If that is too much, declare a wider margin for the next study."
