"""`Checkup`: what a diagnosis without a study found, in words, and what to try first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from normsweep.parts.input_checks import Finding
from normsweep.sweep.study_record import Diagnosis, Stage, StudyRecord
from normsweep.sweep.trial import Trial
from normsweep.text import quoted

__all__ = ["Checkup", "SchemeStart", "network_findings"]

HIGH, NEAR = 3.0, 1.5
"""A first loss so many times that of guessing is far above it; up to so many times it is near it."""
SURE = 0.5
"""Share of sure outputs from which an untrained network is saturated."""
DEAD = 0.9
"""Share of dead ReLUs from which little is left to train."""
NO_GRADIENT = 1e-10
"""A gradient this small, relative to the largest of a layer, does not reach the layer."""
ABOVE, ADAPTIVE = 2.0, 20.0
"""Factors of a stable learning rate from which a rate is too high; an adaptive optimizer's is only a size."""
USUAL = 1e-3
"""Keras's default learning rate for adaptive optimizers."""
BELOW = 1e-4
"""Share of a stable learning rate below which nothing moves."""
STRIDE = 1.0
"""Relative size of the first step from which it replaces the first layer."""


@dataclass(frozen=True)
class SchemeStart:
    """How training begins with one arm and its settings."""

    label: str
    trial: Trial
    diagnosis: Diagnosis

    @property
    def begun(self) -> Stage:
        """The untrained network."""
        return self.diagnosis.initialization

    @property
    def stable_rate(self) -> float:
        """The largest stable rate of the trial's optimizer: at the start, or after ten steps; NaN: not known."""
        stages = self.diagnosis.stages.values()
        known = (s.stable_rate for s in stages if math.isfinite(s.stable_rate))
        return next(known, math.nan)

    @property
    def adaptive(self) -> bool:
        """Whether the optimizer divides gradients by what it has seen of them."""
        return math.isnan(self.begun.stable_rate)


