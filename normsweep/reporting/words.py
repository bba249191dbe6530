"""What figures, pages and the console call things: questions, gaps, epochs, verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from normsweep.analysis.estimates import Estimate
from normsweep.analysis.exchange import Worth
from normsweep.analysis.given import GIVEN
from normsweep.analysis.outcomes import Outcome
from normsweep.analysis.verdicts import Verdict
from normsweep.parts.metrics import ACCURACY, REGRESSION, Metric
from normsweep.text import counted, opening, quoted, significant

__all__ = [
    "PARTS",
    "QUESTIONS",
    "Question",
    "after_words",
    "between",
    "budget_unit",
    "epoch_words",
    "gap_number",
    "headings",
    "interval_words",
    "margin_number",
    "margin_words",
    "percent",
    "points",
    "possible",
    "question_of",
    "rounded_down",
    "rounded_up",
    "sample_numbers",
    "sample_words",
    "settings_words",
    "unit_of_gaps",
    "worth_words",
]

EXACT = 1e-6
"""What a number may miss of a rounded one and still be that one."""
NONE = 1e-9
"""A difference that is none, in the unit of a gap."""
MORE_DIGITS = 3
"""Digits that are added at most to a value close to the margin or to 0."""
PARTS = {
    1: "Why?",
    2: "More epochs?",
    3: "A tuned learning rate?",
    4: "Accuracy, or only speed?",
}
"""The parts of a report, and their headings."""


def headings(by: Metric) -> dict[int, str]:
    """The parts' headings; the last one names the metric."""
    return {**PARTS, 4: PARTS[4].replace("Accuracy", opening(by.label))}


@dataclass(frozen=True)
class Question:
    """A question of the confirmation in words, with places for the reference and the epochs."""

    key: str
    part: int
    short: str
    title: str
    clause: str

    def label(self, horizon: int) -> str:
        """A few words for a table's cell."""
        return self.short.format(horizon=counted(horizon, "epoch"))

    @property
    def brief(self) -> str:
        """The same without the epochs."""
        return self.short.partition(",")[0]

    def heading(self, reference: str, horizon: int, baseline: int | None = None) -> str:
        """The question as a title; `baseline` are the baseline's epochs, where they are known."""
        return self.title.format(
            reference=quoted(reference),
            horizon=counted(horizon, "epoch"),
            baseline=counted(baseline, "epoch") if baseline else "the baseline's epochs",
        )

    def given(self, reference: str) -> str:
        """Under which conditions, as the beginning of a sentence."""
        return self.clause.format(reference=quoted(reference))


QUESTIONS = {
    question.key: question
    for question in (
        Question(
            "more_epochs",
            2,
            "more epochs",
            "Up to {horizon}, against {reference} after {baseline}",
            "with the baseline settings and more epochs than {reference} gets",
        ),
        Question(
            "equal_epochs",
            2,
            "equal epochs",
            "Equal epochs, up to {horizon}",
            "with the baseline settings and equal epochs",
        ),
        Question(
            "tuned_rate",
            3,
            "arm tuned, {horizon}",
            "Tuned for {horizon}, against untuned {reference}",
            "with its settings tuned and those of {reference} left as they are",
        ),
        Question(
            "tuned_rate_longest",
            3,
            "arm tuned, {horizon}",
            "Tuned for {horizon}, against untuned {reference}",
            "with its settings tuned and those of {reference} left as they are",
        ),
        Question(
            "both_tuned_short",
            4,
            "both tuned, {horizon}",
            "Both tuned for {horizon}",
            "with both tuned",
        ),
        Question(
            "both_tuned",
            4,
            "both tuned, {horizon}",
            "Both tuned for {horizon}",
            "with both tuned",
        ),
        Question(
            GIVEN,
            0,
            "given runs",
            "The given runs, against {reference}",
            "in the given runs",
        ),
    )
}
"""The questions in the report's order."""


