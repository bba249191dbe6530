"""The trials of the benchmarks: LeNet with Adam on a saved dataset."""

from __future__ import annotations

import os
from pathlib import Path

from normsweep.parts.dataset import Dataset
from normsweep.sweep.trial import DataKey, Trial

__all__ = ["lenet_trial", "saved", "threads"]

NORMALIZATION = "unit"


def saved(dataset: Dataset, root: Path) -> DataKey:
    """Save a dataset in an engine's data folder; returns its key."""
    return DataKey(dataset.name, dataset.save(root), validation_split=0.2)


def lenet_trial(
    data: DataKey, epochs: int, *, seed: int = 0, learning_rate: float = 0.001
) -> Trial:
    """A trial of LeNet on normalized images with Adam, batches of 128."""
    return Trial(
        number=seed,
        arm=NORMALIZATION,
        slot=seed,
        seed=seed,
        data=data,
        model="lenet",
        model_options={},
        normalization=NORMALIZATION,
        optimizer="adam",
        optimizer_options={},
        learning_rate=learning_rate,
        batch_size=128,
        epochs=epochs,
    )


def threads() -> int:
    """Number of CPU cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
