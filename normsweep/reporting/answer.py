"""The verdicts in a sentence, and as a small table for the console."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd

from normsweep.analysis.evidence import Evidence
from normsweep.parts.metrics import ACCURACY
from normsweep.reporting.verdict_rows import (
    VerdictRow,
    primary_rows,
    read_verdicts,
    without_repeats,
)
from normsweep.reporting.words import between, points, question_of
from normsweep.text import counted, listed, quoted

__all__ = ["answer_sentence", "study_answer", "verdict_lines"]

NAMED = 4
"""Arms of one kind up to which a sentence gives each one's number."""


def study_answer(found: Evidence) -> str:
    """The primary question's verdicts of a study in one sentence."""
    declared = found.declared
    return answer_sentence(found.verdicts, declared.compare, declared.reference, declared.primary)


def answer_sentence(
    verdicts: pd.DataFrame, compare: str, reference: str, question: str = "both_tuned"
) -> str:
    """The primary question's verdicts in one sentence.

    `question` is taken where no row is marked as primary. Without verdicts the sentence says that
    there is no answer yet.
    """
    rows = read_verdicts(verdicts)
    if not rows:
        return (
            f"No answer yet: the search tunes each {compare.replace('_', ' ')}, "
            "and only the confirmation on fresh seeds decides."
        )
    rows = primary_rows(rows, question)
    return _of_one(rows[0]) if len(rows) == 1 else _of_several(rows, reference)


def verdict_lines(verdicts: pd.DataFrame) -> pd.DataFrame:
    """The verdicts for the console: arm, question, answer, gap in its unit with interval, seeds.

    All columns are text; the primary question has a star.
    """
    rows = without_repeats(read_verdicts(verdicts))
    unit = rows[0].by.unit if rows else ACCURACY.unit
    columns = ["arm", "question", "answer", f"gap_in_{unit}" if unit else "gap", "seeds"]
    return pd.DataFrame([_line(row) for row in rows], columns=columns, dtype=object)


def _line(row: VerdictRow) -> tuple[str, ...]:
    label = question_of(row.question).label(row.horizon)
    answer = row.verdict
    if row.undecided and row.more_seeds and row.more_seeds != "images":
        answer = f"{row.word}: {row.more_seeds} more seeds"
    elif row.more_seeds == "images":
        answer = f"{row.word}: more test images"
    gap = points(row.gap, by=row.by).partition(" ")[0]
    interval = f" ({between(row.low, row.high, row.by)})" if math.isfinite(row.low) else ""
    star = " *" if row.primary else ""
    return row.arm, f"{label}{star}", answer, f"{gap}{interval}", str(row.seeds)


def _of_one(row: VerdictRow) -> str:
    given = question_of(row.question).given(row.reference)
    arm, reference = quoted(row.arm), quoted(row.reference)
    if row.catches_up:
        opening = "Yes, with a reservation" if _lost(row) else "Yes"
        return (
            f"{opening}: {given}, {arm} {row.verdict} and from then to epoch {row.horizon} is at "
            f"most {_size(row, row.margin)} behind {reference} "
            f"(gap after {counted(row.horizon, 'epoch')} {points(row.gap, by=row.by)}, {_evidence(row)})."
        )
    if row.falls_short:
        return (
            f"No: {given}, {arm} is {_size(row, row.gap)} behind {reference} after "
            f"{counted(row.horizon, 'epoch')} ({_evidence(row)}), "
            f"and {_size(row, row.margin)} would have passed for equal."
        )
    return _undecided(row, given)


def _undecided(row: VerdictRow, given: str) -> str:
    arm, reference = quoted(row.arm), quoted(row.reference)
    if not math.isfinite(row.low):
        return f"Not decided yet: {given}, {arm} and {reference} are compared, but {row.reason}."
    worse, better = sorted((row.low, row.high), key=lambda gap: row.by.sign * gap)
    return (
        f"Not decided yet: {given}, {arm} may stand anywhere from {_standing(row, worse)} to "
        f"{_standing(row, better)} {reference} after {counted(row.horizon, 'epoch')} "
        f"({_level(row)} interval, {counted(row.seeds, 'seed')}; up to "
        f"{_size(row, row.margin)} behind passes for equal); {row.reason}."
    )


