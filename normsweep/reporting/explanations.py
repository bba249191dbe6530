"""Why the arms train as they do: one plain sentence a topic, from what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.trials import scored
from normsweep.parts.metrics import REGRESSION, Metric
from normsweep.reporting.curvature_words import FAR, curvature_sentences, furthest, times
from normsweep.reporting.ending_words import ending_sentences
from normsweep.sweep.study_record import Diagnosis, Stage
from normsweep.sweep.trial import Result, Status, Trial
from normsweep.text import counted, quoted

__all__ = ["explanations", "why"]


def explanations(found: Evidence) -> dict[str, str]:
    """One sentence on each thing that was measured, of the arm that is furthest from the reference.

    Keys are the topics `input`, `second_moment`, `stable_rates`, `loss`, `gradients`, `first_step`,
    `dead_units`, `learning_rates` and `stuck`; what was not measured is left out.
    """
    data, reference, diagnoses = found.record.data, found.reference, found.diagnoses
    start = {arm: diagnosis.initialization for arm, diagnosis in diagnoses.items()}
    said: dict[str, str] = {}
    if reference in start and data is not None:
        said |= {
            "input": _input(start, reference),
            **curvature_sentences(found, start),
            "loss": _loss(diagnoses, data.classes, reference),
            "gradients": _gradients(start, reference),
            "first_step": _first_step(start, reference),
            "dead_units": _dead(diagnoses),
        }
    said["learning_rates"] = _learning_rates(found)
    said["stuck"] = " ".join(ending_sentences(found.endings))
    return {topic: sentence for topic, sentence in said.items() if sentence}


def why(found: Evidence, named: Mapping[str, str]) -> str:
    """What differs most at the start of training, in one short sentence; `named` are the names of the arms."""
    reference, data = found.reference, found.record.data
    start = {arm: diagnosis.initialization for arm, diagnosis in found.diagnoses.items()}
    if reference not in start or data is None:
        return "Not measured: no network was looked into before its training."
    guess = {arm: each.guess_of(data.classes) for arm, each in found.diagnoses.items()}
    said = [
        _larger(_sizes(start), reference, named, "the first layer’s inputs"),
        _untrained(start, guess, named),
        _larger(_first_gradients(start), reference, named, "the first layer’s gradients"),
        _larger({a: s.condition for a, s in start.items()}, reference, named, "the condition number of their second moment"),
    ]  # fmt: skip
    different = [each for each in said if each]
    if not different:
        return (
            "Nothing that was measured at the start tells the arms apart: inputs, first gradients and condition numbers "
            f"are alike within a factor of {FAR:.0f}, and so are the losses."
        )
    return f"Compared with {named[reference]}, before training: {'; '.join(different)}."


def _larger(
    values: Mapping[str, float], reference: str, named: Mapping[str, str], what: str
) -> str:
    """By which factor something of an arm is larger or smaller than of the reference, if it is far."""
    arm, factor = furthest(values, reference) if reference in values else ("", 1.0)
    if not arm or factor < FAR:
        return ""
    more = "larger" if values[arm] > values[reference] else "smaller"
    verb = "is" if " number " in what else "are"
    return f"{what} {verb} {times(factor)} {more} with {named[arm]}"


def _untrained(
    start: Mapping[str, Stage], guesses: Mapping[str, float], named: Mapping[str, str]
) -> str:
    """The highest loss of an untrained network, if it is far from that of a guess."""
    arm = max(start, key=lambda name: _or_infinite(start[name].loss / guesses[name]))
    loss, guess = start[arm].loss, guesses[arm]
    if loss < 1.5 * guess:
        return ""
    value = f"{loss:.3g}" if math.isfinite(loss) else "no finite number"
    return f"the untrained loss of {named[arm]} is {value}, where guessing has {guess:.2f}"


def _or_infinite(loss: float) -> float:
    return loss if math.isfinite(loss) else math.inf


def _sizes(start: Mapping[str, Stage]) -> dict[str, float]:
    """The root mean square of the first layer's inputs."""
    return {arm: math.hypot(stage.input_mean, stage.input_std) for arm, stage in start.items()}


def _first_gradients(start: Mapping[str, Stage]) -> dict[str, float]:
    return {arm: stage.gradients[0][1] for arm, stage in start.items() if stage.gradients}


def _input(start: Mapping[str, Stage], reference: str) -> str:
    sizes = _sizes(start)
    arm, factor = furthest(sizes, reference)
    if not arm:
        return ""
    if factor < FAR:
        return (
            "All arms feed the first layer values of about the same size, which explains nothing."
        )
    stage, other = start[arm], start[reference]
    more = "larger" if sizes[arm] > sizes[reference] else "smaller"
    return (
        f"{quoted(arm)} feeds the first layer values with mean {stage.input_mean:.3g} and deviation "
        f"{stage.input_std:.3g}; with {quoted(reference)} they are {other.input_mean:.3g} and "
        f"{other.input_std:.3g}. They are {times(factor)} {more}, and so are the first "
        "layer's outputs."
    )


