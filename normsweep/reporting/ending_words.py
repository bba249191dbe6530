"""How an arm's trainings ended, in sentences: why networks are stuck, and what to try."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from normsweep.analysis.endings import ArmEndings, Ending, Endings
from normsweep.analysis.stuck import Kind
from normsweep.sweep.inspection import Inspection
from normsweep.sweep.trial import SEARCH
from normsweep.text import counted, listed, opening, quoted

__all__ = ["NAMES", "bound_words", "ending_sentences", "stuck_warnings"]

NAMES = {
    Kind.NO_INFORMATION: "no information in the input",
    Kind.DEAD: "dead",
    Kind.RUNNING_STATISTICS: "running statistics not there yet",
    Kind.TOO_SLOW: "too slow",
    Kind.UNKNOWN: "cause unknown",
}
"""What a kind is called in a sentence."""
REMAINS = 0.01
"""Share of its first value that a running average still has when it counts as there."""
MANY = 0.5
"""Share of the search trials of an arm that are stuck, from which it is worth a warning."""


def ending_sentences(found: Endings) -> tuple[str, ...]:
    """One text an arm with stuck trainings: how many, why, and what to try."""
    return tuple(_of_arm(arm, groups) for arm, groups in _stuck_arms(found).items())


def stuck_warnings(found: Endings) -> tuple[str, ...]:
    """The same of the arms with a stuck seed in the confirmation, or half of whose search is stuck."""
    stuck = _stuck_arms(found).items()
    return tuple(_of_arm(arm, groups) for arm, groups in stuck if any(map(_is_alarming, groups)))


def bound_words(group: ArmEndings) -> str:
    """The bound of the share that does not train: `up to 45 %`; empty if there is none."""
    most = group.lost_at_most
    return f"up to {math.ceil(100 * most)} %" if math.isfinite(most) else ""


def _stuck_arms(found: Endings) -> dict[str, list[ArmEndings]]:
    groups: dict[str, list[ArmEndings]] = {}
    for group in found.arms:
        if group.counts.stuck:
            groups.setdefault(group.arm, []).append(group)
    return groups


def _is_alarming(group: ArmEndings) -> bool:
    counts = group.counts
    return group.phase != SEARCH or counts.stuck >= MANY * counts.seeds


def _of_arm(arm: str, groups: Sequence[ArmEndings]) -> str:
    counts = [_count(group) for group in groups]
    verb = "is" if len(groups) == groups[0].counts.stuck == 1 else "are"
    stuck = {e.record.trial.number: e for group in groups for e in group.endings if e.kind}
    kinds = ((kind, [e for e in stuck.values() if e.kind is kind]) for kind in Kind)
    whys = " ".join(f"{_opened(kind, of)}: {SAYS[kind](of)}" for kind, of in kinds if of)
    return f"{quoted(arm)}: {listed(counts)} {verb} stuck, no better than guessing. {whys}"


def _count(group: ArmEndings) -> str:
    """`4 of 12 trials`, `5 of 5 seeds (baseline)`."""
    counts = group.counts
    if group.phase == SEARCH:
        return f"{counts.stuck} of {counted(counts.seeds, 'trial')}"
    return f"{counts.stuck} of {counted(counts.seeds, 'seed')} ({group.configuration.replace('_', ' ')})"


def _opened(kind: Kind, stuck: Sequence[Ending]) -> str:
    return f"{opening(NAMES[kind])} ({len(stuck)})"


def _no_information(stuck: Sequence[Ending]) -> str:
    return (
        "all inputs are the same after this normalization, so that there is nothing to learn from; check its "
        "divisor and the dtype of the data."
    )


def _dead(stuck: Sequence[Ending]) -> str:
    least = min(e.record.trial.learning_rate for e in stuck)
    return (
        "one output for all inputs, and no gradient: a step was so large that the units are zero for every input. "
        f"Seen at learning rates from {least:.2g} on; try smaller ones, or warm-up."
    )


def _running_statistics(stuck: Sequence[Ending]) -> str:
    seen = _inspections(stuck)
    best = max(s.batch_accuracy or 0.0 for s in seen)
    momentum = max(s.momentum or 0.0 for s in seen)
    fewest, most = (pick(s.steps for s in seen) for pick in (min, max))
    had = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    return (
        f"the accuracy is up to {100 * best:.0f} % with each batch's own statistics, and that of guessing with the running "
        f"averages of BatchNormalization. With a momentum of {momentum:g} these take about {_needed(momentum):,} steps, and "
        f"had {had}; train for more steps, or lower the momentum."
    )


def _needed(momentum: float) -> int:
    """Steps until a running average has 1 % of its first value left."""
    return math.ceil(math.log(REMAINS) / math.log(momentum)) if 0 < momentum < 1 else 1


def _too_slow(stuck: Sequence[Ending]) -> str:
    most = max(e.record.trial.learning_rate for e in stuck)
    return f"the loss is still falling. Seen at learning rates up to {most:.2g}; try larger ones, or more epochs."


def _unknown(stuck: Sequence[Ending]) -> str:
    rates = [e.record.trial.learning_rate for e in stuck]
    low, high = min(rates), max(rates)
    seen = f"{low:.2g}" if low == high else f"{low:.2g} to {high:.2g}"
    return (
        "the loss does not fall from epoch to epoch, or there are too few epochs to tell, and what was measured does not "
        f"say why. Seen at learning rates of {seen}; try others."
    )


def _inspections(stuck: Sequence[Ending]) -> list[Inspection]:
    seen = (e.record.result.inspection for e in stuck if e.record.result is not None)
    return [each for each in seen if each is not None]


SAYS: Mapping[Kind, Callable[[Sequence[Ending]], str]] = {
    Kind.NO_INFORMATION: _no_information,
    Kind.DEAD: _dead,
    Kind.RUNNING_STATISTICS: _running_statistics,
    Kind.TOO_SLOW: _too_slow,
    Kind.UNKNOWN: _unknown,
}
