"""The results of the confirmation runs, by configuration, seed, epoch and test image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normsweep.analysis.estimates import Estimate, interval, moments
from normsweep.analysis.rules import Trained
from normsweep.parts.influence import restored
from normsweep.parts.metrics import ACCURACY, BOUND, Metric, metric
from normsweep.sweep.study_record import (
    BASELINE,
    BASELINE_SHORT,
    Analysis,
    Configuration,
    DataFacts,
    TrialRecord,
)
from normsweep.sweep.trial import Epoch, Result, Status, Tested

__all__ = [
    "Confirmed",
    "Curve",
    "Guess",
    "Paired",
    "Runs",
    "SeedCurve",
    "Speed",
    "confirmed",
    "curves",
    "seed_curves",
    "speeds",
]

Values = NDArray[Any]
"""(seeds, epochs, images), whose mean over the images is the metric: 0 and 1 for the accuracy, otherwise
float32, the metric plus the influence of each image; NaN after an epoch whose rows are not kept."""

NEAR = 0.02
"""Share of the loss of guessing that a training loss has to be below it, for a network that learned."""


@dataclass(frozen=True)
class Guess:
    """The level of guessing without looking at an image: on the test images, and of the training loss."""

    score: float
    loss: float
    metric: Metric = ACCURACY
    least: float = 0.0
    """The training loss of a network whose outputs equal the targets."""

    @classmethod
    def of(cls, data: DataFacts | None, by: Metric) -> Guess:
        """That of the classes' shares, or of equal shares if they are unknown."""
        if data is None or not data.classes:  # of a regression each run has its own
            return cls(math.nan, math.nan, by)
        equal = (1,) * data.classes
        train, test = data.class_counts or equal, data.test_class_counts or equal
        share = max(test) / sum(test)
        score = share if by is ACCURACY else by.guessing(test)
        return cls(score, metric("log_loss").guessing(train), by)

    def of_run(self, result: Result) -> Guess:
        """That of a run, which depends on its loss and on the scaling of its targets."""
        own = result.guessing
        if own is None:
            return self
        score = self.score if math.isnan(own.test_score) else own.test_score
        return Guess(score, own.loss, self.metric, own.least)

    def no_better(self, epoch: Epoch) -> bool:
        """Whether a network after an epoch is no better than guessing.

        Its score is not above guessing, by its one-sided 99 % bound, and its training loss is at most 2 %
        below that of guessing. A poor score alone is not enough: whatever a network learned lowers its
        training loss.
        """
        return self.learned_nothing(epoch) and self.scores_no_better(epoch)

    def learned_nothing(self, epoch: Epoch) -> bool:
        """Whether the training loss is at most 2 % of the way from that of guessing to the least one."""
        return not epoch.train_loss < (1 - NEAR) * (self.loss - self.least) + self.least

    def scores_no_better(self, epoch: Epoch) -> bool:
        """Whether the score on the test images is not above guessing, by its one-sided 99 % bound."""
        if epoch.tested is None:
            return False
        sign, reach = self.metric.sign, BOUND * _standard_error(epoch.tested)
        return sign * epoch.tested.value - reach <= sign * self.score


