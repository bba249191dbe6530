"""A study as plain data: its trials, configurations, analyses and diagnoses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from normsweep.sweep.arms import bundles, equal_arms
from normsweep.sweep.parameters import CLASSIFICATION
from normsweep.sweep.schema import LEAST_SEEDS, SEQUENTIAL, Sweep
from normsweep.sweep.space import Scalar
from normsweep.sweep.trial import CONFIRM, SEARCH, SELECT, Result, Status, Trial
from normsweep.text import counted

__all__ = [
    "BASELINE",
    "BASELINES",
    "BASELINE_SHORT",
    "TUNED_LONG",
    "TUNED_SHORT",
    "Analysis",
    "Configuration",
    "DataFacts",
    "Diagnosis",
    "LoggedModel",
    "Publication",
    "Stage",
    "StudyRecord",
    "TrialRecord",
]

BASELINE, TUNED_SHORT, TUNED_LONG = "baseline", "tuned_short", "tuned_long"
"""The baseline; tuned at the epochs of the baseline; tuned at the largest number of epochs."""
BASELINE_SHORT = "baseline_short"
"""The baseline at its own number of epochs, if no longer training holds it."""
BASELINES = (BASELINE, BASELINE_SHORT)


@dataclass(frozen=True)
class Configuration:
    """One configuration of one arm."""

    arm: str
    name: str
    params: Mapping[str, Scalar]
    """Parameters as of a search trial; `epochs` are those of the confirmation."""
    trial: int | None = None
    """The search trial with these parameters; None for the baseline."""
    selected_at: int | None = None
    """The epoch whose validation metric selected it."""
    among: int = 0
    """Number of trials of the arm that reached that epoch, among which it was selected."""
    runs: tuple[int | None, ...] = ()
    """In an analysis: its confirmation trials, in the order of the seeds; None for a failed one."""
    of: int = 0
    """Number of trials of the arm; 0 in older studies."""
    reselected: int = 0
    """Number of further seeds of a selection round whose mean selected it."""


@dataclass(frozen=True)
class Analysis:
    """An interim or final analysis: its number of seeds and its configurations."""

    seeds: int
    """Number of seeds from the first one on, those with which an arm failed included."""
    configurations: tuple[Configuration, ...]

    @property
    def seen(self) -> tuple[object, ...]:
        """What identifies the analysis: with the same runs it is the same analysis."""
        runs = tuple((c.arm, c.name, c.runs) for c in self.configurations)
        return self.seeds, runs

    @property
    def judged(self) -> bool:
        """Whether two arms have enough seeds for a verdict."""
        runs = [(c.arm, sum(run is not None for run in c.runs)) for c in self.configurations]
        return len({arm for arm, count in runs if count >= LEAST_SEEDS}) > 1

    def to_plain(self) -> dict[str, Any]:
        """Encode as JSON values; `from_plain` decodes it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Analysis:
        """Decode what `to_plain` returned."""
        configurations = tuple(
            Configuration(**{**c, "runs": tuple(c["runs"])}) for c in content["configurations"]
        )
        return cls(content["seeds"], configurations)


@dataclass(frozen=True)
class TrialRecord:
    """A trial as its study stores it."""

    trial: Trial
    result: Result | None
    """None as long as the trial runs."""
    run_id: str = ""
    """Its complete MLflow run; empty if it is not yet logged."""
    run_store: str = ""
    """The MLflow store with this run, as `Tracker.store_id`; empty in older studies."""

    def logged_in(self, store: str) -> bool:
        """Whether the trial is completely logged to an MLflow store; in older studies to any one."""
        return bool(self.run_id) and self.run_store in ("", store)

    @property
    def stopped(self) -> bool:
        """Whether the training stopped before its last epoch, on the validation loss."""
        result = self.result
        if result is None or result.status is not Status.COMPLETE:
            return False
        return len(result.curve) < self.trial.epochs

    def within(self, epochs: int) -> Result | None:
        """The result of a training of at most so many epochs; None if the trial does not hold it.

        A curve holds every shorter training, unless the learning rates depend on the length.
        """
        result = self.result
        if result is None or result.status not in (Status.COMPLETE, Status.PRUNED):
            return None
        if self.trial.of_length:
            ended = result.status is Status.COMPLETE and self.trial.epochs <= epochs
            return result if ended else None
        if len(result.curve) < epochs and not self.stopped:
            return None
        return replace(result, status=Status.COMPLETE, curve=result.curve[:epochs])

    @property
    def planned(self) -> tuple[str, str, int, str]:
        """The planned trial that this is an attempt at; a retry has the same."""
        trial = self.trial
        return trial.phase, trial.arm, trial.slot, trial.configuration


