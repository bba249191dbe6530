"""Why arms differ, by experiment: a 2×2 factorial of the first layer's start and of its steps.

An input that is s times larger is the same as a first layer that starts s times larger and takes larger steps.
Arms with `input_weights` undo the start, arms with a matched `input_rate` undo the steps. With the scores of the raw
input, of each half undone and of the reference, the gap is the sum of three parts:

    raw − reference = (raw − start undone) + (raw − steps undone) + joint

The joint part goes only if both are undone; it is negative if either half alone is enough. Scores are paired by seed,
and every seed counts: stuck ones as scored, diverged ones at the level of guessing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normsweep.analysis.confirm_runs import Confirmed, Runs
from normsweep.analysis.estimates import Estimate, interval, moments
from normsweep.analysis.parity import window_of
from normsweep.analysis.rules import LEAST_SEEDS, Trained
from normsweep.parts.metrics import Metric
from normsweep.sweep.arms import Arm
from normsweep.sweep.parameters import INPUT_RATE, MATCHED, PARAMETERS
from normsweep.sweep.space import Scalar
from normsweep.sweep.study_record import BASELINE, TUNED_LONG
from normsweep.sweep.trial import Status

__all__ = [
    "CELLS",
    "PARTS",
    "Cells",
    "Control",
    "Effects",
    "Factorial",
    "Level",
    "Part",
    "cells_of",
    "effects_of",
    "factorials",
    "settled",
    "sign_of",
    "training_needs",
]

Values = NDArray[Any]
"""(seeds, images), as a sum over the epochs of a trailing mean."""
Inputs = frozenset[tuple[str, Scalar]]

WEIGHTS = "input_weights"
INPUT = ("normalization", "input_scale", "input_shift")
"""The parameters that determine what the first layer gets."""
NEAR = 1.05
"""Factor by which two scales may differ and count as the same: 1/256 undoes 255."""


class Part(StrEnum):
    """A part of the gap: what undoing the start alone changes, the steps alone, or only both together."""

    START = "start"
    STEP = "step"
    JOINT = "joint"


PARTS = tuple(Part)
CELLS = ("raw", "start", "step", "reference")
"""The cells of the factorial, named by what they undo."""
GAP = (1, 0, 0, -1)
WEIGHTS_OF: Mapping[Part, tuple[int, ...]] = {
    Part.START: (1, -1, 0, 0),
    Part.STEP: (1, 0, -1, 0),
    Part.JOINT: (-1, 1, 1, -1),
}
"""The parts as sums of the cells' scores; their sum is the gap."""


@dataclass(frozen=True)
class Cells:
    """The arms of a factorial: the raw input, each half undone, and the reference.

    `scale` is how many times larger the raw input makes the first layer: 256 for input weights of 1/256. `both` undoes
    both, and so is the reference's training up to rounding; `large_start` is the reference with the raw start, and so
    that of `step`. They are controls, and empty if there is no such arm.
    """

    raw: str
    start: str
    step: str
    reference: str
    scale: float
    both: str = ""
    large_start: str = ""

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms of the four cells, in the order of `CELLS`."""
        return self.raw, self.start, self.step, self.reference

    @property
    def controls(self) -> tuple[tuple[str, str], ...]:
        """Pairs of arms whose trainings are the same."""
        pairs = ((self.both, self.reference), (self.large_start, self.step))
        return tuple(pair for pair in pairs if pair[0])


@dataclass(frozen=True)
class Level:
    """How intervals are read: one-sided level of a bound, and the difference that one more image can make.

    `image` is as `Rules.image`, for the difference of two scores.
    """

    tail: float
    image: float | None = 1.0

    @classmethod
    def of(cls, confidence: float, image: float | None) -> Level:
        """That of intervals with this confidence, each by itself."""
        return cls((1 - confidence) / 2, image)

    def estimate(self, weights: Sequence[int], cells: Sequence[Values], epochs: int) -> Estimate:
        """A sum of cells' scores, whose weights sum to zero, with its interval."""
        table = sum(weight * cell for weight, cell in zip(weights, cells, strict=True) if weight)
        assert isinstance(table, np.ndarray)
        if self.image is None:
            image = float(np.abs(table.mean(axis=0)).max(initial=0.0)) / epochs
        else:
            image = self.image * sum(weight for weight in weights if weight > 0)
        return interval(moments(table, epochs), self.tail, image)


