"""Why a network is stuck at the level of guessing: `Kind`, from its curve and its `Inspection`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from normsweep.analysis.confirm_runs import Guess
from normsweep.parts.metrics import ACCURACY, at_guessing
from normsweep.sweep.study_record import DataFacts
from normsweep.sweep.trial import Epoch, Result

__all__ = ["Kind", "Level", "kind"]

ONE_OUTPUT = 0.95
"""Share of the images with one and the same output, of a network that is dead."""
NO_GRADIENT = 1e-8
LEARNED = 0.25
"""How far from guessing to 1 the accuracy with each batch's own statistics has come, at least, where the
running ones are to blame."""
FALLS = 2
"""Epochs in a row in which both losses fell, of a training that is too slow."""


class Kind(StrEnum):
    """Why a network is stuck."""

    NO_INFORMATION = "no information"
    """All its inputs are the same."""
    DEAD = "dead"
    """One output for nearly all images, and no gradient on these."""
    RUNNING_STATISTICS = "running statistics"
    """Good with each batch's own statistics, and not with the running averages of BatchNormalization."""
    TOO_SLOW = "too slow"
    """Both losses are still falling."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Level:
    """The level of guessing on the validation images."""

    share: float
    """Of the largest class; NaN in a regression."""
    images: int
    """Number of validation images."""
    guess: Guess

    @classmethod
    def of(cls, data: DataFacts, validation_split: float) -> Level:
        """That of the classes' shares, or of equal shares if they are unknown."""
        counts = data.class_counts or (1,) * data.classes
        images = math.ceil(data.train_images * validation_split - 1e-9)
        share = max(counts) / sum(counts) if counts else math.nan
        return cls(share, images, Guess.of(data, ACCURACY))

    def scores_no_better(self, epoch: Epoch) -> bool:
        """Whether the validation accuracy is not above guessing, by its one-sided 99 % bound."""
        return at_guessing(epoch.val_accuracy, self.images, self.share)

    @property
    def learned(self) -> float:
        """The accuracy of a network that has clearly learned something."""
        return self.share + LEARNED * (1 - self.share)


def kind(result: Result, level: Level) -> Kind:
    """Why a training ended no better than guessing.

    Only what its curve says is known of a training that was pruned, or recorded by an earlier version.
    """
    seen = result.inspection
    if seen is None:
        moves = len({_shown(e) for e in result.curve}) > 1  # otherwise it may be dead
        return Kind.TOO_SLOW if moves and _falling(result.curve) else Kind.UNKNOWN
    if seen.input_range == 0:
        return Kind.NO_INFORMATION
    if seen.same_output >= ONE_OUTPUT and _at_most(seen.gradient, NO_GRADIENT):
        return Kind.DEAD
    if seen.batch_accuracy is not None and seen.batch_accuracy >= level.learned:
        return Kind.RUNNING_STATISTICS
    return Kind.TOO_SLOW if _falling(result.curve) else Kind.UNKNOWN


def _shown(epoch: Epoch) -> float:
    """The validation accuracy; in a regression the score."""
    return epoch.value if math.isnan(epoch.val_accuracy) else epoch.val_accuracy


def _at_most(value: float | None, most: float) -> bool:
    return value is not None and value <= most


def _falling(curve: tuple[Epoch, ...]) -> bool:
    """Whether both losses fell in each of the last epochs."""
    last = curve[-FALLS - 1 :]
    fell = (b.train_loss < a.train_loss and b.val_loss < a.val_loss for a, b in pairwise(last))
    return len(last) > FALLS and all(fell)
