from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsweep.sweep.checks import Catalog
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import (
    BASELINE,
    TUNED_LONG,
    TUNED_SHORT,
    Analysis,
    Configuration,
    DataFacts,
    StudyRecord,
    TrialRecord,
)
from normsweep.sweep.trial import CONFIRM, Epoch, Result, Status, Tested, Trial

IMAGES = 1000
SHORT, LONG = 2, 6
"""The baseline's epochs, and the confirmation's."""
LEVELS: dict[tuple[str, str], Sequence[float]] = {
    ("none", BASELINE): (0.50, 0.60, 0.70, 0.80, 0.84, 0.86),
    ("none", TUNED_SHORT): (0.70, 0.78, 0.79, 0.81, 0.85, 0.87),
    ("none", TUNED_LONG): (0.55, 0.65, 0.75, 0.85, 0.88, 0.89),
    ("unit", BASELINE): (0.80, 0.86, 0.87, 0.88, 0.89, 0.90),
    ("unit", TUNED_SHORT): (0.82, 0.88, 0.89, 0.90, 0.90, 0.91),
    ("unit", TUNED_LONG): (0.81, 0.87, 0.90, 0.91, 0.92, 0.93),
}
"""Test accuracies, no two configurations' alike; tuned ones end above the baseline."""


@pytest.fixture
def sweep(sweep_file: Path, parts: Catalog) -> Callable[..., Sweep]:
    """The base sweep with a short confirmation; overrides come after."""
    short = (
        f"confirm.epochs={LONG}",
        f"confirm.baseline.epochs={SHORT}",
        "confirm.margin=0.05",
        "confirm.seeds=5",
    )
    return lambda *overrides: load_sweep(sweep_file, parts, [*short, *overrides])


@dataclass(frozen=True)
class Planted:
    """A confirmation whose bits are known: `levels` by arm and configuration, in every seed.

    An image is right where its place among the images is below the level, so that a gap of two
    configurations is exactly that of their levels, and seeds do not vary unless there is a `spread`.
    """

    trial: Callable[..., Trial]
    levels: Mapping[tuple[str, str], Sequence[float]] = field(default_factory=lambda: LEVELS)
    seeds: int = 5
    diverged: Mapping[tuple[str, str], Mapping[int, int]] = field(default_factory=dict)
    """By arm and configuration, seeds that diverged, and the epoch in which they did."""
    failed: Mapping[tuple[str, str], Sequence[int]] = field(default_factory=dict)
    rates: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Learning rates other than 0.001."""
    compare: str = "normalization"
    selected_at: Mapping[tuple[str, str], int] = field(default_factory=dict)
    spread: float = 0.0
    """A run is 0 to 4 times as much below its level, which differs between the runs of a seed."""

    @property
    def look(self) -> Analysis:
        return Analysis(self.seeds, tuple(self._configuration(*key) for key in self.levels))

    @property
    def records(self) -> list[TrialRecord]:
        return [
            self._record(key, slot)
            for slot in range(self.seeds)
            for key in self.levels
            if slot not in self.failed.get(key, ())
        ]

    def number(self, key: tuple[str, str], slot: int) -> int:
        """The trial of a configuration and seed; those of the search come before 100."""
        return 100 + slot * len(self.levels) + list(self.levels).index(key)

    def _params(self, arm: str, name: str) -> dict[str, Any]:
        params = {"normalization": "unit", "optimizer": "adam", self.compare: arm}
        rate = self.rates.get((arm, name), 0.001)
        return {**params, "learning_rate": rate, "epochs": len(self.levels[arm, name])}

    def _configuration(self, arm: str, name: str) -> Configuration:
        key, params = (arm, name), self._params(arm, name)
        failed = self.failed.get(key, ())
        runs = tuple(None if s in failed else self.number(key, s) for s in range(self.seeds))
        if name == BASELINE:
            return Configuration(arm, name, params, runs=runs)
        at = self.selected_at.get(key, SHORT if name == TUNED_SHORT else LONG)
        return Configuration(arm, name, params, 3, at, 4, runs)

    def _record(self, key: tuple[str, str], slot: int) -> TrialRecord:
        number, params = self.number(key, slot), self._params(*key)
        bad = self.diverged.get(key, {}).get(slot)
        curve = tuple(
            self._epoch(number, epoch, level - self.spread * (number**2 % 5))
            for epoch, level in enumerate(self.levels[key], start=1)
            if bad is None or epoch < bad
        )
        if bad is not None:
            curve += (Epoch(number, bad, math.nan, 0.1, math.nan, math.nan, 0.5),)
        trial = self.trial(
            number, key[0], seed=slot + 1, phase=CONFIRM, configuration=key[1],
            normalization=params["normalization"], optimizer=params["optimizer"],
            learning_rate=params["learning_rate"], epochs=params["epochs"], params=params,
        )  # fmt: skip
        status = Status.COMPLETE if bad is None else Status.DIVERGED
        return TrialRecord(trial, Result(number, status, curve, 0.1, 3.0, test_digest="t" * 64))

    @staticmethod
    def _epoch(number: int, epoch: int, level: float) -> Epoch:
        right = np.arange(IMAGES) < round(level * IMAGES)
        tested = Tested(IMAGES, np.packbits(right).tobytes())
        return Epoch(number, epoch, 0.5, level, 0.5, level, 0.5, tested)


@pytest.fixture
def planted(trial: Callable[..., Trial]) -> Callable[..., Planted]:
    """A confirmation with planted bits; fields of `Planted` may be given."""
    return lambda **fields: Planted(trial, **fields)


@pytest.fixture
def recorded() -> Callable[..., StudyRecord]:
    """The record of a study on ten classes: its sweep, its trials, the analyses that were made."""

    def made(
        sweep: Sweep,
        trials: Sequence[TrialRecord] = (),
        analyses: Sequence[Analysis] = (),
        classes: int = 10,
        test_counts: Sequence[int] = (),
        **fields: Any,
    ) -> StudyRecord:
        data = DataFacts(
            "digits", "test", "d" * 64, 100, 50, classes, test_class_counts=tuple(test_counts)
        )
        return StudyRecord(
            "base", "abc", sweep, data, trials=tuple(trials), analyses=tuple(analyses), **fields
        )

    return made