@dataclass(frozen=True)
class Effects:
    """The gap raw − reference and its parts, in the unit and direction of the metric.

    The intervals have the confidence of the study, each by itself. `most` are the parts that are shown to be
    more than half of the gap: two of them, if the third makes it smaller.
    """

    gap: Estimate
    start: Estimate
    step: Estimate
    joint: Estimate
    most: tuple[Part, ...] = ()

    def part(self, which: Part) -> Estimate:
        """The estimate of a part."""
        return {Part.START: self.start, Part.STEP: self.step, Part.JOINT: self.joint}[which]

    @property
    def direction(self) -> int:
        """1 if raw has the higher values, −1 if the reference has; 0 if that is open."""
        return sign_of(self.gap)

    def share(self, which: Part) -> int:
        """1 if a part is shown to make the gap, −1 if it makes it smaller, 0 if neither is shown."""
        return self.direction * sign_of(self.part(which))


@dataclass(frozen=True)
class Control:
    """Two arms whose trainings are the same but for rounding, and the gap that was found between them."""

    arm: str
    like: str
    gap: Estimate
    margin: float

    @property
    def failed(self) -> bool:
        """Whether they differ, by the interval and by more than the margin."""
        return bool(sign_of(self.gap)) and abs(self.gap.value) > self.margin

    @property
    def confirmed(self) -> bool:
        """Whether they are shown to differ by less than the margin."""
        return -self.margin < self.gap.low and self.gap.high < self.margin


@dataclass(frozen=True)
class Compared:
    """What was estimated: the gap, one of its parts, or a control."""

    effect: str
    """`gap`, `start`, `step`, `joint` or `control`."""
    arm: str
    other: str | None
    """The arm that `arm` is compared with; None of the joint part, the rest of the gap."""
    estimate: Estimate


@dataclass(frozen=True)
class Factorial:
    """The gap of a raw input by its parts, for one configuration after a number of epochs.

    Scores are means of the last `window` epochs. `seeds` are those with which all four cells were run to the end.
    """

    cells: Cells
    configuration: str
    epochs: int
    window: int
    seeds: int
    images: int
    scores: tuple[float, ...]
    """Mean scores of the four cells, in the order of `CELLS`."""
    trained: tuple[Trained, ...]
    """How many of the seeds trained, in the same order."""
    effects: Effects
    controls: tuple[Control, ...]
    tail: float
    metric: Metric

    @property
    def level(self) -> float:
        """The confidence level of each interval."""
        return 1 - 2 * self.tail

    @property
    def compared(self) -> tuple[Compared, ...]:
        """All estimates, as arm − other arm."""
        cells, effects = self.cells, self.effects
        return (
            Compared("gap", cells.raw, cells.reference, effects.gap),
            Compared("start", cells.raw, cells.start, effects.start),
            Compared("step", cells.raw, cells.step, effects.step),
            Compared("joint", cells.raw, None, effects.joint),
            *(Compared("control", each.arm, each.like, each.gap) for each in self.controls),
        )

    @property
    def behind(self) -> bool:
        """Whether raw is shown to be worse than the reference."""
        return self.effects.direction * self.metric.sign < 0

    @property
    def readable(self) -> bool:
        """Whether there are enough seeds, and no control differs from what it should be."""
        return self.seeds >= LEAST_SEEDS and not any(control.failed for control in self.controls)

    @property
    def all_trained(self) -> bool:
        """Whether every seed of every cell trained."""
        return not any(cell.lost for cell in self.trained)

    @property
    def most(self) -> tuple[Part, ...]:
        """The parts that are shown to be more than half of the gap, unless some seeds of a cell trained and others did not."""
        return self.effects.most if settled(self.trained) else ()

    @property
    def trains_with(self) -> tuple[Part, ...]:
        """What makes seeds train; see `training_needs`."""
        return training_needs(self.trained)


def sign_of(estimate: Estimate) -> int:
    """1 if the interval is above zero, −1 if it is below, 0 otherwise."""
    return int(estimate.low > 0) - int(estimate.high < 0)


def settled(trained: Sequence[Trained]) -> bool:
    """Whether in each cell all seeds trained, or none did.

    A share that is neither needs more seeds than a score: five seeds that trained are no surprise if every second does.
    """
    return None not in map(_all_or_none, trained)