@dataclass(frozen=True)
class DataFacts:
    """The data of a study."""

    name: str
    source: str
    """Origin: a description or a path."""
    digest: str
    """SHA-256 of the arrays, hexadecimal, as in `DataKey`."""
    train_images: int
    """Validation included."""
    test_images: int
    classes: int
    """0 in a regression."""
    labels: tuple[str, ...] = ()
    """Names of the classes; empty if they have none."""
    class_counts: tuple[int, ...] = ()
    """Training images by class; empty in older studies, as is `test_class_counts`."""
    test_class_counts: tuple[int, ...] = ()
    task: str = CLASSIFICATION
    """`classification` or `regression`."""
    outputs: int = 0
    """Number of targets of a regression."""
    sample: str = "image"
    """What one of them is called: image, row or sequence; `image` in older studies."""

    def to_plain(self) -> dict[str, Any]:
        """Encode as JSON values; `from_plain` decodes it."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> DataFacts:
        """Decode what `to_plain` returned.

        Raises:
            KeyError, TypeError, ValueError: they are incomplete.
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
            task=str(content.get("task", CLASSIFICATION)),
            outputs=int(content.get("outputs", 0)),
            sample=str(content.get("sample", "image")),
        )


@dataclass(frozen=True)
class Stage:
    """The network of an arm at one step of its training; NaN: not measured."""

    input_mean: float
    input_std: float
    """Mean and standard deviation of all inputs of the network."""
    loss: float
    """Mean cross-entropy in training mode."""
    dead_relus: float
    """Share of ReLU units that are zero for every image at every position; NaN without ReLUs."""
    gradients: tuple[tuple[str, float], ...]
    """Euclidean norm of the gradient of the loss by layer, from first to last."""
    step: int = 0
    """Steps of training before it; 0 in older studies."""
    moment: float = math.nan
    """Largest eigenvalue of the second moment, uncentred and with the bias's column, of the first layer's inputs."""
    condition: float = math.nan
    """Largest divided by smallest eigenvalue of that, without those that are zero up to rounding."""
    sharpness: float = math.nan
    """Largest eigenvalue of the loss's Hessian."""
    stable_rate: float = math.nan
    """The largest learning rate at which the trial's optimizer is stable by the curvature here."""
    update: float = math.nan
    """Norm of the next step in the first layer's kernel, divided by the norm of the kernel."""
    saturated: float = math.nan
    """Share of images for which a softmax output is at least 0.99."""

    @property
    def plain_rate(self) -> float:
        """2/λ, the largest rate at which gradient descent without momentum is stable; NaN: not known."""
        return 2 / self.sharpness if self.sharpness > 0 else math.nan

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Stage:
        """Decode what `Diagnosis.to_plain` returned; what it does not know, as of older studies, is left out."""
        gradients = tuple((str(layer), float(norm)) for layer, norm in content["gradients"])
        names = {f.name for f in fields(cls)} & content.keys() - {"gradients", "step"}
        numbers = {name: _number(content[name]) for name in names}
        return cls(gradients=gradients, step=int(content.get("step", 0)), **numbers)


@dataclass(frozen=True)
class Diagnosis:
    """The network of an arm before training, after some steps, and after epoch 1; None if that epoch diverged."""

    initialization: Stage
    after_epoch_1: Stage | None
    after_steps: tuple[Stage, ...] = ()
    """By their steps; empty in older studies."""
    optimizer: str = ""
    """Name of the optimizer that trained it; empty in older studies."""
    guess: float = math.nan
    """The training loss of guessing; NaN if it is that of equal classes, ln K."""

    @property
    def stages(self) -> dict[str, Stage]:
        """The stages by name, in the order of training."""
        later = {f"after {counted(stage.step, 'step')}": stage for stage in self.after_steps}
        if self.after_epoch_1 is not None:
            later["after epoch 1"] = self.after_epoch_1
        ordered = sorted(later.items(), key=lambda named: named[1].step)
        return {"initialization": self.initialization, **dict(ordered)}

    def to_plain(self) -> dict[str, Any]:
        """Encode as JSON values, with non-finite numbers as strings; `from_plain` decodes it."""
        return _finite(asdict(self))

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Diagnosis:
        """Decode what `to_plain` returned."""
        after = content["after_epoch_1"]
        return cls(
            Stage.from_plain(content["initialization"]),
            None if after is None else Stage.from_plain(after),
            tuple(map(Stage.from_plain, content.get("after_steps", ()))),
            str(content.get("optimizer", "")),
            _number(content.get("guess", "nan")),
        )

    def guess_of(self, classes: int) -> float:
        """The training loss of guessing, of so many classes if it is not recorded."""
        return math.log(classes) if math.isnan(self.guess) and classes else self.guess