def _loss(diagnoses: Mapping[str, Diagnosis], classes: int, reference: str) -> str:
    start = {arm: diagnosis.initialization for arm, diagnosis in diagnoses.items()}
    guess = {arm: diagnosis.guess_of(classes) for arm, diagnosis in diagnoses.items()}
    high = {arm: s.loss for arm, s in start.items() if not s.loss < 1.5 * guess[arm]}
    named = {
        arm: f"ln(classes) = {guess[arm]:.2f}" if math.isnan(each.guess) else f"{guess[arm]:.3g}"
        for arm, each in diagnoses.items()
    }
    if not high:
        return (
            f"Every arm starts near a loss of {named[reference]}, that of an honest guess, so "
            "no arm has anything to unlearn first."
        )
    broken = [arm for arm, loss in high.items() if not math.isfinite(loss)]
    if broken:
        return f"{quoted(broken[0])} starts with a loss that is no finite number: it overflows at once."
    arm = max(high, key=lambda name: high[name] / guess[name])
    sure = "is sure of wrong answers" if classes else "is far from all targets"
    return (
        f"{quoted(arm)} starts with a loss of {high[arm]:.3g}, where guessing has "
        f"{named[arm]}: its untrained network {sure}{_saturated(start[arm])}, and the first "
        "steps only undo that."
    )


def _saturated(stage: Stage) -> str:
    if not stage.saturated >= 0.1:
        return ""
    return f" (for {stage.saturated:.0%} of the inputs a softmax output is at least 0.99)"


def _gradients(start: Mapping[str, Stage], reference: str) -> str:
    norms = _first_gradients(start)
    if reference not in norms:
        return ""
    arm, factor = furthest(norms, reference)
    if not arm:
        return ""
    if factor < FAR:
        return "The first layer's gradients have about the same size in all arms."
    more = "larger" if norms[arm] > norms[reference] else "smaller"
    return (
        f"The first layer's gradient is {times(factor)} {more} with {quoted(arm)} than with "
        f"{quoted(reference)}: under plain gradient descent the same learning rate takes steps that "
        "much different, while Adam and RMSprop divide most of it away."
    )


def _first_step(start: Mapping[str, Stage], reference: str) -> str:
    """How far the first step moves the first layer, beside the size of its weights."""
    sizes = {arm: stage.update for arm, stage in start.items()}
    arm, factor = furthest(sizes, reference)
    if not arm or factor < FAR:
        return ""
    more = "more" if sizes[arm] > sizes[reference] else "less"
    return (
        f"The first step with the baseline settings changes the first layer's weights by {sizes[arm]:.2%} with "
        f"{quoted(arm)} and by {sizes[reference]:.2%} with {quoted(reference)}, {times(factor)} {more}."
    )


def _dead(diagnoses: Mapping[str, Diagnosis]) -> str:
    begun = _dead_at("initialization", diagnoses)
    if not begun:
        return ""
    later = _dead_at("after epoch 1", diagnoses)
    # The later stage where all arms came to it.
    when, shown = ("after epoch 1", later) if len(later) == len(begun) else ("", begun)
    worst, best = (pick(shown, key=lambda arm: shown[arm]) for pick in (max, min))
    if shown[worst] - shown[best] < 0.1:
        return (
            f"At most {shown[worst]:.0%} of the ReLU units are dead in any arm, and about as "
            "many in all: they explain little."
        )
    return (
        f"With {quoted(worst)} {shown[worst]:.0%} of the ReLU units are dead "
        f"{when or 'at initialization'}, "
        f"with {quoted(best)} {shown[best]:.0%}: dead units learn nothing more."
    )


def _dead_at(stage: str, diagnoses: Mapping[str, Diagnosis]) -> dict[str, float]:
    """By arm, the share of dead units where it is known."""
    stages = {arm: diagnosis.stages.get(stage) for arm, diagnosis in diagnoses.items()}
    shares = {arm: found.dead_relus for arm, found in stages.items() if found is not None}
    return {arm: share for arm, share in shares.items() if not math.isnan(share)}


def _learning_rates(found: Evidence) -> str:
    trials = scored(found.record.searched)
    of_arms = ([pair for pair in trials if pair[0].arm == arm] for arm in found.record.arms)
    return " ".join(_range(pairs, found.metric) for pairs in of_arms if pairs)


def _range(trials: Sequence[tuple[Trial, Result]], by: Metric) -> str:
    """The learning rates that came within a tenth of the arm's best."""
    arm = quoted(trials[0][0].arm)
    best = by.sign * max(by.sign * result.score for _, result in trials)
    lost = [result.status is Status.DIVERGED for _, result in trials]
    worked = [
        trial.learning_rate
        for (trial, result), diverged in zip(trials, lost, strict=True)
        if not diverged and by.sign * result.score >= by.sign * best - 0.1 * abs(best)
    ]
    tail = f"{sum(lost)} diverged"
    if not worked:
        return f"{arm} trained in 0 of {counted(len(trials), 'trial')} ({tail})."
    level = by.shown(best) if REGRESSION in by.tasks else f"{best:.3f}"
    rates = "a learning rate of" if min(worked) == max(worked) else "learning rates"
    return (
        f"{arm} came within a tenth of its best {by.label} ({level}) in {len(worked)} of "
        f"{counted(len(trials), 'trial')}, with {rates} {_from_to(min(worked), max(worked))} ({tail})."
    )


def _from_to(low: float, high: float) -> str:
    return f"from {low:.2g} to {high:.2g}" if low < high else f"{low:.2g}"
