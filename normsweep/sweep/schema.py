"""`Sweep`: a validated sweep file. Each field is a key of the file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from normsweep.sweep.arms import Arm, arms_by, relabelled, space_of_all
from normsweep.sweep.checks import (
    MOST,
    SEQUENTIAL,
    TABLES,
    Reading,
    known_dataset,
    known_options,
    registered,
)
from normsweep.sweep.parameters import AUTOENCODER, CLASSIFICATION, REGRESSION
from normsweep.sweep.problems import Problem, expected, must_be, refusal
from normsweep.sweep.rungs import LEAST_EPOCHS, Rung, rungs
from normsweep.sweep.space import Choice, Scalar, Space
from normsweep.sweep.space_parsing import parse_space

__all__ = [
    "AUTO",
    "LEAST_SEEDS",
    "QUESTIONS",
    "SEQUENTIAL",
    "Baseline",
    "Confirm",
    "Data",
    "Execution",
    "Model",
    "Precision",
    "Search",
    "Section",
    "Seeds",
    "Select",
    "Sweep",
    "in_precision",
    "inner_section",
    "is_name",
    "seconds",
    "with_undeclared",
]

DURATION = "a number of seconds, or a duration such as 45s, 90m, 1h30m or 2d"
UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
WRITTEN = re.compile("".join(rf"(?:{NUMBER}{unit})?" for unit in UNITS))


def seconds(value: Any) -> Any:
    """The seconds of a duration such as `1h30m`; other types are returned unchanged.

    Raises:
        PydanticCustomError: the string is no duration.
    """
    if not isinstance(value, str):
        return value
    found = WRITTEN.fullmatch(value.strip().replace(" ", ""))
    parts = found.groups() if found else ()
    if not any(parts):
        raise PydanticCustomError("duration", DURATION)  # type: ignore[arg-type]
    return sum(float(part or 0) * unit for part, unit in zip(parts, UNITS.values(), strict=True))


NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
LONGEST_NAME = 100
MOST_SEEDS = 10_000
"""Seeds of a confirmation."""
BETWEEN_REPEATS = 2 * MOST_SEEDS
"""Distance of the seeds of two repeats of the whole tuning, so that none is used twice."""
MOST_ANALYSED = 100
"""Seeds of a confirmation with an analysis after each."""
SEEDS_OF_EARLIER_RULES = 10
LEAST_SEEDS = 5
"""Smallest number of seed pairs for a verdict."""
RESELECTED = 8
"""Trials of an arm from which on the best ones are selected again on further seeds."""
FEW = 16
"""Trials of an arm from which on TPE is better than a ladder."""
WIDEST = 256
"""Trials that are trained together at most."""
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, pattern=f"^{NAME}$")]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(seconds)]


Precision = Literal["float32", "mixed_bfloat16", "mixed_float16", "auto"]
AUTO = "auto"
"""The precision that is decided when the study is created."""
Question = Literal[
    "more_epochs",
    "equal_epochs",
    "tuned_rate",
    "tuned_rate_longest",
    "both_tuned_short",
    "both_tuned",
]
QUESTIONS: tuple[str, ...] = get_args(Question)
"""The questions that a confirmation answers, in the order of the report."""


Texts = Annotated[tuple[str, ...], Field(strict=False)]
"""A TOML list of strings, or a Python sequence."""


def stack_width(value: Any) -> Any:
    """A width of stacks, unchanged.

    Raises:
        PydanticCustomError: it is neither a power of two nor "auto".
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if value == AUTO or (whole and 1 <= value <= WIDEST and value.bit_count() == 1):
        return value
    text = f'a power of two from 1 to {WIDEST}, or "auto"'
    raise PydanticCustomError("stack", text)  # type: ignore[arg-type]