def training_needs(trained: Sequence[Trained]) -> tuple[Part, ...]:
    """What makes seeds train if none of raw trained and all of the reference did; of the cells in their order.

    The start, the steps, either of them, or only both together; empty if some seeds of a cell trained and others did not.
    """
    raw, start, step, reference = map(_all_or_none, trained)
    if (raw, reference) != (False, True) or None in (start, step):
        return ()
    alone = tuple(part for part, trains in ((Part.START, start), (Part.STEP, step)) if trains)
    return alone or (Part.JOINT,)


def _all_or_none(cell: Trained) -> bool | None:
    """Whether all seeds trained; None if only some did, or there are too few of them."""
    if cell.seeds < LEAST_SEEDS or 0 < cell.trained < cell.seeds:
        return None
    return cell.trained > 0


def effects_of(cells: Sequence[Values], level: Level, epochs: int = 1) -> Effects:
    """The effects in scores of the four cells, in the order of `CELLS`, as a sum over `epochs`.

    Each is (seeds, images), with the same seeds and images in the same order.
    """
    found = Effects(
        gap=level.estimate(GAP, cells, epochs),
        start=level.estimate(WEIGHTS_OF[Part.START], cells, epochs),
        step=level.estimate(WEIGHTS_OF[Part.STEP], cells, epochs),
        joint=level.estimate(WEIGHTS_OF[Part.JOINT], cells, epochs),
    )
    most = (part for part in PARTS if _is_most(part, found, cells, level, epochs))
    return replace(found, most=tuple(most))


def _is_most(
    part: Part, found: Effects, cells: Sequence[Values], level: Level, epochs: int
) -> bool:
    """Whether a part is shown to be larger than the two others together."""
    if found.share(part) < 1:
        return False
    weights = [2 * own - of_gap for own, of_gap in zip(WEIGHTS_OF[part], GAP, strict=True)]
    return sign_of(level.estimate(weights, cells, epochs)) == found.direction


def cells_of(arms: Sequence[Arm], reference: str) -> tuple[Cells, ...]:
    """The factorials in the arms of a study, found by the parameters that the arms fix.

    One for each input of which there are an arm without more, one with `input_weights`, and one with a matched
    `input_rate`, beside an arm with the reference's input. All of them have all other parameters in common.
    """
    of_reference = next((arm for arm in arms if arm.key == reference), None)
    if of_reference is None or not _plain(of_reference):
        return ()
    groups: dict[tuple[Inputs, Inputs], list[Arm]] = {}
    for arm in arms:
        groups.setdefault((_others(arm), _input(arm)), []).append(arm)
    own = _input(of_reference)
    found = (
        _cells(group, groups.get((others, own), []))
        for (others, given), group in groups.items()
        if given != own
    )
    return tuple(cells for cells in found if cells is not None)


def _cells(raw: Sequence[Arm], reference: Sequence[Arm]) -> Cells | None:
    """The factorial of the arms with one input and of those with the reference's."""
    plain, at_reference = (next(filter(_plain, group), None) for group in (raw, reference))
    step = next((arm for arm in raw if _matched(arm) and _weights(arm) == 1), None)
    starts = [arm for arm in raw if _weights(arm) != 1 and _rate(arm) == 1]
    both = {_weights(arm): arm for arm in raw if _weights(arm) != 1 and _matched(arm)}
    start = next((arm for arm in starts if _weights(arm) in both), next(iter(starts), None))
    if plain is None or at_reference is None or step is None or start is None:
        return None
    weights = _weights(start)
    large = (a for a in reference if _rate(a) == 1 and 1 / NEAR < _weights(a) * weights < NEAR)
    control = both.get(weights)
    return Cells(
        *(arm.key for arm in (plain, start, step, at_reference)),
        scale=1 / weights,
        both=control.key if control else "",
        large_start=next((arm.key for arm in large), ""),
    )


def _weights(arm: Arm) -> float:
    return float(arm.params.get(WEIGHTS, 1.0))


def _rate(arm: Arm) -> Scalar:
    return arm.params.get(INPUT_RATE, 1.0)


def _matched(arm: Arm) -> bool:
    return _rate(arm) == MATCHED


def _plain(arm: Arm) -> bool:
    return _weights(arm) == 1 and _rate(arm) == 1


def _input(arm: Arm) -> Inputs:
    """What the first layer gets, without parameters at their defaults."""
    given = {name: arm.params[name] for name in INPUT if name in arm.params}
    return frozenset(item for item in given.items() if not _at_default(*item))


def _at_default(name: str, value: Scalar) -> bool:
    return name in PARAMETERS and value == PARAMETERS[name].default


