"""Halving: after which epochs the better trials of an arm go on, and what that costs.

Twice as many trials start as could be trained in full. After a quarter of the epochs the better half goes
on, after half of them the better quarter, so that all of them together train as many epochs.

Reference: Jamieson & Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization,
AISTATS 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LEAST_EPOCHS", "Rung", "epochs_of_halving", "rungs"]

LEAST_EPOCHS = 3
"""Epochs of a full trial from which on halving trains no more of them than full trials."""


@dataclass(frozen=True)
class Rung:
    """An epoch at which all trials of an arm pause, and how many of them go on."""

    epoch: int
    going_on: int


def rungs(trials: int, epochs: int) -> tuple[Rung, ...]:
    """The rungs of twice as many trials as `trials`, which could be trained for all `epochs`."""
    quarter, half = max(1, epochs // 4), max(1, epochs // 2)
    going_on = {quarter: trials, half: max(1, trials // 2)}  # of few epochs they are the same
    return tuple(Rung(epoch, count) for epoch, count in going_on.items())


def epochs_of_halving(trials: int, epochs: int) -> int:
    """The epochs that halving trains instead of the `trials`·`epochs` of full trials."""
    total, going, before = 0, 2 * trials, 0
    for rung in (*rungs(trials, epochs), Rung(epochs, 0)):
        total += going * (rung.epoch - before)
        going, before = rung.going_on, rung.epoch
    return total
