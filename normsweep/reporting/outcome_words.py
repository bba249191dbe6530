"""The outcome of a verdict in words: for a table's cell, and as the predicate of a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from normsweep.analysis.outcomes import Outcome
from normsweep.analysis.rules import Chosen, Trained
from normsweep.analysis.verdicts import Verdict
from normsweep.reporting.words import after_words, gap_number, margin_words
from normsweep.text import counted, quoted

__all__ = ["chosen_words", "outcome_text", "predicate", "seeds_words", "when", "window_words"]


def outcome_text(verdict: Verdict) -> str:
    """The outcome with its epochs, and why it is open; for a cell beside the gap."""
    match verdict.outcome:
        case Outcome.BEHIND:
            reason = f": {verdict.reason}" if verdict.reason else ""
            return f"{verdict.outcome}{when(verdict)}; open whether by more than the margin{reason}"
        case Outcome.DOES_NOT_TRAIN:
            return f"{verdict.outcome} ({verdict.reason})"
        case Outcome.A_LITTLE_BEHIND:
            return f"level{when(verdict)}, a little behind"
        case _ if verdict.undecided:
            return f"{verdict.outcome}: {verdict.reason}"
        case _:
            return f"{verdict.outcome}{when(verdict)}"


def when(verdict: Verdict) -> str:
    """From which epoch on, or within how many, as the end of an outcome; empty if it is open."""
    within = f"within {counted(verdict.horizon, 'epoch')}"
    match verdict.outcome:
        case Outcome.CATCHES_UP:
            return f" at epoch {verdict.epoch}{_where_it_trains(verdict)}"
        case Outcome.DOES_NOT:
            return f" {within}"
        case Outcome.CLEARLY_BEHIND | Outcome.BEHIND if verdict.parity.level_until:
            return f" (falls behind after epoch {verdict.parity.level_until})"
        case Outcome.CLEARLY_BEHIND if verdict.horizon:
            return f" (does not catch up {within})"
        case _ if verdict.catches_up:
            return f"{_level_from(verdict)}{_where_it_trains(verdict)}"
        case _:
            return ""


def _level_from(verdict: Verdict) -> str:
    level = "; level" if verdict.outcome is Outcome.AHEAD else ""
    if verdict.epoch == 1:
        return f"{level} from the start"
    if verdict.parity.behind:
        return f"{level} from epoch {verdict.epoch} on (catches up)"
    if verdict.epoch in (None, verdict.horizon):
        return ""
    return f"{level or ','} at the latest from epoch {verdict.epoch} on"


def predicate(verdict: Verdict, brief: bool = False) -> str:
    """What a sentence says of the arm, with the interval: `is ahead of “unit” by 0.3 to 0.9 …`.

    The brief one leaves the reference and the epochs to the sentence.
    """
    by = verdict.metric
    reference, margin = quoted(verdict.reference), margin_words(verdict.margin, verdict.share, by)
    after = "" if brief else after_words(verdict.horizon)
    of, with_, behind = ("", "", "behind") if brief else (f" of {reference}", f" with {reference}", f"behind {reference}")  # fmt: skip
    why = f" ({verdict.reason})" if verdict.reason else ""
    match verdict.outcome:
        case Outcome.AHEAD:
            since = when(verdict) if verdict.epoch != 1 else _where_it_trains(verdict)
            return f"is ahead{of} {_by(verdict)}{after}{since}"
        case Outcome.LEVEL:
            return f"is level{with_}{when(verdict)}, at most {margin} behind{after}"
        case Outcome.A_LITTLE_BEHIND:
            return (
                f"is level{with_}{when(verdict)}, a little behind: {_by(verdict)}{after}, less than "
                f"the {margin} declared to matter"
            )
        case Outcome.BEHIND:
            fell, was = _fell(verdict)
            more = f"{', open whether' if brief else '; whether'} by more than {margin}"
            more += "" if brief else " is open"
            return f"{fell}{behind} {_by(verdict)}{after}{was}{more}{why}"
        case Outcome.CLEARLY_BEHIND:
            fell, was = _fell(verdict)
            end = ": it does not catch up" if verdict.horizon else ""
            return f"{fell}clearly {behind} {_by(verdict)}{after}{was or end}"
        case Outcome.DOES_NOT_TRAIN:
            return f"does not train: {verdict.reason}"
        case Outcome.CATCHES_UP:
            return f"catches up{with_}{when(verdict)}, from there on at most {margin} behind"
        case Outcome.DOES_NOT:
            return f"does not catch up{with_}{when(verdict)}: it is {_sizes(verdict)} behind"
        case _:
            return (
                f"{_opened(verdict)}{_span(verdict, '' if brief else f' {reference}{after}')}{why}"
            )


def _fell(verdict: Verdict) -> tuple[str, str]:
    """The verb, and until when the arm was level."""
    epoch = verdict.parity.level_until
    return ("falls ", f", after it was level at epoch {epoch}") if epoch else ("is ", "")


def _opened(verdict: Verdict) -> str:
    words = {
        Outcome.CONTRADICTORY: "has a contradictory outcome",
        Outcome.NOT_ENOUGH: "has not enough evidence",
    }
    return words.get(verdict.outcome, "is open")


def _span(verdict: Verdict, end: str) -> str:
    """From where to where the gap may be; empty if it is unknown."""
    low, high = verdict.gap.low, verdict.gap.high
    if not low <= high:
        return ""
    worse, better = sorted((low, high), key=lambda gap: verdict.metric.sign * gap)
    ahead = f"ahead{' of' if end else ''}{end}"
    if verdict.metric.sign * better < 0:
        return f": {_sizes(verdict)} behind{end}"
    if verdict.metric.sign * worse > 0:  # which is not read, because the reference is at chance
        return f": {_sizes(verdict)} {ahead}"
    return f": from {_size(verdict, worse)} behind to {_size(verdict, better)} {ahead}"


def _size(verdict: Verdict, difference: float) -> str:
    by = verdict.metric
    return by.measured(gap_number(difference, False, by, verdict.margin))


def _by(verdict: Verdict) -> str:
    """By how much: `by 0.3 to 0.9 percentage points`, or `with 0.1 to 0.2 lower RMSE` without a unit."""
    by = verdict.metric
    if by.unit:
        return f"by {_sizes(verdict)}"
    side = "higher" if verdict.gap.value > 0 else "lower"
    return f"with {_from_to(verdict)} {side} {by.label}"


def _sizes(verdict: Verdict) -> str:
    """How large the difference is: `0.3 to 0.9 percentage points`."""
    by = verdict.metric
    return f"{_from_to(verdict)} {by.unit or by.label}"


def _from_to(verdict: Verdict) -> str:
    """The same without the unit."""
    sizes = sorted((abs(verdict.gap.low), abs(verdict.gap.high)))
    return " to ".join(gap_number(s, False, verdict.metric, verdict.margin) for s in sizes)


def window_words(verdict: Verdict) -> str:
    """The epochs of which the gap is a mean: `mean of epochs 10 to 12`; empty if it is one epoch."""
    if verdict.window == 1:
        return ""
    return f"mean of epochs {verdict.horizon - verdict.window + 1} to {verdict.horizon}"


def chosen_words(chosen: Sequence[Chosen]) -> str:
    """How the tuned configurations were chosen: `none among 12 of 13 trials, unit among 13 of 13 trials`."""
    return ", ".join(f"{c.arm} among {c.among} of {counted(c.of, 'trial')}" for c in chosen if c.of)


def seeds_words(trained: Trained) -> str:
    """How many seeds trained, and the bound of the share of all seeds that do not."""
    if not trained.seeds:
        return "no seeds"
    most = math.ceil(100 * trained.lost_at_most)
    return f"{trained.words}; up to {most} % of all seeds might not"


def _where_it_trains(verdict: Verdict) -> str:
    """The seeds behind a verdict if others did not train, which are not paired."""
    (arm, reference), (of_arm, of_reference) = verdict.lost, verdict.trained
    ended = "did not train" if of_arm.stuck or of_reference.stuck else "diverged"
    if arm and reference:
        return (
            f" where both train ({arm} of its seeds and {reference} of"
            f" {verdict.reference}'s {ended})"
        )
    if arm:
        return f" where it trains ({arm} of {of_arm.seeds} seeds {ended})"
    if reference:
        total = of_reference.seeds
        return f" where {verdict.reference} trains ({reference} of its {total} seeds {ended})"
    return ""
