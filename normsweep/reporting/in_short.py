"""In short: a study in four lines, one for each part of the report, in plain words and with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.exchange import Exchange
from normsweep.analysis.outcomes import Outcome, Side, side
from normsweep.analysis.verdicts import Verdict, without_repeats
from normsweep.reporting.explanations import why
from normsweep.reporting.mechanism import main_reason
from normsweep.reporting.verdict_text import level_words
from normsweep.reporting.words import between, headings, possible, question_of, worth_words
from normsweep.sweep.study_record import TUNED_LONG
from normsweep.text import counted, listed, opening, quoted

__all__ = ["ShortAnswer", "in_short"]

Names = Mapping[str, str]
"""What each arm is called: its label and what it does, in quotation marks."""
ASKED = {
    2: ("more_epochs", "equal_epochs"),
    3: ("tuned_rate_longest", "tuned_rate"),
    4: ("both_tuned", "both_tuned_short"),
}
"""The questions that answer a part: the first one that there is."""
NAMED = 3
"""Arms of one outcome up to which each one's interval is given."""
ANSWERS = {Side.YES: "Yes", Side.NO: "No", Side.OPEN: "Open"}
SPEED, NEITHER, NOT_ACCURACY = "Only speed", "Neither", "Not accuracy; speed is open"
PREDICATES = {
    Outcome.DOES_NOT_TRAIN: ("does not train", "do not train"),
    Outcome.CONTRADICTORY: ("has a contradictory outcome", "have contradictory outcomes"),
    Outcome.CATCHES_UP: ("catches up", "catch up"),
    Outcome.DOES_NOT: ("does not catch up", "do not catch up"),
    Outcome.NOT_ENOUGH: ("is undecided", "are undecided"),
}
"""What is said of one arm, and of several."""


@dataclass(frozen=True)
class ShortAnswer:
    """One line: the question as in the report's headings, and its answer."""

    part: int
    heading: str
    text: str


def in_short(found: Evidence) -> tuple[ShortAnswer, ...]:
    """The four lines, in the report's order."""
    named = {arm.key: quoted(arm.described) for arm in found.record.sweep.arms}
    reason = main_reason(found)
    first = reason.conclusion if reason else why(found, named)
    texts = (first, *(_answer(found, part, named) for part in ASKED))
    return tuple(
        ShortAnswer(part, heading, text)
        for (part, heading), text in zip(headings(found.metric).items(), texts, strict=True)
    )


def _answer(found: Evidence, part: int, named: Names) -> str:
    verdicts = _of_part(found.verdicts, part)
    if not verdicts:
        return "Not confirmed yet."
    first = verdicts[0]
    given = question_of(first.question).clause.format(reference=named[first.reference])
    groups = "; ".join(_groups(verdicts, named))
    unit = f" In {first.metric.unit or first.metric.label}, with {level_words(first)} intervals."
    rates = _slowest(found.exchanges) if part == 4 else ()
    opened = _accuracy_or_speed(verdicts, found.exchanges) if part == 4 else _yes_or_no(verdicts)
    return (
        f"{opened}: {given}, after {counted(first.horizon, 'epoch')}, {groups}."
        f"{unit if any(map(_has_interval, verdicts)) else ''}"
        f"{_worth(rates, named)}"
    )


def _of_part(verdicts: Sequence[Verdict], part: int) -> list[Verdict]:
    told = without_repeats(verdicts)
    asked = ([v for v in told if v.question == question] for question in ASKED[part])
    return next(filter(None, asked), [])


def _yes_or_no(verdicts: Sequence[Verdict]) -> str:
    """Whether the arms do as well as the reference."""
    return _common(ANSWERS[side(v.outcome)] for v in verdicts)