class Section(BaseModel):
    """A table of the sweep file."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        use_attribute_docstrings=True,
        defer_build=True,  # validators are built only if a file is read
    )

    @field_validator("*")
    @classmethod
    def _store_valid(cls, value: Any, info: ValidationInfo) -> Any:
        """Store each valid value, so that the rules between keys are checked despite other errors."""
        reading: Reading | None = info.context
        if reading:
            reading.valid.setdefault(cls.__name__, {})[str(info.field_name)] = value
        return value


class Data(Section):
    """`[data]`: the dataset."""

    dataset: Annotated[
        Annotated[str, Field(min_length=1)] | Annotated[Texts, Field(min_length=1)], known_dataset
    ]
    """A registered name or the path of an `.npz`, `.csv` or `.parquet` file; of a list, the first that is
    available."""
    validation_split: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the training images held out for validation, stratified by class."""
    train_size: Annotated[int, Field(ge=10)] | None = None
    """Number of training images, validation included: a subset stratified by class."""
    task: Literal["classification", "regression", "autoencoder"] | None = None
    """What is predicted: classes, numbers, or the inputs themselves; by default classes or numbers, found from
    the labels where they say it."""
    class_weights: Mapping[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        default_factory=dict
    )
    """Weights of classes in the loss by name, such as `{ fraud = 20 }`; 1 for the others."""
    target_column: Annotated[str, Field(min_length=1)] | None = None
    """The column to predict, of a table in a CSV or Parquet file."""
    test_split: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the rows of such a file for testing, stratified by class."""
    kind: Literal["image", "table", "sequence", "signal", "tokens"] | None = None
    """What the inputs are, if their shape does not say it: `sequence` (n, time, features), `signal` (n, time),
    `tokens`, integers (n, time) that are not scaled; by default images or a table."""
    full_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The largest value that the inputs could have, for `unit` and `symmetric`: 4095 for 12 bits; by default that
    of uint8 or uint16, or the largest in the training split."""

    @model_validator(mode="after")
    def _with_target(self) -> Data:
        if self.target_column is None and any(name.endswith(TABLES) for name in self.candidates):
            rule = "required key is missing: the column of the table to predict"
            raise refusal(Problem("data.target_column", rule))
        return self

    @property
    def candidates(self) -> tuple[str, ...]:
        """The datasets to try, in order."""
        return (self.dataset,) if isinstance(self.dataset, str) else self.dataset


class Model(Section):
    """`[model]`: the network."""

    name: Annotated[str, registered("models")] = "lenet"
    """A registered model."""
    precision: Precision = "float32"
    """Keras's dtype policy of the network, or `auto`; preprocessing, weights and loss are always float32."""
    batch_size: Count = 128
    """Images in a batch, unless the search space has a `batch_size`."""
    steps_per_epoch: Count | None = None
    """Optimizer steps after which an epoch ends, as of Keras's `fit`; by default it is a pass over the
    training images."""
    options: Annotated[Mapping[str, Scalar | Mapping[str, float]], known_options] = Field(
        default_factory=dict
    )
    """Keyword arguments of the function that builds the model."""