@dataclass(frozen=True)
class Runs:
    """The runs of one configuration of one arm, in the order of the seeds; None for a failed run."""

    configuration: Configuration
    results: tuple[Result | None, ...]
    of_length: bool = False
    """Whether each number of epochs is a training of its own."""

    def tested(self, slot: int) -> float:
        """Number of epochs for which the score of a seed is known; infinite if its run ended by itself."""
        result = self.results[slot] if slot < len(self.results) else None
        if result is None:
            return 0
        early = len(result.curve) < int(self.configuration.params["epochs"])
        if result.status is Status.COMPLETE and (self.of_length or early):
            return math.inf
        return sum(e.tested is not None for e in result.curve)

    def trained(self, horizon: int, guess: Guess | None = None) -> tuple[dict[int, bool], Trained]:
        """Whether the run of a seed trained up to the horizon, by slot, without failed runs; the counts.

        Without a guess, no run counts as stuck.
        """
        by_slot: dict[int, bool] = {}
        diverged = stuck = 0
        for slot, result in enumerate(self.results):
            if result is None:
                continue
            if self.tested(slot) < horizon:
                if result.status is Status.DIVERGED:
                    by_slot[slot], diverged = False, diverged + 1
                continue
            ends = (result.course(horizon)[-1], result.last)
            is_stuck = guess is not None and all(map(guess.of_run(result).no_better, ends))
            by_slot[slot], stuck = not is_stuck, stuck + is_stuck
        return by_slot, Trained(sum(by_slot.values()), diverged, stuck)

    @property
    def failed(self) -> int:
        """Number of seeds whose run failed."""
        return sum(result is None for result in self.results)

    def mean(self, slots: Sequence[int], epoch: int) -> float:
        """The mean score of these seeds after an epoch."""
        results = (self.results[slot] for slot in slots)
        tested = [r.course(epoch)[-1].tested for r in results if r is not None]
        return sum(each.value for each in tested if each is not None) / len(slots)

    def values(self, slots: Sequence[int], epochs: int) -> Values:
        """The values of these seeds for the first epochs."""
        return np.stack([_values(self.results[slot], epochs) for slot in slots])


@dataclass(frozen=True)
class Paired:
    """The values (seeds, epochs, images) of arm and reference for the seeds with which both trained."""

    arm: Values
    reference: Values
    trained: tuple[Trained, Trained]
    alone: Values
    """Those of the reference for all seeds with which it trained."""


@dataclass(frozen=True)
class Confirmed:
    """The runs of an analysis, by arm and configuration."""

    runs: Mapping[tuple[str, str], Runs]
    images: int
    chance: float
    epochs: int
    """Epochs of a run."""
    metric: Metric = ACCURACY
    guess: Guess | None = None
    """The level at which a seed is stuck; None: stuck seeds count as trained."""

    @property
    def of_length(self) -> bool:
        """Whether there are runs that hold no shorter training."""
        return any(runs.of_length for runs in self.runs.values())

    def of(self, key: tuple[str, str], epochs: int) -> Runs:
        """The runs of an arm's configuration that are read after so many epochs."""
        short = self.runs.get((key[0], BASELINE_SHORT))
        fits = short is not None and epochs <= int(short.configuration.params["epochs"])
        return short if short is not None and fits and key[1] == BASELINE else self.runs[key]

    def pairs(
        self,
        arm: tuple[str, str],
        reference: tuple[str, str],
        horizon: int,
        of_reference: int | None = None,
    ) -> Paired:
        """The values of the seeds with which both trained, in the order of the seeds.

        The arm is needed up to the horizon, the reference up to its own epoch, by default the horizon.
        """
        none = np.zeros((0, self.epochs, self.images), np.uint8)
        until = of_reference or horizon
        if arm not in self.runs or reference not in self.runs:
            return Paired(none, none, (Trained(0), Trained(0)), none)
        a, b = self.of(arm, horizon), self.of(reference, until)
        of_a, counted_a = a.trained(horizon, self.guess)
        of_b, counted_b = b.trained(until, self.guess)
        own = [slot for slot, trained in of_b.items() if trained]
        slots = [slot for slot, trained in of_a.items() if trained and of_b.get(slot)]
        alone = b.values(own, until) if own else none
        counts = counted_a, counted_b
        if not slots:
            return Paired(none, none, counts, alone)
        of_pairs = alone if slots == own else b.values(slots, until)
        return Paired(a.values(slots, horizon), of_pairs, counts, alone)


@dataclass(frozen=True)
class Curve:
    """The metric on the test data after each epoch, for one configuration of an arm."""

    arm: str
    configuration: str
    epochs: tuple[Estimate, ...]
    """Mean and two-way interval of each epoch."""

    def after(self, epoch: int) -> float:
        """The mean after an epoch, counted from 1; NaN beyond the curve."""
        return self.epochs[epoch - 1].value if epoch <= len(self.epochs) else math.nan


