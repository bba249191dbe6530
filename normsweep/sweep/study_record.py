"""What a study's record holds: its trials, and what was confirmed and analysed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from normsweep.sweep.space import Scalar
from normsweep.sweep.trial import Result, Trial

__all__ = ["BASELINE", "TUNED_LONG", "TUNED_SHORT", "Analysis", "Configuration", "TrialRecord"]

BASELINE, TUNED_SHORT, TUNED_LONG = "baseline", "tuned_short", "tuned_long"
"""The sweep's own; tuned at the baseline's epochs; tuned at the longest budget."""


@dataclass(frozen=True)
class Configuration:
    """One configuration of one arm."""

    arm: str
    name: str
    params: Mapping[str, Scalar]
    """As a search trial's; `epochs` are those of the confirmation."""
    trial: int | None = None
    """The search trial that it was taken from; None for the baseline."""
    selected_at: int | None = None
    """The epoch at which the search's validation curves were read."""
    among: int = 0
    """Trials of the arm that reached that epoch, and so could have been chosen."""
    runs: tuple[int | None, ...] = ()
    """At a look: its trials in the confirmation, seed by seed; None for one that failed."""


@dataclass(frozen=True)
class Analysis:
    """A verdict that was given: on how many seeds, for which configurations."""

    seeds: int
    configurations: tuple[Configuration, ...]

    @property
    def seen(self) -> tuple[object, ...]:
        """What was looked at: the same runs again are no further look."""
        runs = tuple((c.arm, c.name, c.runs) for c in self.configurations)
        return self.seeds, runs

    def plain(self) -> dict[str, Any]:
        """As values that JSON holds; `from_plain` gives it back."""
        return asdict(self)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Analysis:
        """The look that `plain` wrote."""
        configurations = tuple(
            Configuration(**{**c, "runs": tuple(c["runs"])}) for c in content["configurations"]
        )
        return cls(content["seeds"], configurations)


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the study's database holds it."""

    trial: Trial
    result: Result | None
    """None while the trial runs."""
    run_id: str = ""
    """The MLflow run that holds all of it; empty where it was not delivered yet."""

    @property
    def place(self) -> tuple[str, str, int, str]:
        """What of the plan it fills: a trial that is tried again fills the same place."""
        trial = self.trial
        return trial.phase, trial.arm, trial.slot, trial.configuration
