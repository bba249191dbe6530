"""The verdicts on the primary question in a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.verdicts import Verdict, primary_verdicts
from normsweep.reporting.verdict_text import level_words
from normsweep.reporting.words import between, points, question_of
from normsweep.text import counted, listed, quoted

__all__ = ["answer_sentence", "study_answer"]

NAMED = 4
"""Arms of one kind up to which a sentence gives each one's number."""


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
    return _of_one(asked[0]) if len(asked) == 1 else _of_several(asked, reference)


def _of_one(verdict: Verdict) -> str:
    given = question_of(verdict.question).given(verdict.reference)
    arm, reference = quoted(verdict.arm), quoted(verdict.reference)
    if verdict.catches_up:
        opening = "Yes, with a reservation" if _lost(verdict) else "Yes"
        return (
            f"{opening}: {given}, {arm} {verdict.text} and from then to epoch {verdict.horizon} is at "
            f"most {_size(verdict, verdict.margin)} behind {reference} "
            f"(gap after {counted(verdict.horizon, 'epoch')} {points(verdict.gap.value, by=verdict.metric)}, {_evidence(verdict)})."
        )
    if verdict.falls_short:
        return (
            f"No: {given}, {arm} is {_size(verdict, verdict.gap.value)} behind {reference} after "
            f"{counted(verdict.horizon, 'epoch')} ({_evidence(verdict)}), "
            f"more than the equivalence margin of {_size(verdict, verdict.margin)}."
        )
    return _undecided(verdict, given)


def _undecided(verdict: Verdict, given: str) -> str:
    arm, reference = quoted(verdict.arm), quoted(verdict.reference)
    if not math.isfinite(verdict.gap.low):
        return (
            f"Not decided yet: {given}, {arm} and {reference} are compared, but {verdict.reason}."
        )
    worse, better = sorted(
        (verdict.gap.low, verdict.gap.high), key=lambda gap: verdict.metric.sign * gap
    )
    return (
        f"Not decided yet: {given}, {arm} may be anywhere from {_standing(verdict, worse)} to "
        f"{_standing(verdict, better)} {reference} after {counted(verdict.horizon, 'epoch')} "
        f"({level_words(verdict)} interval, {counted(verdict.seeds, 'seed')}; "
        f"equivalence margin {_size(verdict, verdict.margin)}); {verdict.reason}."
    )


def _standing(verdict: Verdict, gap: float) -> str:
    return f"{_size(verdict, gap)} {'behind' if verdict.metric.sign * gap < 0 else 'ahead of'}"


def _size(verdict: Verdict, difference: float) -> str:
    return points(difference, sign=False, by=verdict.metric)


def _of_several(verdicts: Sequence[Verdict], reference: str) -> str:
    passed = [verdict for verdict in verdicts if verdict.catches_up]
    short = [verdict for verdict in verdicts if verdict.falls_short]
    open_ = [verdict for verdict in verdicts if verdict.undecided]
    given = question_of(verdicts[0].question).given(reference)
    parts = (_passed(passed, verdicts), _short(short, bool(passed)), _open(open_))
    return f"{_opening(passed, short, verdicts)}: {given}, {'; '.join(filter(None, parts))}."


def _opening(
    passed: Sequence[Verdict], short: Sequence[Verdict], verdicts: Sequence[Verdict]
) -> str:
    if len(passed) == len(verdicts):
        return "Yes, with a reservation" if any(map(_lost, passed)) else "Yes"
    if len(short) == len(verdicts):
        return "No"
    if not passed:
        return "Not decided yet"
    return "It depends" if short else "Partly decided"


def _passed(passed: Sequence[Verdict], verdicts: Sequence[Verdict]) -> str:
    """Who catches up, when, and of whom only the seeds that trained are known to."""
    if not passed:
        return ""
    first, many = passed[0], len(passed) > 1
    who = (
        f"{len(passed)} of {len(verdicts)}"
        if len(passed) < len(verdicts)
        else f"all {len(verdicts)}"
    )
    head = f"{who} catch{'' if many else 'es'} up with {quoted(first.reference)}"
    head += f" within {counted(first.horizon, 'epoch')}: "
    if len(passed) <= NAMED:
        return head + listed([f"{quoted(verdict.arm)} {verdict.when}" for verdict in passed])
    names = [
        quoted(verdict.arm) + (" where it trains" if _lost(verdict) else "") for verdict in passed
    ]
    epochs = sorted(verdict.epoch for verdict in passed if verdict.epoch is not None)
    return f"{head}{listed(names)}, at epochs {epochs[0]} to {epochs[-1]}"


def _short(short: Sequence[Verdict], others: bool) -> str:
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


def _open(open_: Sequence[Verdict]) -> str:
    if not open_:
        return ""
    verb = "is" if len(open_) == 1 else "are"
    reasons = {verdict.reason for verdict in open_}
    if len(reasons) > 1:
        return f"{_named(open_, _needs)} {verb} not decided yet"
    why = "".join(f": {reason}" for reason in reasons if reason)
    return f"{listed([quoted(verdict.arm) for verdict in open_])} {verb} not decided yet{why}"


def _named(verdicts: Sequence[Verdict], detail: Callable[[Verdict], str]) -> str:
    """The arms with a detail each, or without where they are many."""
    shown = len(verdicts) <= NAMED
    return listed(
        [quoted(verdict.arm) + (detail(verdict) if shown else "") for verdict in verdicts]
    )


def _lost(verdict: Verdict) -> bool:
    """Whether seeds are left out because they diverged."""
    return any(verdict.diverged)


def _behind(verdict: Verdict) -> str:
    return f" ({_size(verdict, verdict.gap.value)} behind)"


def _needs(verdict: Verdict) -> str:
    return f" ({verdict.reason})" if verdict.reason else ""


def _evidence(verdict: Verdict) -> str:
    low, high = verdict.gap.low, verdict.gap.high
    if verdict.falls_short:
        low, high = sorted((abs(verdict.gap.low), abs(verdict.gap.high)))
        bounds = f"{_size(verdict, low).split()[0]} to {_size(verdict, high)}"
    else:
        bounds = between(low, high, verdict.metric)
    return f"{level_words(verdict)} interval {bounds}; {counted(verdict.seeds, 'seed')}"
