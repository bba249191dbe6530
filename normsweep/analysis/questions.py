"""The questions of a confirmation, put to every arm: a table of verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from normsweep.analysis.confirm_runs import Confirmed
from normsweep.analysis.verdicts import Comparison, Rules, Verdict, judge
from normsweep.parts.metrics import ACCURACY, Metric, metric
from normsweep.sweep.schema import QUESTIONS, Sweep
from normsweep.sweep.study_record import BASELINE, TUNED_LONG, TUNED_SHORT

__all__ = ["COLUMNS", "Declared", "judged", "verdict_table"]

COLUMNS = [
    "question", "arm", "reference", "verdict", "word", "epoch", "epoch_low", "horizon", "gap", "low",
    "high", "seeds_low", "seeds_high", "accuracy", "reference_accuracy", "seeds", "images", "margin",
    "confidence", "level", "look", "method", "diverged", "reference_diverged", "more_seeds", "primary",
    "warnings",
]  # fmt: skip

PUT = {
    "more_epochs": (BASELINE, BASELINE),
    "equal_epochs": (BASELINE, BASELINE),
    "tuned_rate": (TUNED_SHORT, BASELINE),
    "tuned_rate_longest": (TUNED_LONG, BASELINE),
    "both_tuned_short": (TUNED_SHORT, TUNED_SHORT),
    "both_tuned": (TUNED_LONG, TUNED_LONG),
}
"""For each question, the configurations of arm and reference."""
SHORT = ("tuned_rate", "both_tuned_short")
"""Questions that end at the baseline's epochs."""


@dataclass(frozen=True)
class Declared:
    """What the sweep declared before the search, and the number of this look."""

    compare: str
    reference: str
    margin: float
    confidence: float
    primary: str
    baseline_epochs: int
    look: int
    metric: Metric = ACCURACY

    @classmethod
    def of(cls, sweep: Sweep, look: int) -> Declared:
        """From the sweep that the record has."""
        return cls(
            compare=sweep.compare,
            reference=str(sweep.reference),
            margin=sweep.confirm.margin,
            confidence=sweep.confirm.confidence,
            primary=sweep.confirm.primary,
            baseline_epochs=sweep.confirm.baseline.epochs,
            look=look,
            metric=metric(sweep.metric),
        )


def judged(declared: Declared, found: Confirmed, arms: Sequence[str]) -> Iterator[Verdict]:
    """Every question put to every arm but the reference, question by question."""
    others = [arm for arm in arms if arm != declared.reference]
    rules = Rules(
        margin=declared.margin,
        alpha=1 - declared.confidence,
        look=declared.look,
        arms=len(others),
        chance=found.chance,
        metric=declared.metric,
    )
    for question in QUESTIONS:
        for arm in others:
            yield _judged(question, arm, declared, found, rules)


def _judged(question: str, arm: str, declared: Declared, found: Confirmed, rules: Rules) -> Verdict:
    of_arm, of_reference = PUT[question]
    short = min(declared.baseline_epochs, found.epochs)
    horizon = short if question in SHORT else found.epochs
    comparison = Comparison(
        question, arm, declared.reference, horizon, short if question == "more_epochs" else None
    )
    a, b, diverged = found.pairs((arm, of_arm), (declared.reference, of_reference), horizon)
    return judge(comparison, rules, a, b, diverged)


def verdict_table(
    declared: Declared, verdicts: Sequence[Verdict], warnings: Mapping[tuple[str, str], list[str]]
) -> pd.DataFrame:
    """One row a question and arm; `warnings` are by question and arm.

    Of another metric than the accuracy the two columns of means have its name, and it is told.
    """
    rows = [_row(declared, v, warnings.get((v.question, v.arm), [])) for v in verdicts]
    table = pd.DataFrame(rows, columns=COLUMNS)
    if declared.metric is not ACCURACY:
        name = declared.metric.name
        own = {"accuracy": name, "reference_accuracy": f"reference_{name}"}
        table = table.rename(columns=own).assign(metric=name)
    return table.astype({"epoch": "Int64", "epoch_low": "Int64", "primary": bool})


def _row(declared: Declared, verdict: Verdict, warnings: list[str]) -> dict[str, Any]:
    return {
        "question": verdict.question,
        "arm": verdict.arm,
        "reference": verdict.reference,
        "verdict": verdict.text,
        "word": verdict.word.value,
        "epoch": verdict.epoch if verdict.epoch is not None else pd.NA,
        "epoch_low": verdict.epoch_low if verdict.epoch_low is not None else pd.NA,
        "horizon": verdict.horizon,
        "gap": verdict.gap.value,
        "low": verdict.gap.low,
        "high": verdict.gap.high,
        "seeds_low": verdict.on_these_images.low,
        "seeds_high": verdict.on_these_images.high,
        "accuracy": verdict.value,
        "reference_accuracy": verdict.reference_value,
        "seeds": verdict.seeds,
        "images": verdict.images,
        "margin": verdict.margin,
        "confidence": declared.confidence,
        "level": 1 - 2 * verdict.tail,
        "look": verdict.look,
        "method": _method(verdict),
        "diverged": verdict.diverged[0],
        "reference_diverged": verdict.diverged[1],
        "more_seeds": verdict.more_seeds,
        "primary": verdict.question == declared.primary,
        "warnings": "; ".join(warnings),
    }


def _method(verdict: Verdict) -> str:
    if verdict.metric is not ACCURACY and verdict.metric.influence is None:
        return f"Student's t over seeds alone, one-sided level {verdict.tail:.3g}"
    return (
        "two-way analysis of variance over seeds and test images, Student's t with Satterthwaite's "
        f"degrees of freedom, one-sided level {verdict.tail:.3g}"
    )
