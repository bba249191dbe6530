"""The verdicts on the primary question in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.outcomes import Outcome
from normsweep.analysis.repeats import Repeated
from normsweep.analysis.verdicts import Verdict, primary_verdicts
from normsweep.parts.metrics import Metric
from normsweep.reporting.outcome_words import predicate
from normsweep.reporting.verdict_text import level_words
from normsweep.reporting.words import (
    after_words,
    between,
    interval_words,
    points,
    question_of,
    sample_words,
)
from normsweep.text import counted, listed, opening, quoted

__all__ = ["answer_sentence", "repeats_sentence", "study_answer"]

NAMED = 4
"""Arms of one outcome up to which a sentence gives each one's interval."""
EARLIER = "This study is read by the rules of an earlier version, under which it was created."
"""What follows the answer of a study under earlier rules."""


def study_answer(found: Evidence) -> str:
    """The primary question's verdicts of a study in one sentence."""
    return answer_sentence(found.verdicts, found.record.sweep.compare, found.reference)


def answer_sentence(verdicts: Sequence[Verdict], compare: str, reference: str) -> str:
    """The primary question's verdicts in one sentence.

    `compare` is what the arms differ in. Without verdicts the sentence says that there is no answer yet.
    """
    if not verdicts:
        return (
            f"No answer yet: the search tunes each {compare.replace('_', ' ')}, "
            "and only the confirmation on fresh seeds decides."
        )
    asked = primary_verdicts(verdicts)
    given = opening(question_of(asked[0].question).given(reference))
    said = _of_one(asked[0]) if len(asked) == 1 else _of_several(asked, reference)
    earlier = f" {EARLIER}" if asked[0].earlier else ""
    return f"{given}, {said}{_tuning(asked)}.{earlier}"


def repeats_sentence(verdicts: Sequence[Verdict]) -> str:
    """The gaps over repeats of the whole tuning, which stand beside the answer; empty if there are none."""
    told = [(v, v.repeated) for v in verdicts if v.repeated is not None]
    if not told:
        return ""
    first, by = told[0][1], told[0][0].metric
    if first.ended < first.planned:
        return (
            f"The whole tuning is done {first.planned} times, {first.ended} so far; then there is an "
            "interval over them here."
        )
    gaps = "; ".join(f"{quoted(v.arm)} {_over_repeats(repeated, by)}" for v, repeated in told)
    degrees = counted(first.planned - 1, "degree")
    return (
        f"The whole tuning, done {first.planned} times: {gaps} (mean over the tunings with its "
        f"{100 * first.confidence:g} % interval, Student's t with {degrees} of freedom). The answer is that "
        "of the first tuning."
    )


def _over_repeats(repeated: Repeated, by: Metric) -> str:
    gap = repeated.gap
    if not math.isfinite(gap.value):
        without = sum(not math.isfinite(gap) for gap in repeated.gaps)
        return f"has no gap in {without} of them, as it or the reference did not train"
    return f"{points(gap.value, by=by)} ({between(gap.low, gap.high, by)})"


def _of_one(verdict: Verdict) -> str:
    said = f"{quoted(verdict.arm)} {predicate(verdict)}"
    if verdict.outcome is Outcome.DOES_NOT_TRAIN or (
        verdict.barred and not interval_words(verdict)
    ):
        return said  # how many seeds is said
    return f"{said} ({_evidence(verdict)})"


def _evidence(verdict: Verdict) -> str:
    """The interval and its seeds; the gap unless the outcome has its size."""
    by, gap, seeds = verdict.metric, verdict.gap, sample_words(verdict)
    interval = interval_words(verdict)
    if not interval:
        return seeds
    level = f"{level_words(verdict)} interval"
    if verdict.outcome in (Outcome.LEVEL, Outcome.CATCHES_UP, Outcome.CONTRADICTORY):
        level = f"gap {points(gap.value, by=by)}, {level} {interval}"
    return f"{level}, {seeds}"


def _of_several(verdicts: Sequence[Verdict], reference: str) -> str:
    """The arms by outcome, in the order of the outcomes."""
    first, kinds = verdicts[0], {v.outcome: [] for v in verdicts}
    for verdict in verdicts:
        kinds[verdict.outcome].append(verdict)
    groups = "; ".join(_group(kinds[kind]) for kind in Outcome if kind in kinds)
    return f"compared with {quoted(reference)}{after_words(first.horizon)}: {groups}"


def _group(verdicts: Sequence[Verdict]) -> str:
    """The arms of one outcome, each with its interval unless there are many."""
    if len(verdicts) <= NAMED:
        return "; ".join(f"{quoted(v.arm)} {predicate(v, brief=True)}" for v in verdicts)
    names = [quoted(v.arm) + (" (where it trains)" if v.of_some else "") for v in verdicts]
    return f"{listed(names)}: {verdicts[0].outcome}"


def _tuning(verdicts: Sequence[Verdict]) -> str:
    """Which arms are worse after tuning than with the baseline."""
    worse = dict.fromkeys(c.arm for v in verdicts for c in v.chosen if c.worse)
    if not worse:
        return ""
    verb = "is" if len(worse) == 1 else "are"
    names = listed([quoted(arm) for arm in worse])
    return f"; {names} {verb} worse after tuning than with the baseline"