@dataclass(frozen=True)
class Checkup:
    """The inputs, the start of each scheme, what is wrong, and what to try first."""

    described: str
    """The inputs in a line; empty if they could not be read."""
    findings: tuple[Finding, ...]
    """Of the inputs and of the first scheme; the alarming ones first."""
    schemes: tuple[SchemeStart, ...]
    """The one that was asked for first; empty if no network could be built."""
    classes: int = 0
    record: StudyRecord | None = None
    """The starts as a study without trials, for figures; None if no network could be built."""

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Findings because of which a training is likely to fail or to mislead."""
        return tuple(finding for finding in self.findings if finding.alarming)

    @property
    def starts(self) -> tuple[str, ...]:
        """The start of each scheme in a line."""
        return tuple(_start_words(scheme, self.classes) for scheme in self.schemes)

    @property
    def advice(self) -> str:
        """What to try first, in a sentence."""
        usable = [
            s for s in self.schemes if not list(network_findings(s, self.classes, rate=False))
        ]
        if not usable:
            return "Fix these problems first." if self.problems else ""
        best = min(usable, key=lambda s: s.begun.condition if s.begun.condition > 0 else math.inf)
        rates = []
        if best.begun.plain_rate > 0:
            rates.append(f"sgd at a learning rate of about {_round(best.begun.plain_rate / 4)}")
        if best.adaptive and best.stable_rate > 0:
            rate = min(USUAL, ADAPTIVE / 2 * best.stable_rate)
            rates.append(f"{best.trial.optimizer} at about {_round(rate)}")
        first = "Once that is fixed, try" if self.problems else "Try"
        return f"{first} {quoted(best.label)}, with {' or '.join(rates)}." if rates else ""

    def lines(self) -> Iterator[str]:
        """Everything as lines of text."""
        if self.described:
            yield f"Inputs: {self.described}."
        for finding in self.findings:
            yield f"{'!' if finding.alarming else '-'} {finding.text}."
        if not self.problems:
            yield "Nothing alarming was found."
        yield from self.starts
        if self.advice:
            yield self.advice

    def report(self, folder: str | Path) -> Path:
        """Write a page with figures and tables into a folder; returns the page's path.

        Raises:
            UserError: the folder cannot be written.
        """
        from normsweep.reporting.checkup_page import write_checkup

        return write_checkup(self, Path(folder))

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(line)}</p>" for line in self.lines())


def network_findings(start: SchemeStart, classes: int, rate: bool = True) -> Iterator[Finding]:
    """What is wrong with an untrained network; `rate`: and with its learning rate."""
    begun, guess = start.begun, start.diagnosis.guess_of(classes)
    arm = f"with {quoted(start.label)}"
    if not math.isfinite(begun.loss):
        yield Finding(
            "loss-not-finite", f"the first loss is not finite {arm}: inputs or weights overflow"
        )
        return
    digits = ".2f" if classes else ".3g"
    sure = f", and is sure of its answer for {begun.saturated:.0%} of the rows" if classes else ""
    if begun.saturated > SURE or begun.loss > HIGH * guess:
        yield Finding(
            "saturated-start",
            f"the untrained network has a loss of {begun.loss:.3g} {arm}, where guessing has {guess:{digits}}"
            f"{sure}: inputs or initial weights are too large",
        )
    if begun.dead_relus > DEAD:
        yield Finding(
            "dead-units",
            f"{begun.dead_relus:.0%} of the ReLUs are zero for every row {arm}: they learn nothing",
        )
    norms = [norm for _, norm in begun.gradients]
    if norms and norms[0] <= NO_GRADIENT * max(norms):
        yield Finding(
            "no-gradient",
            f"no gradient reaches the first layer {arm}: its units are dead, or the weights behind it are all zero",
        )
    if rate:
        yield from _rate_findings(start, near=begun.loss <= NEAR * guess)


def _rate_findings(start: SchemeStart, near: bool) -> Iterator[Finding]:
    """A learning rate that is too high or too low; far from guessing the prediction is too low."""
    rate, stable, name = start.trial.learning_rate, start.stable_rate, start.trial.optimizer
    high = near and rate > (ADAPTIVE if start.adaptive else ABOVE) * stable
    if high or start.begun.update > STRIDE:
        yield Finding(
            "rate-too-high",
            f"a learning rate of {rate:.2g} is too high for {name}: up to {stable:.2g} looks stable, and the first step "
            f"changes the first layer's weights by {start.begun.update:.0%}",
        )
    elif rate < BELOW * stable:
        yield Finding(
            "rate-too-low",
            f"a learning rate of {rate:.2g} moves next to nothing with {name}: up to {stable:.2g} looks stable",
        )


def _start_words(start: SchemeStart, classes: int) -> str:
    """The start of a scheme in a line."""
    begun, guess = start.begun, start.diagnosis.guess_of(classes)
    parts = [f"first loss {begun.loss:.3g} (guessing: {guess:{'.2f' if classes else '.3g'}})"]
    if not math.isnan(begun.dead_relus):
        parts.append(f"dead ReLUs {begun.dead_relus:.0%}")
    if begun.condition > 0:
        parts.append(f"condition number of the first layer's second moment {begun.condition:.2g}")
    rates = [("sgd", begun.plain_rate)]
    rates += [(start.trial.optimizer, start.stable_rate)] if start.adaptive else []
    stable = [f"{rate:.2g} with {name}" for name, rate in rates if rate > 0]
    if len(stable) > 1:
        stable[-1] += " (after ten steps; larger ones often train)"
    if stable:
        far = (
            " (at the start; far from guessing, higher ones can train)"
            if begun.loss > NEAR * guess
            else ""
        )
        parts.append(f"stable learning rates up to {', '.join(stable)}{far}")
    return f"{start.label}: {'; '.join(parts)}."


def _round(value: float) -> str:
    """A number with one digit."""
    return f"{float(f'{value:.0e}'):g}"


def sorted_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The alarming ones first, otherwise in their order."""
    return tuple(sorted(findings, key=lambda finding: not finding.alarming))