class Search(Section):
    """`[search]`: the search."""

    trials: Annotated[int, Field(ge=1, le=MOST)]
    """Total number of trials of the study, all arms together."""
    sampler: Literal["auto", "tpe", "random", "grid", "qmc", "gp"] = "auto"
    """Sampler of the parameters; it sees the trials of the same arm only. `auto`: a ladder of learning
    rates that all arms share, or `tpe` from 16 trials of an arm on. `gp` needs PyTorch."""
    pruner: Literal["none", "median", "halving", "asha"] = "none"
    """Pruner; it compares a trial with the same arm only. `halving` of a ladder: twice as many trials
    pause after a quarter and half of the epochs, and the better half goes on; of other samplers as `asha`."""
    longest_every: Count | None = None
    """If set to N and epochs are sampled, every Nth trial of an arm trains for the largest number."""
    timeout: Seconds | None = None
    """Seconds after which no new trial is started; also `90m`, `1h30m`."""
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of times that the whole tuning is done: with an interval over them beside the outcome,
    which is that of the first one."""
    space: Space
    """The parameters: lists, ranges or fixed values."""

    @field_validator("space", mode="plain")
    @classmethod
    def _parsed(cls, raw: Any, info: ValidationInfo) -> Space:
        if isinstance(raw, Space):
            return raw
        if not isinstance(raw, Mapping):
            raise refusal(expected("a table [search.space]", raw))
        problems: list[Problem] = []
        space = cls._store_valid(parse_space(raw, problems), info)  # the valid parameters
        if problems:
            raise refusal(*problems)
        return space


class Select(Section):
    """`[select]`: the selection round, which trains each arm's best trials on further seeds."""

    top: Count = 3
    """Number of the best trials for each number of epochs that a question asks for; the baseline joins."""
    seeds: Annotated[int, Field(ge=0, le=100)] | None = None
    """Number of further seeds, 0 for no selection round; default: 2 from 8 trials of an arm on."""


class Baseline(Section):
    """`[confirm.baseline]`: the default configuration, which a user would try first."""

    optimizer: Annotated[str, registered("optimizers")] = "adam"
    """A registered optimizer."""
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.001
    """Its learning rate."""
    epochs: Count = 4
    """Number of epochs."""
    normalization: Annotated[str, registered("normalizations")] | None = None
    """A registered normalization, if another parameter is compared; default: the first in the space."""


class Seeds(Section):
    """`[confirm.seeds]`: the fresh seeds; beyond `first`, only as many as the primary question needs."""

    first: Annotated[int, Field(ge=LEAST_SEEDS, le=MOST_ANALYSED)] = 5
    """Number of seeds for every configuration, and of the first analysis."""
    most: Annotated[int, Field(ge=LEAST_SEEDS, le=MOST_ANALYSED)] = 20
    """Largest number of seeds for the configurations of the primary question, one by one."""

    @classmethod
    def plain(cls, number: int) -> Seeds:
        """A fixed number of seeds with one analysis at their end."""
        return cls.model_construct(first=number, most=number)

    @property
    def fixed(self) -> bool:
        """Whether the number is fixed, with one analysis."""
        return self.first == self.most

    @model_validator(mode="after")
    def _ordered(self) -> Seeds:
        if self.first > self.most:
            rule = must_be(f"at least {self.first}, the first seeds", self.most)
            raise refusal(Problem("confirm.seeds.most", rule))
        return self


def _seeds(raw: Any) -> Any:
    """A plain number of seeds as `Seeds`; tables are returned unchanged."""
    if isinstance(raw, Mapping | Seeds):
        return raw
    if type(raw) is not int:
        raise refusal(expected("an integer or a table { first = 5, most = 20 }", raw))
    if not 2 <= raw <= MOST_SEEDS:
        raise refusal(must_be(f"at {'least 2' if raw < 2 else f'most {MOST_SEEDS}'}", raw))
    return Seeds.plain(raw)


SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")
MARGIN = 'a number, or a share of the reference such as "2 %"'


def _margin(raw: Any) -> float | str:
    """A margin in the metric's unit, or a share in percent as it is stored: `2 %`."""
    share = SHARE.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if share is None and (isinstance(raw, bool) or not isinstance(raw, int | float)):
        raise refusal(expected(MARGIN, raw))
    value = float(share[1]) if share else float(raw)
    if not value > 0:
        raise refusal(must_be("above 0", raw))
    if not math.isfinite(value):
        raise refusal(must_be("a finite number", raw))
    if share and value >= 100:
        raise refusal(must_be("below 100 %", raw))
    return f"{value:g} %" if share else value


