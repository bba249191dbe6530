"""Why the arms train as they do: one plain sentence a topic, from what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from normsweep.analysis.evidence import Evidence
from normsweep.parts.metrics import Metric
from normsweep.text import counted, quoted

__all__ = ["explanations"]

Row = dict[str, Any]

FAR = 3.0
"""Factor from which two sizes are told apart."""


def explanations(evidence: Evidence) -> dict[str, str]:
    """One sentence on each thing that was measured, of the arm that is furthest from the reference.

    Keys are the topics `input`, `condition_number`, `loss`, `gradients`, `dead_units` and
    `learning_rates`; what was not measured is left out.
    """
    stages = _rows(evidence.inputs)
    start = {row["arm"]: row for row in stages if row["stage"] == "initialization"}
    reference = evidence.declared.reference
    found: dict[str, str] = {}
    if reference in start:
        found |= {
            "input": _input(start, reference),
            "condition_number": _condition(start, reference),
            "loss": _loss(start),
            "gradients": _gradients(_rows(evidence.gradients), reference),
            "dead_units": _dead(stages),
        }
    found["learning_rates"] = _learning_rates(evidence)
    return {topic: sentence for topic, sentence in found.items() if sentence}


def _input(start: Mapping[str, Row], reference: str) -> str:
    sizes = {arm: math.hypot(row["input_mean"], row["input_std"]) for arm, row in start.items()}
    arm, factor = _furthest(sizes, reference)
    if not arm:
        return ""
    if factor < FAR:
        return (
            "All arms feed the first layer values of about the same size, which explains nothing."
        )
    row, other = start[arm], start[reference]
    more = "larger" if sizes[arm] > sizes[reference] else "smaller"
    return (
        f"{quoted(arm)} feeds the first layer values with mean {row['input_mean']:.3g} and deviation "
        f"{row['input_std']:.3g}; with {quoted(reference)} they are {other['input_mean']:.3g} and "
        f"{other['input_std']:.3g}. They are {_times(factor)} {more}, and so is what the first layer "
        "makes of them."
    )


def _condition(start: Mapping[str, Row], reference: str) -> str:
    numbers = {arm: row["condition_number"] for arm, row in start.items()}
    arm, factor = _furthest(numbers, reference)
    if not arm:
        return ""
    if factor < FAR:
        return (
            "The inputs' covariance has about the same condition number in all arms: around their "
            "mean, the inputs of none are better shaped than those of another."
        )
    better = "better" if numbers[arm] < numbers[reference] else "worse"
    return (
        f"The condition number of the inputs' covariance is {numbers[arm]:.2g} with {quoted(arm)} "
        f"and {numbers[reference]:.2g} with {quoted(reference)}: one learning rate suits all "
        f"directions {better}."
    )


def _loss(start: Mapping[str, Row]) -> str:
    guess = next(iter(start.values()))["ln_classes"]
    high = {arm: row["loss"] for arm, row in start.items() if not row["loss"] < 1.5 * guess}
    if not high:
        return (
            f"Every arm starts near a loss of ln(classes) = {guess:.2f}, that of an honest guess, so "
            "no arm has to unlearn anything first."
        )
    broken = [arm for arm, loss in high.items() if not math.isfinite(loss)]
    if broken:
        return f"{quoted(broken[0])} starts with a loss that is no finite number: it overflows at once."
    arm = max(high, key=lambda name: high[name])
    return (
        f"{quoted(arm)} starts with a loss of {high[arm]:.3g}, where guessing has ln(classes) = "
        f"{guess:.2f}: its untrained network is sure of wrong answers, and the first steps are "
        "spent on taking that back."
    )


def _gradients(layers: Sequence[Row], reference: str) -> str:
    first = [row for row in layers if row["stage"] == "initialization" and row["position"] == 0]
    norms = {row["arm"]: row["norm"] for row in first}
    if reference not in norms:
        return ""
    arm, factor = _furthest(norms, reference)
    if not arm:
        return ""
    if factor < FAR:
        return "The first layer's gradients have about the same size in all arms."
    more = "larger" if norms[arm] > norms[reference] else "smaller"
    return (
        f"The first layer's gradient is {_times(factor)} {more} with {quoted(arm)} than with "
        f"{quoted(reference)}: under plain gradient descent the same learning rate takes steps that "
        "much different, while Adam and RMSprop divide most of it away."
    )


def _dead(stages: Sequence[Row]) -> str:
    known = [row for row in stages if not math.isnan(row["dead_relus"])]
    if not known:
        return ""
    later = [row for row in known if row["stage"] != "initialization"]
    begun = [row for row in known if row["stage"] == "initialization"]
    shown = later if len(later) == len(begun) else begun  # a stage that all arms came to
    worst, best = (pick(shown, key=lambda row: row["dead_relus"]) for pick in (max, min))
    if worst["dead_relus"] - best["dead_relus"] < 0.1:
        return (
            f"At most {worst['dead_relus']:.0%} of the ReLU units are dead in any arm, and about as "
            "many in all: they explain little."
        )
    when = "at initialization" if worst["stage"] == "initialization" else worst["stage"]
    return (
        f"With {quoted(worst['arm'])} {worst['dead_relus']:.0%} of the ReLU units are dead {when}, "
        f"with {quoted(best['arm'])} {best['dead_relus']:.0%}: dead units learn nothing more."
    )


def _learning_rates(evidence: Evidence) -> str:
    trials = _rows(evidence.learning_rates)
    of_arms = ([row for row in trials if row["arm"] == arm] for arm in evidence.arms)
    return " ".join(_range(rows, evidence.declared.metric) for rows in of_arms if rows)


def _range(trials: Sequence[Row], by: Metric) -> str:
    """The learning rates that came within a tenth of the arm's best."""
    arm = quoted(trials[0]["arm"])
    score = f"val_{by.name}"
    best = by.sign * max(by.sign * row[score] for row in trials)
    worked = [
        row["learning_rate"]
        for row in trials
        if not row["diverged"] and by.sign * row[score] >= by.sign * best - 0.1 * abs(best)
    ]
    diverged = sum(row["diverged"] for row in trials)
    tail = f"{diverged} of {counted(len(trials), 'trial')} diverged"
    if not worked:
        return f"{arm} trained with none of its learning rates ({tail})."
    rates = counted(len(worked), "learning rate")
    return (
        f"{arm} came within a tenth of its best {by.label} ({best:.3f}) with {rates}, "
        f"{_from_to(min(worked), max(worked))} ({tail})."
    )


def _from_to(low: float, high: float) -> str:
    return f"from {low:.2g} to {high:.2g}" if low < high else f"{low:.2g}"


def _furthest(values: Mapping[str, float], reference: str) -> tuple[str, float]:
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


def _times(factor: float) -> str:
    return f"{factor:,.0f} times" if factor >= 10 else f"{factor:.2g} times"


def _rows(table: pd.DataFrame) -> list[Row]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