@dataclass(frozen=True)
class SeedCurve:
    """The metric on the test images of one seed, after each epoch."""

    seed: int
    """Index among the seeds that are known."""
    trial: int | None
    scores: tuple[float, ...]
    seconds: tuple[float, ...] = ()
    """Wall time of each epoch; empty if it is unknown."""


@dataclass(frozen=True)
class Speed:
    """The effort that a configuration of an arm needs to reach the baseline of the reference."""

    arm: str
    configuration: str
    epochs: int | None
    """The first epoch whose mean on the test images reaches that level; None if there is none."""
    seconds: float
    """Wall time of these epochs; NaN if there are none."""
    tuning_seconds: float
    """Wall time of the search of the arm; 0 for the baseline."""
    tuning_epochs: int


def confirmed(
    analysis: Analysis, records: Sequence[TrialRecord], data: DataFacts | None = None
) -> Confirmed:
    """The runs of an analysis; `data` say which seeds are stuck at the level of guessing.

    Raises:
        ValueError: they were evaluated on different images.
    """
    results = {r.trial.number: r.result for r in records if r.result is not None}
    of_length = {r.trial.number for r in records if r.trial.of_length}
    runs = {
        (c.arm, c.name): Runs(
            c,
            tuple(results.get(n) if n is not None else None for n in c.runs),
            not of_length.isdisjoint(c.runs),
        )
        for c in analysis.configurations
    }
    known = [result for r in runs.values() for result in r.results if result is not None]
    digests = {result.test_digest for result in known}
    if len(digests) > 1:
        raise ValueError(
            f"expected runs with the same test images, got digests {', '.join(sorted(digests))}"
        )
    tested = [e.tested.images for result in known for e in result.curve[:1] if e.tested]
    epochs = max((int(c.params["epochs"]) for c in analysis.configurations), default=0)
    chance = known[0].chance if known else float("nan")
    names = [r.trial.metric for r in records]
    by = metric(names[0]) if names else ACCURACY
    guess = None if data is None else Guess.of(data, by)
    return Confirmed(runs, tested[0] if tested else 0, chance, epochs, by, guess)


def curves(found: Confirmed, confidence: float) -> tuple[Curve, ...]:
    """The curve of each configuration of which any seed reached the last epoch.

    It is that of the seeds that trained, as in the verdicts, or if none did, of all that reached the last
    epoch. A run that ended by itself stays as it is; the baseline at its own number of epochs is left out.
    """
    shown = (runs for (_, name), runs in found.runs.items() if name != BASELINE_SHORT)
    made = (_curve(runs, found, (1 - confidence) / 2) for runs in shown)
    return tuple(curve for curve in made if curve.epochs)


def _curve(runs: Runs, found: Confirmed, tail: float) -> Curve:
    arm, name, epochs = runs.configuration.arm, runs.configuration.name, found.epochs
    trained, _ = runs.trained(epochs, found.guess)
    reached = [slot for slot in trained if runs.tested(slot) >= epochs]
    slots = [slot for slot in reached if trained[slot]] or reached
    if not slots:
        return Curve(arm, name, ())
    values = runs.values(slots, epochs)
    return Curve(arm, name, tuple(_between(_estimates(runs, slots, values, tail))))


def _estimates(runs: Runs, slots: Sequence[int], values: Values, tail: float) -> Iterator[Estimate]:
    """The estimate of each epoch; with unknown bounds if its rows are not kept."""
    for e in range(values.shape[1]):
        if values.dtype.kind == "f" and np.isnan(values[:, e, :1]).any():
            yield Estimate(runs.mean(slots, e + 1), math.nan, math.nan, len(slots))
        else:
            yield interval(moments(values[:, e]), tail)


def _between(estimates: Iterable[Estimate]) -> list[Estimate]:
    """The estimates, with interpolated distances of the bounds where they are unknown between known ones."""
    found = list(estimates)
    known = [i for i, e in enumerate(found) if not math.isnan(e.low)]
    if not known or len(known) == len(found):
        return found
    below, above = (
        np.interp(
            range(len(found)), known, [abs(getattr(found[i], end) - found[i].value) for i in known]
        )
        for end in ("low", "high")
    )
    return [
        e
        if i in known
        else replace(e, low=e.value - float(below[i]), high=e.value + float(above[i]))
        for i, e in enumerate(found)
    ]


