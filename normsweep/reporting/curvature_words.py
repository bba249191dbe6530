"""The shape of the inputs and the curvature at the start of a training, in sentences: why steps may be large or small."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.stable_rates import START, StableRates, stable_rates
from normsweep.analysis.trials import scored
from normsweep.parts.metrics import Metric
from normsweep.sweep.study_record import Stage
from normsweep.text import listed, quoted

__all__ = ["FAR", "curvature_sentences", "furthest", "times"]

FAR = 3.0
"""Factor from which two sizes count as different."""
NEAR = 4.0
"""Factor up to which a predicted learning rate counts as right."""
HIGH = 1.5
"""Factor from which a loss counts as above that of guessing."""


def curvature_sentences(found: Evidence, start: Mapping[str, Stage]) -> dict[str, str]:
    """Sentences on the topics `second_moment` and `stable_rates`; empty if nothing was measured.

    `start` are the untrained networks by arm, the reference among them.
    """
    rates = stable_rates(found.record)
    assert found.record.data is not None
    guess = math.log(found.record.data.classes)
    return {
        "second_moment": _second_moment(found, start),
        "stable_rates": " ".join(
            filter(None, (_plain(rates, start, guess), _of_baseline(rates, found.reference)))
        ),
    }


def _second_moment(found: Evidence, start: Mapping[str, Stage]) -> str:
    """Of the arm that is furthest from the reference, in the direction that the numbers say."""
    reference = found.reference
    numbers = {arm: stage.condition for arm, stage in start.items()}
    arm, factor = furthest(numbers, reference)
    if not arm:
        return ""
    what = "the second moment of the first layer's inputs, with the bias's column,"
    if factor < FAR:
        return (
            f"The condition number of {what} is about the same in all arms ({numbers[reference]:.2g} with "
            f"{quoted(reference)}), so it does not tell them apart."
        )
    better = numbers[arm] < numbers[reference]
    return (
        f"The condition number of {what} is {numbers[arm]:.2g} with {quoted(arm)} and "
        f"{numbers[reference]:.2g} with {quoted(reference)} (largest eigenvalues "
        f"{start[arm].moment:,.3g} and {start[reference].moment:,.3g}): for plain gradient descent one learning "
        f"rate fits the directions {'better' if better else 'worse'} with {quoted(arm)}."
        + _in_spite_of_that(found, arm, better)
    )


def _in_spite_of_that(found: Evidence, arm: str, better: bool) -> str:
    """What to add where the better shaped arm is the one that came out worse."""
    by, trials = found.metric, scored(found.record.searched)
    best = {
        name: max((by.sign * r.score for t, r in trials if t.arm == name), default=math.nan)
        for name in (arm, found.reference)
    }
    gap = best[arm] - best[found.reference]
    if not abs(gap) > found.margin or (gap > 0) == better:
        return ""
    shaped, other = (arm, found.reference) if better else (found.reference, arm)
    return (
        f" In spite of that, {quoted(other)} reached the better {by.label} in the search "
        f"({_scores(by, best[other], best[shaped])}): a scheme that shapes inputs well can still raise what is only "
        "noise, or lose what matters."
    )


def _scores(by: Metric, better: float, worse: float) -> str:
    return f"{by.sign * better:.3f} against {by.sign * worse:.3f}"


def _plain(rates: Sequence[StableRates], start: Mapping[str, Stage], guess: float) -> str:
    """What the curvature at the start predicts for plain gradient descent, and what trained."""
    known = [each for each in rates if each.optimizer == "sgd" and START in each.predicted]
    if not known:
        return ""
    values = ", ".join(f"{each.predicted[START]:.2g} with {quoted(each.arm)}" for each in known)
    said = [
        "By the curvature of the loss at the start, plain gradient descent is stable up to a learning rate "
        f"of {values}."
    ]
    return " ".join([*said, *_beside([each for each in known if each.exceeded > 0], start, guess)])


def _beside(
    rates: Sequence[StableRates], start: Mapping[str, Stage], guess: float
) -> Iterator[str]:
    """The predictions at the start beside the largest rates that trained."""
    if not rates:
        return
    words = (
        f"{times(each.exceeded)} that with {quoted(each.arm)}{'' if each.bounded else ' (no higher one was tried)'}"
        for each in rates
    )
    yield f"The largest rate that trained is {', '.join(words)}."
    above = [each.arm for each in rates if each.exceeded > NEAR]
    high = [arm for arm in above if not start[arm].loss < HIGH * guess]
    if high:
        yield (
            f"With {listed([quoted(arm) for arm in high])} the loss at the start is far above that of guessing, and "
            "the first steps leave that region, so the prediction at the start is far below what trains."
        )
    calm = [arm for arm in above if arm not in high]
    if calm:
        yield f"With {listed([quoted(arm) for arm in calm])} the curvature falls in the first steps."


def _of_baseline(rates: Sequence[StableRates], reference: str) -> str:
    """The predictions for an adaptive optimizer of the baseline, after its first steps."""
    known = [each for each in rates if each.optimizer != "sgd" and each.predicted]
    if reference not in {each.arm for each in known}:
        return ""
    stage = next(iter(known[0].predicted))
    later = [(each, each.predicted[stage]) for each in known if stage in each.predicted]
    values = ", ".join(f"{rate:.2g} with {quoted(each.arm)}" for each, rate in later)
    return f"For {known[0].optimizer}, {stage}, that is {values}."


def furthest(values: Mapping[str, float], reference: str) -> tuple[str, float]:
    """The arm whose value is the largest factor away from the reference's, and the factor.

    No arm (an empty name) where one of the values is not a finite number above zero.
    """
    others = [arm for arm in values if arm != reference]
    if not others or not all(math.isfinite(value) and value > 0 for value in values.values()):
        return "", 1.0
    base = values[reference]

    def factor(arm: str) -> float:
        return max(values[arm] / base, base / values[arm])

    arm = max(others, key=factor)
    return arm, factor(arm)


def times(factor: float) -> str:
    """A factor in words."""
    return f"{factor:,.0f} times" if factor >= 10 else f"{factor:.2g} times"