def _accuracy_or_speed(verdicts: Sequence[Verdict], exchanges: Sequence[Exchange]) -> str:
    """What the arms lack: accuracy after the longest training, or only speed on the way to it."""

    def missing(verdict: Verdict) -> str:
        if side(verdict.outcome) is Side.YES:
            tuned = [e for e in exchanges if (e.arm, e.configuration) == (verdict.arm, TUNED_LONG)]
            if any(e.worth.low > e.after for e in tuned):
                return SPEED
            as_fast = tuned and all(e.worth.high <= e.after + 1 for e in tuned)
            return NEITHER if as_fast else NOT_ACCURACY
        return (
            opening(verdict.metric.label)
            if side(verdict.outcome) is Side.NO
            else ANSWERS[Side.OPEN]
        )

    return _common(map(missing, verdicts))


def _common(answers: Iterable[str]) -> str:
    different = set(answers)
    return different.pop() if len(different) == 1 else "It depends on the arm"


def _groups(verdicts: Sequence[Verdict], named: Names) -> Iterator[str]:
    """The arms by outcome, best first."""
    for outcome in Outcome:
        if group := [v for v in verdicts if v.outcome is outcome]:
            yield _group(group, named)


def _group(verdicts: Sequence[Verdict], named: Names) -> str:
    """The arms of an outcome, with an interval each, or with the hull of all if they are many."""
    one, many = PREDICATES.get(verdicts[0].outcome) or _predicates(verdicts[0].outcome)
    said = one if len(verdicts) == 1 else many
    if len(verdicts) <= NAMED:
        return f"{listed([f'{named[v.arm]}{_interval([v])}' for v in verdicts])} {said}"
    arms = [f"{named[v.arm]}{' (where it trains)' if v.of_some else ''}" for v in verdicts]
    return f"{listed(arms)} {said}{_interval(verdicts)}"


def _predicates(outcome: Outcome) -> tuple[str, str]:
    return f"is {outcome}", f"are {outcome}"


def _interval(verdicts: Sequence[Verdict]) -> str:
    """From where to where the gaps are, of one arm also from which epoch on it is level; empty if not known."""
    first = verdicts[0]
    if not all(map(_has_interval, verdicts)):
        return f" ({first.reason})" if first.barred and len(verdicts) == 1 else ""
    lows, highs = [v.gap.low for v in verdicts], [v.gap.high for v in verdicts]
    epoch = first.epoch if len(verdicts) == 1 and first.outcome is not Outcome.AHEAD else None
    reached = "from" if first.parity.behind else "by"
    since = f", {reached} epoch {epoch}" if 1 < (epoch or 1) < first.horizon else ""
    where = ", where it trains" if len(verdicts) == 1 and first.of_some else ""
    gaps = between(min(lows), max(highs), first.metric, first.margin)
    return f" ({gaps}{since}{where})"


def _has_interval(verdict: Verdict) -> bool:
    """Whether the text has the interval of a verdict."""
    if verdict.outcome in (Outcome.DOES_NOT_TRAIN, Outcome.CONTRADICTORY):
        return False
    return possible(verdict.gap.low, verdict.gap.high, verdict.metric)


def _slowest(exchanges: Sequence[Exchange]) -> list[Exchange]:
    """Those of the tuned arm that needs the most epochs."""
    tuned = [e for e in exchanges if e.configuration == TUNED_LONG and e.worth.known]
    arms = dict.fromkeys(e.arm for e in tuned)
    of_arms = [[e for e in tuned if e.arm == arm] for arm in arms]
    return max(of_arms, key=lambda of_arm: sum(e.worth.low / e.after for e in of_arm), default=[])


def _worth(rates: Sequence[Exchange], named: Names) -> str:
    """What the epochs of the reference are worth in those of an arm."""
    if not rates:
        return ""
    first = rates[0]
    after = listed([str(e.after) for e in rates])
    epochs = listed([worth_words(e.worth, e.longest) for e in rates])
    one = len(rates) == 1 and first.after == 1
    return (
        f" {after} {'epoch' if one else 'epochs'} of {named[first.reference]} {'is' if one else 'are'} worth {epochs} "
        f"of {named[first.arm]}."
    )