def _standing(row: VerdictRow, gap: float) -> str:
    return f"{_size(row, gap)} {'behind' if row.by.sign * gap < 0 else 'ahead of'}"


def _size(row: VerdictRow, difference: float) -> str:
    return points(difference, sign=False, by=row.by)


def _of_several(rows: Sequence[VerdictRow], reference: str) -> str:
    passed = [row for row in rows if row.catches_up]
    short = [row for row in rows if row.falls_short]
    open_ = [row for row in rows if row.undecided]
    given = question_of(rows[0].question).given(reference)
    parts = (_passed(passed, rows), _short(short, bool(passed)), _open(open_))
    return f"{_opening(passed, short, rows)}: {given}, {'; '.join(filter(None, parts))}."


def _opening(
    passed: Sequence[VerdictRow], short: Sequence[VerdictRow], rows: Sequence[VerdictRow]
) -> str:
    if len(passed) == len(rows):
        return "Yes, with a reservation" if any(map(_lost, passed)) else "Yes"
    if len(short) == len(rows):
        return "No"
    if not passed:
        return "Not decided yet"
    return "It depends" if short else "Partly decided"


def _passed(passed: Sequence[VerdictRow], rows: Sequence[VerdictRow]) -> str:
    """Who catches up, when, and of whom only the seeds that trained are known to."""
    if not passed:
        return ""
    first, many = passed[0], len(passed) > 1
    who = f"{len(passed)} of {len(rows)}" if len(passed) < len(rows) else f"all {len(rows)}"
    head = f"{who} catch{'' if many else 'es'} up with {quoted(first.reference)}"
    head += f" within {counted(first.horizon, 'epoch')}: "
    if len(passed) <= NAMED:
        return head + listed([f"{quoted(row.arm)} {_when(row)}" for row in passed])
    names = [quoted(row.arm) + (" where it trains" if _lost(row) else "") for row in passed]
    epochs = sorted(row.epoch for row in passed if row.epoch is not None)
    return f"{head}{listed(names)}, at epochs {epochs[0]} to {epochs[-1]}"


def _short(short: Sequence[VerdictRow], others: bool) -> str:
    """Who does not; `others` does, so that the sentence needs not say what."""
    if not short:
        return ""
    verb = "does not" if len(short) == 1 else "do not"
    first = short[0]
    what = "" if others else f" catch up with {quoted(first.reference)}"
    what += "" if others else f" within {counted(first.horizon, 'epoch')}"
    if len(short) == 1:
        return f"{quoted(first.arm)} {verb}{what}{_behind(first)}"
    return f"{_named(short, _behind)} {verb}{what}"


def _open(open_: Sequence[VerdictRow]) -> str:
    if not open_:
        return ""
    verb = "is" if len(open_) == 1 else "are"
    reasons = {row.reason for row in open_}
    if len(reasons) > 1:
        return f"{_named(open_, _needs)} {verb} not decided yet"
    why = "".join(f": {reason}" for reason in reasons if reason)
    return f"{listed([quoted(row.arm) for row in open_])} {verb} not decided yet{why}"


def _named(rows: Sequence[VerdictRow], detail: Callable[[VerdictRow], str]) -> str:
    """The arms with a detail each, or without where they are many."""
    shown = len(rows) <= NAMED
    return listed([quoted(row.arm) + (detail(row) if shown else "") for row in rows])


def _lost(row: VerdictRow) -> bool:
    """Whether seeds are left out because they diverged."""
    return bool(row.diverged or row.reference_diverged)


def _when(row: VerdictRow) -> str:
    return row.verdict.removeprefix(f"{row.word} ")


def _behind(row: VerdictRow) -> str:
    return f" ({_size(row, row.gap)} behind)"


def _needs(row: VerdictRow) -> str:
    return f" ({row.reason})" if row.reason else ""


def _evidence(row: VerdictRow) -> str:
    low, high = row.low, row.high
    if row.falls_short:
        low, high = sorted((abs(row.low), abs(row.high)))
        bounds = f"{_size(row, low).split()[0]} to {_size(row, high)}"
    else:
        bounds = between(low, high, row.by)
    return f"{_level(row)} interval {bounds}; {counted(row.seeds, 'seed')}"


def _level(row: VerdictRow) -> str:
    return row.interval_level or "the"