class Confirm(Section):
    """`[confirm]`: the confirmation, fixed before the search starts."""

    seeds: Annotated[Seeds, BeforeValidator(_seeds)] = Field(default_factory=Seeds)
    """Number of new seeds with which each arm's configurations are trained again: fixed, or `first` and
    `most`, between which seeds are added until the primary question is decided."""
    epochs: Count | None = None
    """Epochs of each confirmation run; default: the largest number of epochs in the space."""
    margin: Annotated[float | str, BeforeValidator(_margin)] = 0.002
    """Equivalence margin: the largest difference that does not matter, in the metric's unit, or as a share
    of the reference's value such as `"2 %"`."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence level of the intervals."""
    primary: Question = "both_tuned"
    """The primary question, whose verdict is the verdict of the study; the others are secondary."""
    baseline: Baseline = Field(default_factory=Baseline)
    """The configuration that the tuned ones of each arm are compared with."""

    @property
    def share(self) -> float:
        """The margin as a share of the reference's value; 0 if it is in the metric's unit."""
        return float(self.margin.removesuffix("%")) / 100 if isinstance(self.margin, str) else 0.0

    def margin_at(self, reference: float) -> float:
        """The margin in the metric's unit, for a value of the reference."""
        return self.share * abs(reference) if isinstance(self.margin, str) else self.margin


class Execution(Section):
    """`[execution]`: resources and limits; of these only the threads can change a curve."""

    threads: Count | None = None
    """Threads of a worker: by default all cores for one worker, 1 for several; fixed for a study."""
    trial_timeout: Seconds | None = None
    """Seconds after which a trial is stopped as timed out; also `90m`, `1h30m`."""
    trial_memory: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Memory limit of a worker in GiB; beyond it the worker is stopped and its trial has crashed."""
    num_cpus: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """CPUs of a trial on a Ray cluster; default: one per thread."""
    num_gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """GPUs of a trial on a Ray cluster, or a fraction; default: 1 if the cluster has any."""
    checkpoints: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0
    """Disk space in GiB for checkpoints, for the search and for the confirmation each."""
    checkpoint_every: Seconds = 30.0
    """Seconds between checkpoints of a trial, which are written at the end of an epoch."""
    retries: Annotated[int, Field(ge=0)] = 1
    """Number of times that a crashed or timed out trial is tried again, with the same seed."""
    stack: Annotated[int | Literal["auto"], BeforeValidator(stack_width)] = 1
    """Trials that a worker trains together as one program, a power of two: only with Keras on JAX."""
    system_metrics: bool = False
    """Whether MLflow gets the processor time and memory of a trial's worker in each epoch."""


def with_undeclared(confirm: Confirm, values: Mapping[str, Scalar]) -> Confirm:
    """The section with these values in its baseline, where they count as not declared."""
    baseline = confirm.baseline.model_copy(update=dict(values))
    baseline.model_fields_set.difference_update(values)
    changed = confirm.model_copy(update={"baseline": baseline})
    if "baseline" not in confirm.model_fields_set:
        changed.model_fields_set.discard("baseline")
    return changed


