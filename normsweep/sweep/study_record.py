"""What a study's record holds: its trials, and what was confirmed and analysed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Scalar
from normsweep.sweep.trial import CONFIRM, SEARCH, Result, Trial

__all__ = [
    "BASELINE",
    "TUNED_LONG",
    "TUNED_SHORT",
    "Analysis",
    "Configuration",
    "DataFacts",
    "Diagnosis",
    "LoggedModel",
    "Stage",
    "StudyRecord",
    "TrialRecord",
]

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
    """In an analysis: its trials in the confirmation, seed by seed; None for one that failed."""


@dataclass(frozen=True)
class Analysis:
    """A verdict that was given: on how many seeds, for which configurations."""

    seeds: int
    configurations: tuple[Configuration, ...]

    @property
    def seen(self) -> tuple[object, ...]:
        """What it was made of: the same runs again are no further analysis."""
        runs = tuple((c.arm, c.name, c.runs) for c in self.configurations)
        return self.seeds, runs

    def to_plain(self) -> dict[str, Any]:
        """As values that JSON holds; `from_plain` gives it back."""
        return asdict(self)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Analysis:
        """The analysis that `to_plain` wrote."""
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
    """The MLflow run that holds all of it; empty if it is not yet logged."""

    @property
    def place(self) -> tuple[str, str, int, str]:
        """What of the plan it fills: a trial that is tried again fills the same place."""
        trial = self.trial
        return trial.phase, trial.arm, trial.slot, trial.configuration


@dataclass(frozen=True)
class DataFacts:
    """What the record says of the data."""

    name: str
    source: str
    """Where it came from, in words or as a path."""
    digest: str
    """SHA-256 over the arrays, hexadecimal: as in `DataKey`."""
    train_images: int
    """Validation included."""
    test_images: int
    classes: int
    labels: tuple[str, ...] = ()
    """The classes' names, where they have any."""
    class_counts: tuple[int, ...] = ()
    """Training images by class; empty in older records, as are those of the test images."""
    test_class_counts: tuple[int, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """As values that JSON holds; `from_plain` gives it back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> DataFacts:
        """The facts that `to_plain` wrote.

        Raises:
            KeyError, TypeError, ValueError: they are not whole.
        """
        return cls(
            name=str(content["name"]),
            source=str(content["source"]),
            digest=str(content["digest"]),
            train_images=int(content["train_images"]),
            test_images=int(content["test_images"]),
            classes=int(content["classes"]),
            labels=tuple(map(str, content.get("labels", ()))),
            class_counts=tuple(map(int, content.get("class_counts", ()))),
            test_class_counts=tuple(map(int, content.get("test_class_counts", ()))),
        )


@dataclass(frozen=True)
class Stage:
    """An arm's network at one moment of its training."""

    input_mean: float
    input_std: float
    """Mean and standard deviation of all values that the network's first layer is fed."""
    condition_number: float
    """Largest eigenvalue of the inputs' covariance by the smallest that is not zero."""
    loss: float
    """Mean cross-entropy as a step of training meets it."""
    dead_relus: float
    """Share of the ReLU units that are zero for every image, at every place; NaN without ReLUs."""
    gradients: tuple[tuple[str, float], ...]
    """Euclidean norm of the loss's gradient, by layer from the first to the last."""

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Stage:
        """The stage that `Diagnosis.to_plain` wrote."""
        gradients = tuple((str(layer), float(norm)) for layer, norm in content["gradients"])
        numbers = {f.name: float(content[f.name]) for f in fields(cls) if f.name != "gradients"}
        return cls(gradients=gradients, **numbers)


@dataclass(frozen=True)
class Diagnosis:
    """An arm before training and after one epoch; None where that epoch diverged."""

    initialization: Stage
    after_epoch_1: Stage | None

    @property
    def stages(self) -> dict[str, Stage]:
        """Those that there are, by name, the earlier one first."""
        known = {"initialization": self.initialization, "after epoch 1": self.after_epoch_1}
        return {name: stage for name, stage in known.items() if stage is not None}

    def to_plain(self) -> dict[str, Any]:
        """As values that JSON holds, non-finite numbers as strings; `from_plain` gives it back."""
        return _finite(asdict(self))

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Diagnosis:
        """The diagnosis that `to_plain` wrote."""
        after = content["after_epoch_1"]
        return cls(
            Stage.from_plain(content["initialization"]),
            None if after is None else Stage.from_plain(after),
        )


@dataclass(frozen=True)
class LoggedModel:
    """A model in MLflow."""

    trial: int
    """The number of the trial that trained it."""
    model_id: str
    """The model's own in MLflow."""

    def to_plain(self) -> dict[str, Any]:
        """As values that JSON holds; `from_plain` gives it back."""
        return asdict(self)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> LoggedModel:
        """The model that `to_plain` wrote."""
        return cls(int(content["trial"]), str(content["model_id"]))


@dataclass(frozen=True)
class StudyRecord:
    """A study as its database holds it."""

    name: str
    id: str
    """Its own for ever: a study that is deleted and made again under its name has another."""
    sweep: Sweep
    data: DataFacts | None = None
    """None until the first command has loaded it."""
    same: Mapping[str, str] = field(default_factory=dict)
    """Normalizations not run because another does the same on this data: the other one's name."""
    threads: int | None = None
    """Threads of a worker, on which the bits of every trial depend; None in older records."""
    planned: Mapping[str, int] = field(default_factory=dict)
    """By phase, how many trials it has; as far as a command has come to it."""
    trials: tuple[TrialRecord, ...] = ()
    """By number."""
    analyses: tuple[Analysis, ...] = ()
    """The verdicts that were given, oldest first."""
    diagnoses: Mapping[str, Diagnosis] = field(default_factory=dict)
    """By arm."""
    models: Mapping[str, LoggedModel] = field(default_factory=dict)
    """By arm, its best model, where one was logged."""

    @property
    def begun(self) -> bool:
        """Whether data and arms are settled."""
        return self.data is not None

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that run, in the sweep's order."""
        return tuple(str(arm) for arm in self.sweep.arms if arm not in self.same)

    @property
    def searched(self) -> tuple[TrialRecord, ...]:
        """The search's trials."""
        return tuple(r for r in self.trials if r.trial.phase == SEARCH)

    @property
    def confirmed(self) -> tuple[TrialRecord, ...]:
        """The confirmation's trials."""
        return tuple(r for r in self.trials if r.trial.phase == CONFIRM)

    @property
    def scored(self) -> bool:
        """Whether a trial of the search has a score."""
        return any(r.result is not None and r.result.status.scored for r in self.searched)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
