"""Why, by experiment: what the factorial of start and steps says, in sentences and as a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from normsweep.analysis.estimates import Estimate
from normsweep.analysis.evidence import Evidence
from normsweep.analysis.factorial import PARTS, Control, Factorial, Part, sign_of
from normsweep.analysis.rules import LEAST_SEEDS, Trained
from normsweep.reporting.words import between, gap_number, points
from normsweep.sweep.study_record import BASELINE
from normsweep.text import counted, listed, quoted

__all__ = ["Reason", "because", "conditions", "main_reason", "reasons", "with_interval"]

Names = Mapping[str, str]
UNDONE = {
    Part.START: "with the start alone",
    Part.STEP: "with the steps alone",
    Part.JOINT: "only with both together",
}
"""With what a part of the gap goes."""


@dataclass(frozen=True)
class Reason:
    """What one factorial says: the conclusion, then what it rests on."""

    conclusion: str
    details: tuple[str, ...]

    @property
    def text(self) -> str:
        """All sentences."""
        return " ".join((self.conclusion, *self.details))


def reasons(found: Evidence) -> tuple[Reason, ...]:
    """What each factorial of a study says, in their order; empty without the arms for one."""
    named = {arm: quoted(arm) for arm in found.record.arms}
    return tuple(
        Reason(because(each, named), tuple(_details(each, named))) for each in found.factorials
    )


def main_reason(found: Evidence) -> Reason | None:
    """That of the first factorial with a conclusion; of the first one if there is none with it."""
    pairs = list(zip(found.factorials, reasons(found), strict=True))
    said = [reason for each, reason in pairs if _concludes(each)]
    return next(iter((*said, *(reason for _, reason in pairs))), None)


def _concludes(factorial: Factorial) -> bool:
    shown = any(factorial.effects.share(part) > 0 for part in PARTS)
    return factorial.readable and bool(factorial.trains_with or shown)


def because(factorial: Factorial, named: Names) -> str:
    """Why raw is behind or ahead, in one sentence; or that it could not be attributed."""
    cells, when = factorial.cells, conditions(factorial)
    raw, reference = named[cells.raw], named[cells.reference]
    if factorial.seeds < LEAST_SEEDS:
        there = counted(factorial.seeds, "seed")
        return (
            f"Why {raw} differs from {reference} {when} could not be attributed: at least {LEAST_SEEDS} seeds with all "
            f"four arms are needed, and there {'is' if factorial.seeds == 1 else 'are'} {there}."
        )
    failed = next((control for control in factorial.controls if control.failed), None)
    if failed is not None:
        return (
            f"Why {raw} differs from {reference} {when} could not be attributed: {named[failed.arm]} should train like "
            f"{named[failed.like]}, and differs from it by {_size(failed.gap.value, factorial)}."
        )
    if factorial.trains_with:
        return _because_of_training(factorial, named)
    if not factorial.effects.direction and not factorial.all_trained:
        counts = listed([f"{named[a]} ({_of(t)})" for a, t in _by_arm(factorial)])
        return f"How many seeds train {when} differs or may differ, and could not be attributed: {counts}."
    if not factorial.effects.direction:
        return (
            f"{raw} is neither shown to be behind {reference} {when} nor ahead ({_interval(factorial)}), so there is "
            "nothing to attribute."
        )
    return f"{raw} is {_gap(factorial, named)} {when}{_cause(factorial)}."


def conditions(factorial: Factorial) -> str:
    """Under which conditions a factorial was run."""
    how = (
        "with the baseline settings"
        if factorial.configuration == BASELINE
        else "with every arm tuned"
    )
    return f"after {counted(factorial.epochs, 'epoch')} {how}"


def _because_of_training(factorial: Factorial, named: Names) -> str:
    cells, needed = factorial.cells, factorial.trains_with
    raw, start, step, reference = factorial.trained
    opened = f"{named[cells.raw]} does not train {conditions(factorial)} ({_of(raw)}) because {_larger(factorial, needed)}"
    alone = {
        Part.START: ("start", start, step, "steps"),
        Part.STEP: ("steps", step, start, "start"),
    }
    if needed == (Part.JOINT,):
        return (
            f"{opened}: undoing either half alone is not enough (start {_of(start)}, steps {_of(step)}), and undoing both is "
            f"({_of(reference)} with {named[cells.reference]})."
        )
    if len(needed) > 1:
        return f"{opened}: undoing either half is enough (start {_of(start)}, steps {_of(step)})."
    half, trained, other, name = alone[next(iter(needed))]
    return f"{opened}: undoing the {half} alone is enough ({_of(trained)}), undoing the {name} alone is not ({_of(other)})."


def _by_arm(factorial: Factorial) -> Iterator[tuple[str, Trained]]:
    """The arms of the cells, with how many of their seeds trained."""
    yield from zip(factorial.cells.arms, factorial.trained, strict=True)


def _of(trained: Trained) -> str:
    return f"{trained.trained} of {counted(trained.seeds, 'seed')}"


def _cause(factorial: Factorial) -> str:
    """The cause as far as the intervals carry, as the end of a sentence."""
    most, effects = factorial.most, factorial.effects
    if Part.START in most and Part.STEP in most:
        return f" because {_larger(factorial, PARTS)}, and undoing either is enough for most of the gap"
    if Part.JOINT in most and len(most) > 1:  # the other half works against it
        half = Part.START if Part.START in most else Part.STEP
        other = "steps" if half is Part.START else "start"
        return f", mostly because {_larger(factorial, (half,))}; undoing its {other} alone makes the gap larger"
    if Part.JOINT in most:
        return f", mostly because {_larger(factorial, PARTS)}: most of the gap goes only if both are undone"
    if most:
        return f", mostly because {_larger(factorial, most)}"
    shown = tuple(part for part in PARTS if effects.share(part) > 0)
    if not shown:
        return "; whether its start or its steps make the gap could not be attributed"
    return f", in part because {_larger(factorial, shown)}; how much of the gap that is, is open"


def _larger(factorial: Factorial, parts: Sequence[Part]) -> str:
    """What a raw input does to the first layer, as far as these parts are concerned."""
    size = "larger" if factorial.cells.scale > 1 else "smaller"
    start, steps = f"starts {size}", f"takes {size} steps"
    if Part.JOINT in parts or len(parts) > 1:
        return f"its first layer {start} and {steps}"
    return f"its first layer {start if parts[0] is Part.START else steps}"


def _details(factorial: Factorial, named: Names) -> Iterator[str]:
    if factorial.seeds < LEAST_SEEDS:
        return
    if factorial.effects.direction:
        yield _parts(factorial)
    if not factorial.all_trained:
        yield _trained(factorial, named)
    elif factorial.readable:
        most = factorial.trained[0].lost_at_most
        yield f"All {factorial.seeds} seeds of the four arms trained; up to {math.ceil(100 * most)} % of all seeds might not."
    yield from (_control(control, factorial, named) for control in factorial.controls)
    if not factorial.controls:
        yield "No arm undoes both halves, so there is no control."


def _parts(factorial: Factorial) -> str:
    """What goes with which part, with its interval; positive numbers are parts of the gap."""
    effects = factorial.effects
    parts = listed([f"{_part(factorial, part)} {UNDONE[part]}" for part in PARTS])
    return (
        f"Of the gap of {_size(effects.gap.value, factorial)}, {parts} ({round(100 * factorial.level, 3):g} % intervals, "
        "each by itself)."
    )


def _part(factorial: Factorial, part: Part) -> str:
    """A part of the gap, positive if it makes it: `0.95 (+0.5 to +1.4)`."""
    estimate = factorial.effects.part(part).times(factorial.effects.direction)
    return with_interval(estimate, factorial)


def with_interval(estimate: Estimate, factorial: Factorial) -> str:
    """An estimate in the unit of the metric, without that: `+0.95 (+0.50 to +1.40)`; of one seed the value."""
    value = gap_number(estimate.value, by=factorial.metric)
    if not all(map(math.isfinite, estimate.bounds)):
        return value
    return f"{value} ({between(estimate.low, estimate.high, factorial.metric)})"


def _trained(factorial: Factorial, named: Names) -> str:
    counts = [f"{cell.trained} with {named[arm]}" for arm, cell in _by_arm(factorial)]
    bound = Trained(factorial.seeds).lost_at_most
    stuck = any(cell.stuck for cell in factorial.trained)
    diverged = any(cell.diverged for cell in factorial.trained)
    lost = listed(
        [
            word
            for word, there in (("stuck at the level of guessing", stuck), ("diverged", diverged))
            if there
        ]
    )
    at_guessing = ", those that diverged at the level of guessing" if diverged else ""
    return (
        f"Of {counted(factorial.seeds, 'seed')} each, {listed(counts)} trained; the others were {lost}, and count with the score "
        f"that they have{at_guessing}. Where all seeds ended alike, up to {math.ceil(100 * bound)} % of all seeds might not."
    )


def _control(control: Control, factorial: Factorial, named: Names) -> str:
    gap = control.gap
    found = (
        f"Control: {named[control.arm]} is the same training as {named[control.like]} but for rounding, and is "
        f"{points(gap.value, by=factorial.metric)} from it ({between(gap.low, gap.high, factorial.metric)})"
    )
    if control.failed:
        return f"{found}, so something else differs between the arms."
    if control.confirmed:
        return f"{found}, as it should be."
    if sign_of(gap):
        return f"{found}: a difference is shown, and whether it is larger than the margin is open."
    return f"{found}: no difference is shown, but the interval is wider than the margin."


def _gap(factorial: Factorial, named: Names) -> str:
    side = "behind" if factorial.behind else "ahead of"
    size = _size(factorial.effects.gap.value, factorial)
    return f"{size} {side} {named[factorial.cells.reference]} ({_interval(factorial)})"


def _size(value: float, factorial: Factorial) -> str:
    return points(value, sign=False, by=factorial.metric)


def _interval(factorial: Factorial) -> str:
    gap = factorial.effects.gap
    if not all(map(math.isfinite, (gap.low, gap.high))):
        return "interval unknown"
    level = f"{round(100 * factorial.level, 3):g} % interval"
    seeds = "" if factorial.all_trained else ", all seeds counted"
    return f"{level} {between(gap.low, gap.high, factorial.metric)}{seeds}"