class Sweep(Section):
    """A sweep: the question and how to answer it."""

    name: Name
    """Name of the Optuna study and the MLflow experiment."""
    question: Annotated[str, Field(max_length=1000)] = ""
    """The question in words, for tables and MLflow."""
    compare: str = "normalization"
    """The parameter whose values are the arms, if there is no `[arms]`."""
    arms: tuple[Arm, ...] = ()
    """What is compared: a table of label and fixed parameters, e.g. `"÷255" = { normalization = "unit" }`.
    Instead of `compare`."""
    reference: Scalar
    """The arm that the others are compared with: its label, or the value of the compared parameter."""
    metric: Annotated[str, registered("metrics")] = "accuracy"
    """A registered metric: the objective of the search, and the unit of margin and verdict."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the split, the initial weights, the order of batches and the sampler."""
    rules: Annotated[int, Field(ge=1, le=3)] = 3
    """Version of the rules of search and verdict; a study keeps the one it was created with."""
    plugins: str | Texts = ()
    """Modules that register custom components, installed or in the folder of the sweep."""
    data: Data
    model: Model = Field(default_factory=Model)
    search: Search
    select: Select = Field(default_factory=Select)
    confirm: Confirm = Field(default_factory=Confirm)
    execution: Execution = Field(default_factory=Execution)

    def model_post_init(self, context: Any) -> None:
        """The arms of the short form, if the space is valid."""
        space = getattr(getattr(self, "search", None), "space", None)
        if space is not None and not self.arms:
            object.__setattr__(self, "arms", arms_by(self.compare, space))

    @model_validator(mode="after")
    def _earlier_seeds(self) -> Sweep:
        """Under earlier rules the number of seeds was fixed, by default 10."""
        if self.rules < SEQUENTIAL and "seeds" not in self.confirm.model_fields_set:
            confirm = self.confirm.model_copy(update={"seeds": Seeds.plain(SEEDS_OF_EARLIER_RULES)})
            confirm.model_fields_set.discard("seeds")  # they are not declared
            object.__setattr__(self, "confirm", confirm)
        return self

    @model_validator(mode="after")
    def _baseline_of_space(self) -> Sweep:
        """What the space fixes and the baseline does not declare is in the baseline, too."""
        if fixed := self.undeclared():
            object.__setattr__(self, "confirm", with_undeclared(self.confirm, fixed))
        return self

    def undeclared(self) -> dict[str, Scalar]:
        """The optimizer and the learning rate that the space fixes and the baseline does not declare."""
        declared, space = self.confirm.baseline.model_fields_set, self.search.space
        found = (space[name] for name in ("optimizer", "learning_rate") if name in space)
        return {
            dimension.name: dimension.values[0]
            for dimension in found
            if isinstance(dimension, Choice) and dimension.count == 1 and not dimension.when
            if dimension.name not in declared
        }

    def arm(self, key: str) -> Arm:
        """The arm with this key."""
        return next(arm for arm in self.arms if arm.key == key)

    def label(self, key: str) -> str:
        """The label of the arm with this key; of any other text, the text itself."""
        return next((arm.label for arm in self.arms if arm.key == key), key)

    def labelled(self) -> Sweep:
        """The sweep as it is shown, with labels as the arms' keys."""
        arms, reference = relabelled(self.arms), self.label(str(self.reference))
        return self.model_copy(update={"arms": arms, "reference": reference})

    @property
    def task(self) -> str:
        """The task; of a sweep whose data was not loaded, the declared one or classification."""
        regression = self.data.task in (REGRESSION, AUTOENCODER)
        return REGRESSION if regression else CLASSIFICATION

    @property
    def space(self) -> Space:
        """The search space of all arms together, with what they fix."""
        return space_of_all(self.search.space, self.arms)

    def fixed(self, arm: Arm) -> dict[str, Scalar]:
        """The parameters that all trials of an arm have in common, but for the baseline's."""
        return {**arm.params, **({} if self.samples_epochs else {"epochs": self.longest})}

    @property
    def trials_per_arm(self) -> int:
        """Full trials of each arm: an equal share of the total, rounded up; at most the points of a grid."""
        share = math.ceil(self.search.trials / len(self.arms))
        if self.search.sampler != "grid":
            return share
        return min(share, *(len(self.points(arm)) for arm in self.arms))

    @property
    def sampler(self) -> Literal["ladder", "tpe", "random", "grid", "qmc", "gp"]:
        """The sampler, with `auto` resolved; `asha` trains twice as many trials in the same time."""
        if self.search.sampler != "auto":
            return self.search.sampler
        few = 2 * FEW if self.search.pruner == "asha" else FEW
        return "ladder" if self.rules > 1 and self.trials_per_arm < few else "tpe"

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The epochs at which an arm's trials pause, and how many go on; empty if none pauses."""
        pausing = self.search.pruner == "halving" and self.sampler == "ladder"
        if not pausing or self.samples_epochs or self.longest < LEAST_EPOCHS:
            return ()
        return rungs(self.trials_per_arm, self.longest)

    @property
    def points_per_arm(self) -> int:
        """Trials that each arm starts: twice as many with rungs, in the time of `trials_per_arm` full ones."""
        return 2 * self.trials_per_arm if self.rungs else self.trials_per_arm

    @property
    def samples_epochs(self) -> bool:
        """Whether trials sample their epochs; otherwise each trains for the largest number."""
        return self.rules == 1 or self.search.space["epochs"].sample

    def baseline(self, arm: Arm, epochs: int) -> dict[str, Scalar]:
        """The declared baseline of an arm, with what the space fixes, but nothing that it searches."""
        declared, space = self.confirm.baseline, arm.space(self.search.space)
        params: dict[str, Scalar] = {
            "normalization": declared.normalization or space.choices("normalization")[0],
            "optimizer": declared.optimizer,
            "learning_rate": declared.learning_rate,
            "epochs": epochs,
        }
        params.update(arm.params)
        for dimension in space.active(params):
            if isinstance(dimension, Choice) and len(dimension.values) == 1:
                params.setdefault(dimension.name, dimension.values[0])
        if self.rules > 1 and "batch_size" in space:
            params.setdefault("batch_size", self.model.batch_size)
        return params

    def points(self, arm: Arm) -> list[dict[str, Scalar]]:
        """The points of an arm in a grid; the first one is the baseline."""
        points = arm.space(self.search.space).points(self.fixed(arm))
        if self.rules == 1:
            return points
        first = self.baseline(arm, self.longest)
        return [first, *(point for point in points if point != first)]

    @property
    def total_trials(self) -> int:
        """Total number of trials, after rounding up; with rungs, of the full ones that take as long."""
        return self.trials_per_arm * len(self.arms)

    @property
    def confirm_epochs(self) -> int:
        """Epochs of a confirmation run."""
        return self.confirm.epochs or self.longest

    @property
    def baseline_epochs(self) -> int:
        """The epoch at which the baseline is evaluated."""
        return min(self.confirm.baseline.epochs, self.confirm_epochs)

    @property
    def confirm_seeds(self) -> tuple[int, ...]:
        """The seeds of the confirmation; more seeds keep the first ones."""
        return tuple(self.seed + 1 + i for i in range(self.confirm.seeds.most))

    @property
    def selection_seeds(self) -> tuple[int, ...]:
        """The seeds of the selection round, none of them the search's or the confirmation's."""
        seeds = self.select.seeds
        if seeds is None:
            seeds = 2 if self.rules > 1 and self.points_per_arm >= RESELECTED else 0
        return tuple(self.seed + 1 + MOST_SEEDS + i for i in range(seeds))

    def repeated(self, repeat: int) -> Sweep:
        """The sweep of a repeat of the whole tuning, from 1: with seeds of its own, and the first ones only."""
        if repeat == 1:
            return self
        seeds = Seeds.plain(self.confirm.seeds.first)
        update = {
            "seed": self.seed + (repeat - 1) * BETWEEN_REPEATS,
            "confirm": self.confirm.model_copy(update={"seeds": seeds}),
        }
        return self.model_copy(update=update)

    @property
    def longest(self) -> int:
        """The largest number of epochs in the space."""
        return int(self.search.space["epochs"].largest)


def in_precision(sweep: Sweep, precision: str) -> Sweep:
    """The sweep with another `model.precision`."""
    model = sweep.model.model_copy(update={"precision": precision})
    return sweep.model_copy(update={"model": model})


def is_name(text: str) -> bool:
    """Whether a study can have this name, which folders and a lock file get too."""
    return len(text) <= LONGEST_NAME and re.fullmatch(NAME, text) is not None


def inner_section(field: FieldInfo) -> type[Section] | None:
    """The class of a key that is a section itself; None for other keys."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None