def question_of(key: str) -> Question:
    """The question of a key; of an unknown one the key itself, in the last part."""
    words = key.replace("_", " ")
    return QUESTIONS.get(key) or Question(key, 4, words, words, "in “" + words + "”")


def points(value: float, sign: bool = True, by: Metric = ACCURACY) -> str:
    """A difference of two values of a metric: `−0.62 percentage points`, `+0.0123 nats`.

    Without sign `0.62 percentage points`, exact zeros cut.
    """
    return by.measured(gap_number(value, sign, by))


def margin_words(margin: float, share: float, by: Metric = ACCURACY) -> str:
    """An equivalence margin: `0.2 percentage points`, `0.05 RMSE`, or `2 % of the reference` of a `share`.

    It has all its digits, as a rounded one may lie beyond a bound that it decides about.
    """
    return f"{100 * share:g} % of the reference" if share else by.amount(margin)


def margin_number(margin: float, share: float, by: Metric = ACCURACY) -> str:
    """What a margin amounts to in the metric's unit, without that; of a `share` rounded as a gap."""
    return gap_number(margin, False, by) if share else by.amount(margin).partition(" ")[0]


def between(low: float, high: float, by: Metric = ACCURACY, margin: float = 0.0) -> str:
    """An interval of differences: `−0.81 to −0.43`; the unit is left to the sentence.

    A bound that would be rounded to 0 or to the margin is shown with more digits.
    """
    return " to ".join(gap_number(bound, by=by, margin=margin) for bound in (low, high))


def possible(low: float, high: float, by: Metric) -> bool:
    """Whether an interval of differences is finite and within the range of the metric."""
    known = math.isfinite(low) and math.isfinite(high)
    return known and not (by.percent and max(abs(low), abs(high)) > 1)


def interval_words(verdict: Verdict, estimate: Estimate | None = None) -> str:
    """The interval of its gap, or of another estimate; empty if it is unknown or beyond the metric's range."""
    low, high = (estimate or verdict.gap).bounds
    by = verdict.metric
    return between(low, high, by, verdict.margin) if possible(low, high, by) else ""


def percent(value: float, decimals: int = 2, by: Metric = ACCURACY) -> str:
    """A value of a metric: `98.62 %` where it is a share, else `0.0431`, with two digits more.

    One of a regression has four significant digits.
    """
    if not math.isfinite(value):
        return "unknown"
    if REGRESSION in by.tasks:
        return significant(value, 4)
    return f"{100 * value:.{decimals}f} %" if by.percent else f"{value:.{decimals + 2}f}"


def unit_of_gaps(by: Metric) -> str:
    """Of a gap; where lower is better that has to be said, for its sign to be read."""
    if by is ACCURACY:
        return "percentage points"
    unit = f"{by.unit} of {by.label}" if by.unit else by.label
    return unit if by.sign > 0 else f"{unit} (lower is better)"


def after_words(horizon: int) -> str:
    """` after 12 epochs`; empty for runs of which only the final scores are known."""
    return f" after {counted(horizon, 'epoch')}" if horizon else ""


def sample_words(verdict: Verdict) -> str:
    """How many runs are compared: `10 seeds`, or `10 and 8 runs, unpaired`."""
    if verdict.paired:
        return counted(verdict.seeds, "seed")
    return f"{sample_numbers(verdict)} runs, unpaired"


def sample_numbers(verdict: Verdict) -> str:
    """The same without the noun: `10`, or `10 and 8`."""
    arm, reference = verdict.trained
    return str(verdict.seeds) if verdict.paired else f"{arm.trained} and {reference.trained}"


def budget_unit(steps: int | None) -> str:
    """What budgets are counted in: `epochs`, or `epochs of 50 steps`."""
    return f"epochs of {counted(steps, 'step')}" if steps else "epochs"