@dataclass(frozen=True)
class LoggedModel:
    """A model in MLflow."""

    trial: int
    """The number of the trial that trained it."""
    model_id: str
    """Its id in MLflow."""
    registered: bool = False
    """Whether it has its alias in MLflow's registry."""
    store: str = ""
    """The MLflow store that has it, as `Tracker.store_id`, or "lost"; empty in older studies."""

    @property
    def lost(self) -> LoggedModel:
        """The same if MLflow no longer has it: it has to be logged again."""
        return replace(self, store="lost", registered=False)

    def logged_in(self, store: str) -> bool:
        """Whether an MLflow store has the model; in older studies any one."""
        return self.store in ("", store)

    def to_plain(self) -> dict[str, Any]:
        """Encode as JSON values; `from_plain` decodes it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> LoggedModel:
        """Decode what `to_plain` returned."""
        registered = bool(content.get("registered", False))
        store = str(content.get("store", ""))
        return cls(int(content["trial"]), str(content["model_id"]), registered, store)


@dataclass(frozen=True)
class Publication:
    """That a study had nothing left to train, to log or to report, and of what state this holds."""

    state: str
    """SHA-256 of everything that the results, the report and what is in MLflow are made of, hexadecimal."""
    page: str
    """Address of the study's page on MLflow's server; empty if there is no server."""
    confirmed: bool
    """Whether this includes the confirmation, not only the search."""

    def to_plain(self) -> dict[str, Any]:
        """Encode as JSON values; `from_plain` decodes it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Publication:
        """Decode what `to_plain` returned."""
        return cls(str(content["state"]), str(content["page"]), bool(content["confirmed"]))


@dataclass(frozen=True)
class StudyRecord:
    """A study as its storage has it."""

    name: str
    id: str
    """Unique: a study that is deleted and created again with the same name has another id."""
    sweep: Sweep
    data: DataFacts | None = None
    """None until the data was loaded once."""
    same: Mapping[str, str] = field(default_factory=dict)
    """Normalizations that are not run, each with the one that it is equivalent to on this data."""
    threads: int | None = None
    """Threads of a worker, which determine the exact bits of a curve; None in older studies."""
    precision: str = ""
    """Keras's dtype policy of all trials, also if the sweep says `auto`; empty in older studies."""
    planned: Mapping[str, int] = field(default_factory=dict)
    """Number of planned trials by phase; a phase that was not started is missing."""
    trials: tuple[TrialRecord, ...] = ()
    """In the order of their numbers."""
    analyses: tuple[Analysis, ...] = ()
    """The analyses, oldest first."""
    diagnoses: Mapping[str, Diagnosis] = field(default_factory=dict)
    """By arm."""
    models: Mapping[str, LoggedModel] = field(default_factory=dict)
    """The best logged model by arm."""

    @property
    def analysed(self) -> bool:
        """Whether an analysis has fixed the seeds and the configurations; never under earlier rules."""
        judged = any(analysis.judged for analysis in self.analyses)
        return judged and self.sweep.rules >= SEQUENTIAL

    @property
    def begun(self) -> bool:
        """Whether data and arms are fixed."""
        return self.data is not None

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that are run, in the order of the sweep."""
        return tuple(arm.key for arm in self.sweep.arms if arm.key not in self.equal)

    @property
    def run_sweep(self) -> Sweep:
        """The sweep of the arms that are run, which share all trials."""
        kept = tuple(arm for arm in self.sweep.arms if arm.key not in self.equal)
        return self.sweep.model_copy(update={"arms": kept})

    @property
    def keys(self) -> dict[str, str]:
        """The arms that are run, as they are named here, each with its key in storage and MLflow."""
        own = bundles([arm.params for arm in self.sweep.arms])
        pairs = zip(self.sweep.arms, own, strict=True)
        return {arm.key: stored.key for arm, stored in pairs if arm.key not in self.equal}

    @property
    def equal(self) -> dict[str, str]:
        """Arms that are not run, each with the one that it is equal to on this data."""
        return equal_arms(self.sweep.arms, self.same)

    def labelled(self) -> StudyRecord:
        """The study as it is shown to people: each arm has its label as key."""
        label = self.sweep.label
        return replace(
            self,
            sweep=self.sweep.labelled(),
            trials=tuple(
                replace(r, trial=replace(r.trial, arm=label(r.trial.arm))) for r in self.trials
            ),
            analyses=tuple(
                replace(
                    a, configurations=tuple(replace(c, arm=label(c.arm)) for c in a.configurations)
                )
                for a in self.analyses
            ),
            diagnoses={label(arm): each for arm, each in self.diagnoses.items()},
            models={label(arm): each for arm, each in self.models.items()},
        )

    @property
    def searched(self) -> tuple[TrialRecord, ...]:
        """The trials of the search."""
        return tuple(r for r in self.trials if r.trial.phase == SEARCH)

    @property
    def reselected(self) -> tuple[TrialRecord, ...]:
        """The trials of the selection round."""
        return tuple(r for r in self.trials if r.trial.phase == SELECT)

    @property
    def confirmed(self) -> tuple[TrialRecord, ...]:
        """The trials of the confirmation."""
        return tuple(r for r in self.trials if r.trial.phase == CONFIRM)

    @property
    def scored(self) -> bool:
        """Whether any trial of the search has a score."""
        return any(r.result is not None and r.result.status.scored for r in self.searched)


def _number(value: str | float) -> float:
    """A number as `_finite` encoded it; every NaN is the same object, so that equal stages are equal."""
    return math.nan if value == "nan" else float(value)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
