"""`Sweep`: a sweep file, validated. Every field is a key of the file."""

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
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from normsweep.sweep.checks import MOST, Reading, known_dataset, known_options, registered
from normsweep.sweep.problems import Problem, refusal, shown
from normsweep.sweep.space import Scalar, Space
from normsweep.sweep.space_parsing import parse_space

__all__ = [
    "QUESTIONS",
    "Baseline",
    "Confirm",
    "Data",
    "Execution",
    "Model",
    "Search",
    "Section",
    "Sweep",
    "inner_section",
    "is_name",
    "seconds",
]

DURATION = "seconds as a number above 0, or a text such as 45s, 90m, 1h30m or 2d"
UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
WRITTEN = re.compile("".join(rf"(?:{NUMBER}{unit})?" for unit in UNITS))


def seconds(value: Any) -> Any:
    """The seconds of a text; what is no text is left as it is.

    Raises:
        PydanticCustomError: the text is no length of time.
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
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, pattern=f"^{NAME}$")]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(seconds)]


Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
Question = Literal[
    "more_epochs",
    "equal_epochs",
    "tuned_rate",
    "tuned_rate_longest",
    "both_tuned_short",
    "both_tuned",
]
QUESTIONS: tuple[str, ...] = get_args(Question)
"""What a confirmation answers, in the report's order."""


Texts = Annotated[tuple[str, ...], Field(strict=False)]
"""A list of TOML's or Python's."""


class Section(BaseModel):
    """A table of the sweep file."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        use_attribute_docstrings=True,
        defer_build=True,  # what reads no file needs no validator
    )

    @field_validator("*")
    @classmethod
    def _note(cls, value: Any, info: ValidationInfo) -> Any:
        """What is legal is kept, where a file is read: the rules between keys are told of, too."""
        reading: Reading | None = info.context
        if reading:
            reading.legal.setdefault(cls.__name__, {})[str(info.field_name)] = value
        return value


class Data(Section):
    """`[data]`: which images."""

    dataset: Annotated[
        Annotated[str, Field(min_length=1)] | Annotated[Texts, Field(min_length=1)], known_dataset
    ]
    """A registered name or the path of an `.npz`; of a list, the first that can be had."""
    validation_split: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the training images held out for validation, the same share of each class."""
    train_size: Annotated[int, Field(ge=10)] | None = None
    """Number of training images, validation included: a subset with each class's share kept."""

    @property
    def candidates(self) -> tuple[str, ...]:
        """The datasets to try, in order."""
        return (self.dataset,) if isinstance(self.dataset, str) else self.dataset


class Model(Section):
    """`[model]`: which network."""

    name: Annotated[str, registered("models")] = "lenet"
    """A registered model."""
    precision: Precision = "float32"
    """Keras's dtype policy of the network; normalization, weights and loss are float32 in all."""
    batch_size: Count = 128
    """Images in a batch, unless the space searches it."""
    options: Annotated[Mapping[str, Scalar | Mapping[str, float]], known_options] = Field(
        default_factory=dict
    )
    """Keyword arguments of the model's function."""


class Search(Section):
    """`[search]`: how the space is searched."""

    trials: Annotated[int, Field(ge=1, le=MOST)]
    """Trials in total over the study's life, all arms together."""
    sampler: Literal["tpe", "random", "grid", "qmc"] = "tpe"
    """How an arm's next parameters are chosen, from that arm's trials alone."""
    pruner: Literal["none", "median", "halving"] = "none"
    """Whether a trial may be stopped early, compared with its own arm alone."""
    longest_every: Count | None = None
    """With N, every Nth trial of an arm trains for the longest number of epochs."""
    timeout: Seconds | None = None
    """Seconds after which no new trial is started; also as `90m`, `1h30m`."""
    space: Space
    """The parameters: lists, ranges, fixed values."""

    @field_validator("space", mode="plain")
    @classmethod
    def _parsed(cls, raw: Any, info: ValidationInfo) -> Space:
        if isinstance(raw, Space):
            return raw
        if not isinstance(raw, Mapping):
            raise refusal(f"received {shown(raw)}; legal: a table [search.space]")
        problems: list[Problem] = []
        space = cls._note(parse_space(raw, problems), info)  # as far as it is legal
        if problems:
            raise refusal(*problems)
        return space


