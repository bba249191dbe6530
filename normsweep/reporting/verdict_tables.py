"""The verdicts as a page prints them: every cell in words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from normsweep.reporting.verdict_rows import VerdictRow, baseline_epochs, without_repeats
from normsweep.reporting.words import between, percent, points, question_of
from normsweep.text import counted, quoted

__all__ = ["PrintedVerdict", "VerdictTable", "verdict_tables"]

NO_BREAK = "\u00a0"
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


def verdict_tables(
    rows: Sequence[VerdictRow], part: int, command: str = "", seeds: int = 0
) -> list[VerdictTable]:
    """The questions of a part of the report; `command` adds seeds to the study."""
    told = [row for row in without_repeats(rows) if question_of(row.question).part == part]
    tables = []
    for key in dict.fromkeys(row.question for row in told):
        found = [row for row in told if row.question == key]
        first = found[0]
        title = question_of(key).heading(first.reference, first.horizon, baseline_epochs(rows))
        printed = tuple(_printed(row, command, seeds or row.seeds) for row in found)
        warnings = tuple(dict.fromkeys(text for row in found for text in row.warnings))
        tables.append(VerdictTable(key, title, first.primary, first.by.label, printed, warnings))
    return tables


def _printed(row: VerdictRow, command: str, seeds: int) -> PrintedVerdict:
    kind, glyph = KINDS.get(row.word, ("open", "?"))
    level = row.interval_level
    return PrintedVerdict(
        arm=row.arm,
        kind=kind,
        glyph=glyph,
        word=row.word,
        when=_when(row),
        gap=points(row.gap, by=row.by) if math.isfinite(row.gap) else "not known",
        level=f"{level} interval".strip(),
        interval=_bounds(row, row.low, row.high),
        these_images=_bounds(row, row.seeds_low, row.seeds_high),
        value=percent(row.value, by=row.by),
        reference_value=percent(row.reference_value, by=row.by),
        evidence=_evidence(row),
        next_step=_next_step(row, seeds),
        command=_command(row, command, seeds) if row.undecided else "",
    )


def _bounds(row: VerdictRow, low: float, high: float) -> str:
    return between(low, high, row.by) if math.isfinite(low) and math.isfinite(high) else "not known"


def _when(row: VerdictRow) -> str:
    """The epoch in words; a question that stays open has none."""
    if row.catches_up:
        tail = row.verdict.removeprefix(f"{row.word} ")
        early = row.epoch_low is not None and row.epoch is not None and row.epoch_low < row.epoch
        return f"{tail}; perhaps from epoch {row.epoch_low}" if early else tail
    if row.falls_short:
        return f"not within {counted(row.horizon, 'epoch')}"
    return ""


def _evidence(row: VerdictRow) -> tuple[str, ...]:
    """Lines: how many seeds and images, by which rules, what is left out."""
    lost = [
        f"{count} diverged with {quoted(arm)}"
        for arm, count in ((row.arm, row.diverged), (row.reference, row.reference_diverged))
        if count
    ]
    seeds, images = counted(row.seeds, "seed"), counted(row.images, "image")
    margin, look = points(row.margin, sign=False, by=row.by), f"look {row.look}"
    lines = ((seeds, images), (f"margin {margin}", look))
    return *(", ".join(part.replace(" ", NO_BREAK) for part in line) for line in lines), *lost


def _next_step(row: VerdictRow, seeds: int) -> str:
    """What to do about an open question; `seeds` are those of the look, failed ones included."""
    if not row.undecided:
        return ""
    if row.more_seeds == "images":
        return (
            "More test images would decide, not more seeds: use a larger test set, "
            "or declare a wider margin for the next study."
        )
    if row.more_seeds.isdigit():
        return (
            f"About {row.more_seeds} more seeds would decide: "
            f"raise their number from {seeds} to {seeds + int(row.more_seeds)}."
        )
    if row.more_seeds:
        return (
            f"{row.more_seeds[:1].upper()}{row.more_seeds[1:]} further seeds would be needed; "
            "if that is too much, declare a wider margin for the next study."
        )
    hint = (
        " More trials, or more epochs, come before a verdict." if "guessing" in row.reason else ""
    )
    return f"This is open because {row.reason or 'the evidence is not enough'}.{hint}"


def _command(row: VerdictRow, command: str, seeds: int) -> str:
    """The command that brings the seeds which this row lacks; empty where seeds do not help."""
    if row.more_seeds.isdigit():
        return re.sub(
            r"confirm\.seeds=\d+", f"confirm.seeds={seeds + int(row.more_seeds)}", command
        )
    return command if row.reason.startswith("at least") else ""