def _others(arm: Arm) -> Inputs:
    own = (*INPUT, WEIGHTS, INPUT_RATE)
    given = (item for item in arm.params.items() if item[0] not in own)
    return frozenset(item for item in given if not _at_default(*item))


def factorials(
    found: Confirmed,
    arms: Sequence[Arm],
    reference: str,
    level: Level,
    margin: float,
    baseline_epochs: int,
) -> tuple[Factorial, ...]:
    """The factorials of a confirmation: with the baseline at its own and at most epochs, then tuned.

    Arms that were not run are left out of `arms`. None without a seed that all cells were run with.
    """
    short = min(baseline_epochs, found.epochs)
    longest = found.epochs
    asked = dict.fromkeys([(BASELINE, short), (BASELINE, longest), (TUNED_LONG, longest)])
    if found.of_length:
        asked.pop((BASELINE, short) if short < longest else ("", 0), None)
    made = (
        _factorial(found, cells, name, epochs, level, margin)
        for cells in cells_of(arms, reference)
        for name, epochs in asked
    )
    return tuple(each for each in made if each is not None)


def _factorial(
    found: Confirmed, cells: Cells, name: str, epochs: int, level: Level, margin: float
) -> Factorial | None:
    tables = _Tables(found, name, epochs)
    slots = tables.slots(cells.arms)
    if not slots or (name != BASELINE and _same_runs(found, cells.arms, name)):
        return None
    values, window = [tables.values(arm, slots) for arm in cells.arms], tables.window
    return Factorial(
        cells=cells,
        configuration=name,
        epochs=epochs,
        window=window,
        seeds=len(slots),
        images=found.images,
        scores=tuple(float(table.mean()) / window for table in values),
        trained=tuple(tables.trained(arm, slots) for arm in cells.arms),
        effects=effects_of(values, level, window),
        controls=tuple(_controls(cells, tables, level, margin)),
        tail=level.tail,
        metric=found.metric,
    )


def _same_runs(found: Confirmed, arms: Sequence[str], name: str) -> bool:
    """Whether tuning chose the baseline for all of these arms."""
    runs = ((found.runs.get((arm, BASELINE)), found.runs[arm, name]) for arm in arms)
    return all(a is not None and a.configuration.runs == b.configuration.runs for a, b in runs)


def _controls(cells: Cells, tables: _Tables, level: Level, margin: float) -> Iterator[Control]:
    for arm, like in cells.controls:
        slots = tables.slots((arm, like))
        if slots:
            pair = [tables.values(each, slots) for each in (arm, like)]
            yield Control(arm, like, level.estimate((1, -1), pair, tables.window), margin)


@dataclass(frozen=True)
class _Tables:
    """The scores of a configuration after a number of epochs, for every seed that was run to its end."""

    found: Confirmed
    name: str
    epochs: int

    @property
    def window(self) -> int:
        return 1 if self.found.of_length else window_of(self.epochs)

    def slots(self, arms: Sequence[str]) -> list[int]:
        """The seeds with which all of these arms were run to the end."""
        runs = [self.found.runs.get((arm, self.name)) for arm in arms]
        ended = [set(self._ended(each)) if each is not None else set() for each in runs]
        return sorted(set.intersection(*ended))

    def _ended(self, runs: Runs) -> Iterator[int]:
        for slot, result in enumerate(runs.results):
            if result is not None and (
                runs.tested(slot) >= self.epochs or result.status is Status.DIVERGED
            ):
                yield slot

    def values(self, arm: str, slots: Sequence[int]) -> Values:
        """(seeds, images): sums over the window; those of a diverged seed are at the level of guessing."""
        runs = self.found.runs[arm, self.name]
        return np.stack([self._seed(runs, slot) for slot in slots])

    def _seed(self, runs: Runs, slot: int) -> Values:
        if runs.tested(slot) < self.epochs:
            return np.full(self.found.images, self.window * self._guessing)
        values = runs.values([slot], self.epochs)[0, -self.window :]
        kind = np.float64 if values.dtype.kind == "f" else np.int16
        return values.sum(axis=0, dtype=kind)

    @property
    def _guessing(self) -> float:
        guess = self.found.guess
        known = guess is not None and math.isfinite(guess.score)
        return guess.score if guess is not None and known else self.found.chance

    def trained(self, arm: str, slots: Sequence[int]) -> Trained:
        runs = self.found.runs[arm, self.name]
        own = replace(runs, results=tuple(runs.results[slot] for slot in slots))
        return own.trained(self.epochs, self.found.guess)[1]