class Baseline(Section):
    """`[confirm.baseline]`: the configuration that a user would try first."""

    optimizer: Annotated[str, registered("optimizers")] = "adam"
    """A registered optimizer."""
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.001
    """Its learning rate."""
    epochs: Count = 4
    """Passes over the training split."""
    normalization: Annotated[str, registered("normalizations")] | None = None
    """A registered normalization, where another parameter is compared; the space's first without."""


class Confirm(Section):
    """`[confirm]`: what is declared before the search, so that the search cannot bend it."""

    seeds: Annotated[int, Field(ge=2, le=10_000)] = 10
    """Fresh seeds on which each arm's configurations are trained again."""
    epochs: Count | None = None
    """Epochs of each confirmation run; the space's longest where it is not given."""
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.002
    """Difference in the metric (absolute, in its unit) that is small enough not to matter."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence level of the intervals."""
    primary: Question = "both_tuned"
    """The question whose verdict is the study's; the others are reported as secondary."""
    baseline: Baseline = Field(default_factory=Baseline)
    """The configuration that every arm's tuned ones are held against."""


class Execution(Section):
    """`[execution]`: the machine's side; of these only the threads can change a curve."""

    threads: Count | None = None
    """Threads of a worker: all cores for one worker, 1 for more; fixed for the study's life."""
    trial_timeout: Seconds | None = None
    """Seconds after which a trial is stopped and recorded as timed out; also as `90m`, `1h30m`."""
    trial_memory: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """GiB of memory beyond which a worker is stopped and its trial recorded as crashed."""
    num_cpus: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """CPUs of a node that a trial takes on a Ray cluster: one a thread where it is not given."""
    num_gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """GPUs, or a part of one, that it takes there: one where the cluster has any."""
    checkpoints: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0
    """GiB on disk, for the search and for the confirmation, for states that trials can go on from."""
    checkpoint_every: Seconds = 30.0
    """Seconds after which a trial's state is kept at the end of an epoch, to go on from."""
    retries: Annotated[int, Field(ge=0)] = 1
    """How often a trial that crashed or timed out is tried again, with the same seed."""


class Sweep(Section):
    """One question, and how it is to be answered."""

    name: Name
    """Name of the Optuna study and the MLflow experiment."""
    question: Annotated[str, Field(max_length=1000)] = ""
    """The question in words, for the tables and the tracking store."""
    compare: str = "normalization"
    """The parameter whose values are the arms."""
    reference: Scalar
    """The arm that the others are held against."""
    metric: Annotated[str, registered("metrics")] = "accuracy"
    """A registered metric: what is searched by, and what margin and verdict are in."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Fixes the split, the initial weights, the order of batches and the sampler."""
    plugins: str | Texts = ()
    """Modules that register parts of their own, in the sweep's folder or installed."""
    data: Data
    model: Model = Field(default_factory=Model)
    search: Search
    confirm: Confirm = Field(default_factory=Confirm)
    execution: Execution = Field(default_factory=Execution)

    @property
    def arms(self) -> tuple[Scalar, ...]:
        """The values compared, in the file's order."""
        return self.search.space.choices(self.compare)

    @property
    def trials_per_arm(self) -> int:
        """Trials of each arm: the total, shared out and rounded up; at most the points of a grid."""
        share = math.ceil(self.search.trials / len(self.arms))
        if self.search.sampler != "grid":
            return share
        space = self.search.space
        return min(share, *(len(space.points({self.compare: arm})) for arm in self.arms))

    @property
    def total_trials(self) -> int:
        """Trials in all, after rounding up."""
        return self.trials_per_arm * len(self.arms)

    @property
    def confirm_epochs(self) -> int:
        """Epochs of a run of the confirmation."""
        return self.confirm.epochs or self.longest

    @property
    def baseline_epochs(self) -> int:
        """The epoch at which the baseline is read."""
        return min(self.confirm.baseline.epochs, self.confirm_epochs)

    @property
    def confirm_seeds(self) -> tuple[int, ...]:
        """The confirmation's seeds: fresh ones, the first of them the same however many there are."""
        return tuple(self.seed + 1 + i for i in range(self.confirm.seeds))

    @property
    def longest(self) -> int:
        """The longest number of epochs in the space."""
        return int(self.search.space["epochs"].largest)


def is_name(text: str) -> bool:
    """Whether a study may be called so: folders and a lock file have its name."""
    return len(text) <= LONGEST_NAME and re.fullmatch(NAME, text) is not None


def inner_section(field: FieldInfo) -> type[Section] | None:
    """The section that a key is, where it is a table of keys."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None