def epoch_words(verdict: Verdict) -> str:
    """The outcome in a few words, with the epoch; seeds that did not train qualify it."""
    if verdict.undecided or verdict.outcome is Outcome.DOES_NOT_TRAIN:
        return verdict.outcome.value
    if verdict.falls_short:
        known = verdict.horizon > 0
        return f"not within {counted(verdict.horizon, 'epoch')}" if known else verdict.outcome.value
    if verdict.earlier:
        return (
            f"epoch {verdict.epoch} where it trains"
            if any(verdict.lost)
            else f"from epoch {verdict.epoch}"
        )
    word = verdict.outcome.partition(",")[0]
    if any(verdict.lost):
        return f"{word} where it trains"
    if verdict.outcome is Outcome.AHEAD or not verdict.horizon:
        return word
    if verdict.epoch == 1:
        return f"{word} from the start"
    return f"{word} {'from' if verdict.parity.behind else 'by'} epoch {verdict.epoch}"


def settings_words(configuration: str, baseline_epochs: int | None, longest: int | None) -> str:
    """What a configuration is called."""
    short = counted(baseline_epochs, "epoch") if baseline_epochs else "the baseline's epochs"
    long = counted(longest, "epoch") if longest else "the longest training"
    names = {
        "baseline": "The baseline settings",
        "tuned_short": f"Tuned for {short}",
        "tuned_long": f"Tuned for {long}",
    }
    return names.get(configuration, configuration.replace("_", " "))


def gap_number(
    value: float, sign: bool = True, by: Metric = ACCURACY, margin: float | None = None
) -> str:
    """`points` without its unit; of a regression with three significant digits.

    With a margin, digits are added to a value that would be rounded to the margin or to 0.
    """
    if not math.isfinite(value):
        return "unknown"
    if REGRESSION in by.tasks:
        amount = significant(abs(value), 3 + _significant_more(value, margin))
        return amount if not sign or not value else f"{'+' if value > 0 else '−'}{amount}"
    decimals = 2 if by.percent else 4
    if margin is not None:
        decimals += _digits_more(by.scale * value, (0.0, by.scale * margin), decimals)
    rounded = round(by.scale * value, decimals) + 0.0
    if sign:
        return f"{rounded:+.{decimals}f}".replace("-", "−") if rounded else f"{0:.{decimals}f}"
    return f"{abs(rounded):.{decimals}f}".rstrip("0").rstrip(".")


def _digits_more(value: float, others: tuple[float, ...], decimals: int) -> int:
    """How many more digits are needed for a value not to be rounded to another one."""

    def told(digits: int) -> bool:
        rounded = round(abs(value), digits)
        return all(
            rounded != round(each, digits) or abs(abs(value) - each) < NONE for each in others
        )

    return next((more for more in range(MORE_DIGITS + 1) if told(decimals + more)), 0)


def _significant_more(value: float, margin: float | None) -> int:
    """The same in a regression, whose values are never rounded to 0."""
    if margin is None or math.isclose(abs(value), margin, rel_tol=NONE):
        return 0
    more = range(MORE_DIGITS + 1)
    told = (m for m in more if significant(abs(value), 3 + m) != significant(margin, 3 + m))
    return next(told, 0)


def rounded_down(epochs: float) -> float:
    """Rounded down to one digit."""
    return math.floor(10 * epochs + EXACT) / 10


def rounded_up(epochs: float) -> float:
    """Rounded up to one digit."""
    return math.ceil(10 * epochs - EXACT) / 10


def worth_words(worth: Worth, longest: int) -> str:
    """A number of epochs with its interval: `5.2 (4.4 to 8.3)`; what lies beyond the curves is not told."""
    low, high = rounded_down(worth.low), worth.high
    if not worth.known:
        return "not known"
    if not math.isinf(high):
        high = rounded_up(high)
    if low == 0:
        return f"at most {_epochs(high)}"
    if math.isinf(worth.value):
        return f"more than {_epochs(low)}"
    most = f"more than {longest}" if math.isinf(high) else _epochs(high)
    return f"{_epochs(worth.value)} ({_epochs(low)} to {most})"


def _epochs(value: float) -> str:
    """With one digit, which a whole number does not need."""
    return f"{value:.1f}".removesuffix(".0")