def seed_curves(
    analysis: Analysis, records: Sequence[TrialRecord], curve: Curve
) -> tuple[SeedCurve, ...]:
    """The single runs behind a curve, in the order of the seeds."""
    results = {r.trial.number: r.result for r in records}
    known = [
        results.get(number)
        for c in analysis.configurations
        if (c.arm, c.name) == (curve.arm, curve.configuration)
        for number in c.runs
        if number is not None
    ]
    return tuple(
        SeedCurve(
            seed,
            result.trial,
            tuple(e.tested.value for e in result.curve if e.tested is not None),
            tuple(e.seconds for e in result.curve),
        )
        for seed, result in enumerate(result for result in known if result is not None)
    )


def speeds(
    found: Confirmed,
    drawn: Sequence[Curve],
    searched: Sequence[TrialRecord],
    reference: str,
    baseline_epochs: int,
) -> tuple[Speed, ...]:
    """Epochs and seconds until the level of the reference's baseline at its last epoch is reached.

    A point estimate without a test, from the curves `drawn`. `searched` are the trials of the search and of the
    selection round.
    None if a curve holds no shorter training.
    """
    if found.of_length:
        return ()
    sign = found.metric.sign
    upward = {(c.arm, c.configuration): [sign * e.value for e in c.epochs] for c in drawn}
    of_reference = upward.get((reference, BASELINE), [])
    level = of_reference[min(baseline_epochs, found.epochs) - 1] if of_reference else math.nan
    return tuple(
        _speed(runs, upward.get(key, []), level, searched) for key, runs in found.runs.items()
    )


def _speed(
    runs: Runs, levels: Sequence[float], level: float, searched: Sequence[TrialRecord]
) -> Speed:
    arm, name = runs.configuration.arm, runs.configuration.name
    epochs = next((e for e, value in enumerate(levels, start=1) if value >= level), None)
    of_arm = [r.result for r in searched if r.trial.arm == arm and r.result is not None]
    tuning = of_arm if name != BASELINE else []
    return Speed(
        arm=arm,
        configuration=name,
        epochs=epochs,
        seconds=epochs * _epoch_seconds(runs) if epochs else math.nan,
        tuning_seconds=sum((result.worker_seconds for result in tuning), 0.0),
        tuning_epochs=sum(len(result.curve) - result.reused for result in tuning),
    )


def _epoch_seconds(runs: Runs) -> float:
    """Median wall time of an epoch, which ignores compilation and a busy machine."""
    seconds = [e.seconds for result in runs.results if result is not None for e in result.curve]
    return float(np.median(seconds)) if seconds else math.nan


def _values(result: Result | None, epochs: int) -> Values:
    assert result is not None
    tested = [epoch.tested for epoch in result.course(epochs) if epoch.tested is not None]
    if tested[0].score is not None:
        kept = any(each.influence for each in tested)
        return np.stack([_weighed(each, kept) for each in tested])
    packed = np.frombuffer(b"".join(t.bits for t in tested), np.uint8).reshape(len(tested), -1)
    return np.unpackbits(packed, axis=1, count=tested[0].images)


def _standard_error(tested: Tested) -> float:
    """The standard error of a score due to the images; 0 if their influences are unknown."""
    if tested.score is None:
        return math.sqrt(tested.accuracy * (1 - tested.accuracy) / tested.images)
    if not tested.influence:
        return 0.0
    weights = restored(tested.influence, tested.largest)
    return float(np.sqrt(np.mean(np.square(weights)) / tested.images))


def _weighed(tested: Tested, kept: bool) -> Values:
    """The metric plus the influence of each image; the metric only if influences are unknown.

    NaN if those of other epochs are `kept` and these are not.
    """
    if not tested.influence:
        return np.full(tested.images, math.nan if kept else tested.value, np.float32)
    return (tested.value + restored(tested.influence, tested.largest)).astype(np.float32)
