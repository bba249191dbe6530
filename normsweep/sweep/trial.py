"""What the driver sends to a worker (`Trial`) and gets back (`Epoch`, `Result`)."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from itertools import accumulate
from typing import Any, Literal

from normsweep.sweep.inspection import Inspection
from normsweep.sweep.parameters import (
    CALLBACK,
    CLASS_WEIGHT,
    CONSTANT,
    CROSSENTROPY,
    DRAWN,
    EQUAL,
    LOSS,
    NO_CALLBACK,
    PARAMETERS,
    RAW,
    SCHEDULE,
    TARGET,
)
from normsweep.sweep.space import Scalar

__all__ = [
    "CONFIRM",
    "RARE",
    "SEARCH",
    "SELECT",
    "DataKey",
    "Epoch",
    "Guessing",
    "PhaseName",
    "Result",
    "Status",
    "Tested",
    "Trial",
    "Usage",
    "kind_of",
    "lower_loss",
    "phase_of",
    "repeat_of",
    "stops",
]

SEARCH, SELECT, CONFIRM = "search", "select", "confirm"
"""The phases of a study: the search, the selection round on further seeds, the confirmation."""
PhaseName = Literal["search", "confirm", "all"]


def phase_of(kind: str, repeat: int) -> str:
    """The name of a phase: of the search, `search`; of its second repeat, `search-2`."""
    return kind if repeat == 1 else f"{kind}-{repeat}"


def kind_of(phase: str) -> str:
    """What a phase does, which its repeats do too."""
    return phase.partition("-")[0]


def repeat_of(phase: str) -> int:
    """Which repeat of the whole tuning a phase belongs to; 1 is the study's own."""
    return int(phase.partition("-")[2] or 1)


class Status(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    DIVERGED = "diverged"
    """The loss became NaN or infinite; scored at chance level."""
    PRUNED = "pruned"
    CRASHED = "crashed"
    TIMED_OUT = "timed out"
    INTERRUPTED = "interrupted"
    """Stopped by the user; run again when the study is resumed."""

    @property
    def scored(self) -> bool:
        """Whether the trial has a score."""
        return self in (Status.COMPLETE, Status.DIVERGED)

    @property
    def failed(self) -> bool:
        """Whether the trial failed: it crashed or timed out."""
        return self in (Status.CRASHED, Status.TIMED_OUT)


@dataclass(frozen=True)
class DataKey:
    """The identity of the data and of its split."""

    name: str
    digest: str
    """SHA-256 over the arrays, their dtypes and shapes, hexadecimal."""
    validation_split: float


@dataclass(frozen=True)
class Trial:
    """A training with all its parameters: the same `Trial` on the same machine has the same curve."""

    number: int
    """The trial's number in its study."""
    arm: str
    """The value of the compared parameter."""
    slot: int
    """Index among the trials of its arm, from 0: a slot of the search, a seed of the confirmation."""
    seed: int
    data: DataKey
    model: str
    model_options: Mapping[str, Any]
    normalization: str
    optimizer: str
    optimizer_options: Mapping[str, Scalar]
    learning_rate: float
    batch_size: int
    epochs: int
    params: Mapping[str, Scalar] = field(default_factory=dict)
    """The sampled parameters, as in Optuna and MLflow."""
    phase: str = SEARCH
    """A name by `phase_of`."""
    configuration: str = ""
    """In the confirmation: the name of the configuration, or of several that are equal."""
    precision: str = "float32"
    """Keras's dtype policy of the network."""
    metric: str = "accuracy"
    """The registered metric that scores each epoch."""
    input_weights: float = 1.0
    """Factor on the initial kernel of the first layer with weights."""
    input_rate: float | str = 1.0
    """Factor on the learning rate of that kernel, or "matched": the step of the reference arm's inputs."""
    input_scale: float = 1.0
    """Factor on the normalized inputs."""
    input_shift: float = 0.0
    """Constant added to the inputs after that."""
    initial: str = DRAWN
    """Which weights are drawn anew: `drawn` all, `frozen` those of layers that are trained, `built` none."""
    output_weights: float = 1.0
    """Factor on the initial kernel of the last layer with weights."""
    clip: float | None = None
    """Largest norm of the gradient of all weights; a longer one is scaled down to it."""
    steps_per_epoch: int | None = None
    """Optimizer steps of an epoch; None: a pass over the training images."""
    patience: int | None = None
    """Epochs without a lower validation loss after which it stops, with the weights of the best; None: never."""
    schedule: str = CONSTANT
    """The registered schedule of the learning rate."""
    schedule_options: Mapping[str, Scalar] = field(default_factory=dict)
    callback: str = NO_CALLBACK
    """The registered callback."""
    callback_options: Mapping[str, Scalar] = field(default_factory=dict)
    of_length: bool = False
    """Whether its steps depend on the number of epochs, so that its curve holds no shorter training."""
    loss: str = CROSSENTROPY
    """The registered loss."""
    loss_options: Mapping[str, Scalar] = field(default_factory=dict)
    target: str = RAW
    """How the targets of a regression are scaled for the training, fitted to the training split."""
    class_weight: str = EQUAL
    """Weights of the classes in the loss: "none", "balanced" or "table"."""
    class_weights: Mapping[str, float] = field(default_factory=dict)
    """The table: by name of the class."""
    reference_normalization: str = ""
    """With a matched rate: the reference arm's normalization."""
    reference_scale: float = 1.0
    """With a matched rate: the reference arm's `input_scale`."""
    readings: tuple[int, ...] = ()
    """In the confirmation of a regression: the epochs whose test rows are kept; empty: all."""

    @property
    def confirms(self) -> bool:
        """Whether it is evaluated on the test images, after each epoch: only in a confirmation."""
        return kind_of(self.phase) == CONFIRM

    def keeps_rows(self, epoch: int) -> bool:
        """Whether the influence of each test row is kept after an epoch."""
        return not self.readings or epoch in self.readings

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all fields that determine the curve, and of the data's digest."""
        return _digest(self._deciding())

    @property
    def lineage(self) -> str:
        """The same without the number of epochs: the longer of two such trials starts as the shorter.

        If its steps depend on the number of epochs, that is part of it: no other length starts the same.
        """
        content = self._deciding()
        if not self.of_length:
            del content["epochs"]
        return _digest(content)

    @property
    def structure(self) -> str:
        """What trials that only differ in numbers have in common: such trials may be trained as one program."""
        content = {k: v for k, v in self._deciding().items() if k not in NUMBERS}
        options = self.optimizer_options.items()
        kinds = {k: v if isinstance(v, bool | str) else "number" for k, v in options}
        return _digest({**content, "optimizer_options": kinds})

    @property
    def by_itself(self) -> bool:
        """Whether it cannot be trained as one program with others, whatever its network is."""
        return self.callback != NO_CALLBACK or self.steps_per_epoch is not None

    def _deciding(self) -> dict[str, Any]:
        content = _without_defaults({name: getattr(self, name) for name in DECIDING})
        return {**content, "data": {k: v for k, v in vars(self.data).items() if k != "name"}}

    @property
    def changed(self) -> dict[str, Any]:
        """The parameters that most trials do not have, as far as they change the training."""
        content = {name: getattr(self, name) for name in RARE}
        kinds = ("schedule_options", "callback_options", "loss_options")
        options = {key: value for kind in kinds for key, value in content.pop(kind).items()}
        weights = {f"class_weight.{k}": v for k, v in content.pop("class_weights").items()}
        del content["of_length"]  # the schedule says it
        return {**_without_defaults(content), **options, **weights}

    def to_json(self) -> str:
        """Encode as JSON, without later fields at their defaults; `from_json` decodes it."""
        return json.dumps(_without_defaults(asdict(self)), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Trial:
        """Decode what `to_json` returned."""
        content = json.loads(text)
        readings = tuple(content.pop("readings", ()))
        return cls(**{**content, "data": DataKey(**content["data"]), "readings": readings})


NOT_DECIDING = ("number", "arm", "slot", "params", "phase", "configuration", "readings")
DECIDING = tuple(f.name for f in fields(Trial) if f.name not in NOT_DECIDING)
"""Fields of a trial that determine its curve."""
NUMBERS = (
    "seed", "normalization", "learning_rate", "epochs",
    "input_weights", "output_weights", "input_rate", "input_scale", "input_shift",
    "reference_normalization", "reference_scale",
)  # fmt: skip
"""Fields that are numbers to a program, or that become some."""
RARE: Mapping[str, Any] = {
    **{name: parameter.default for name, parameter in PARAMETERS.items()},
    "steps_per_epoch": None,
    SCHEDULE: CONSTANT,
    "schedule_options": {},
    CALLBACK: NO_CALLBACK,
    "callback_options": {},
    "of_length": False,
    LOSS: CROSSENTROPY,
    "loss_options": {},
    TARGET: RAW,
    CLASS_WEIGHT: EQUAL,
    "class_weights": {},
    "reference_normalization": "",
    "reference_scale": 1.0,
}
"""Fields of parameters that most trials do not have, with the values that change nothing."""
LATER = {"metric": "accuracy", "readings": (), **RARE}
"""Fields that earlier versions did not have: left out at these values."""


def _without_defaults(content: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in content.items() if k not in LATER or v != LATER[k]}


@dataclass(frozen=True)
class Tested:
    """A model on the test images, or rows: which ones it classified correctly, and its score by the metric."""

    __test__ = False  # not a test class for pytest

    images: int
    bits: bytes
    """One bit per image in the dataset's order, packed as by `numpy.packbits`; 1: correct. Empty in a
    regression."""
    score: float | None = None
    """The trial's metric on the test images; None if the metric is the accuracy."""
    influence: bytes = b""
    """One byte per image, its influence on the score, as by `normsweep.parts.influence.quantized`; empty
    if it is unknown, or not kept after this epoch."""
    largest: float = 0.0
    """The largest absolute influence, stored with all its digits."""

    @property
    def accuracy(self) -> float:
        """Share of correctly classified images; NaN in a regression."""
        return math.nan if not self.bits else int.from_bytes(self.bits).bit_count() / self.images

    @property
    def value(self) -> float:
        """The score by the trial's metric."""
        return self.accuracy if self.score is None else self.score


@dataclass(frozen=True)
class Usage:
    """What a worker used during an epoch."""

    cpu: float
    """Processor time in percent of one core: two busy cores are 200."""
    memory: float
    """Resident memory at the end of the epoch, in MiB."""


@dataclass(frozen=True)
class Epoch:
    """The outcome of one epoch of a trial; epochs are counted from 1."""

    trial: int
    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float
    """Wall time of training and validation."""
    tested: Tested | None = None
    """In the confirmation only; nothing is selected by it."""
    score: float | None = None
    """The trial's metric on the validation images; None if the metric is the accuracy."""
    usage: Usage | None = None
    """What its worker used, if the sweep measures it."""

    @property
    def value(self) -> float:
        """The trial's metric on the validation images: the objective of the search."""
        return self.val_accuracy if self.score is None else self.score

    @property
    def finite(self) -> bool:
        """Whether both losses are finite numbers."""
        return math.isfinite(self.train_loss) and math.isfinite(self.val_loss)


def lower_loss(best: Epoch, epoch: Epoch) -> Epoch:
    """Which of two epochs early stopping prefers, by the validation loss as it is stored; if equal, the first."""
    return epoch if float(_plain(epoch.val_loss)) < float(_plain(best.val_loss)) else best


def stops(curve: Sequence[Epoch], patience: int | None) -> bool:
    """Whether a training stops after this curve, as Keras's `EarlyStopping` would."""
    if patience is None or not curve:
        return False
    *_, best = accumulate(curve, lower_loss)
    return curve[-1].epoch - best.epoch >= patience


@dataclass(frozen=True)
class Guessing:
    """What a trial's network would reach without looking at its inputs, by the best constant."""

    loss: float
    """Mean training loss of that constant, as the trial is trained."""
    least: float = 0.0
    """The training loss of outputs that equal the targets."""
    score: float = math.nan
    """In a regression: the trial's metric on the validation rows."""
    reach: float = 0.0
    """How much better a score has to be, to be above guessing by its one-sided 99 % bound."""
    test_score: float = math.nan
    """The same on the test rows, if the trial is evaluated on them."""

    def scores_no_better(self, score: float, sign: int) -> bool:
        """Whether a score on the validation rows is not above guessing; `sign` is the metric's."""
        return not sign * score - self.reach > sign * self.score


@dataclass(frozen=True)
class Result:
    """The result of a trial: its status, its curve, where it ran."""

    trial: int
    status: Status
    curve: tuple[Epoch, ...] = ()
    chance: float = math.nan
    """Chance level by the trial's metric; NaN if the trial did not start."""
    seconds: float = 0.0
    """Wall time of the trial, set-up included."""
    started: float = 0.0
    """Unix time at which it started."""
    machine: Mapping[str, str] = field(default_factory=dict)
    """Device, threads, backend and versions; the digest of the model's configuration."""
    error: str = ""
    """Why it failed; empty if it did not."""
    test_digest: str = ""
    """SHA-256 of the test images and labels, if the trial was evaluated on them."""
    origin: int | None = None
    """The earlier trial whose epochs were reused as the start of the curve; None if there is none."""
    origin_study: str = ""
    """The study of that trial; empty: the same study."""
    reused: int = 0
    """Number of reused epochs; their `seconds` were measured in that trial."""
    loop: str = ""
    """How its batches were run, which changes no result: "epoch" (one program an epoch), "step" (one
    program a step), "batch" (Keras's `train_on_batch`) or "stack" (with others); empty if unknown."""
    restores: bool = False
    """Whether the trial may stop early: its weights are those after the epoch of lowest validation loss."""
    guessing: Guessing | None = None
    """The level of guessing; None if the numbers of images by class say it, as of the default loss."""
    inspection: Inspection | None = None
    """What its network looked like, if it ended no better than guessing on the validation images."""

    @property
    def score(self) -> float:
        """Validation metric of the weights that it returns; chance if diverged; NaN if there is no score."""
        if self.status is Status.DIVERGED:
            return self.chance
        if self.status is Status.COMPLETE and self.curve:
            return self.last.value
        return math.nan

    @property
    def worker_seconds(self) -> float:
        """Time of a worker that it took: in a stack, its share of the epochs."""
        if "stack" not in self.machine:
            return self.seconds
        return sum(epoch.seconds for epoch in self.curve[self.reused :])

    @property
    def last(self) -> Epoch:
        """The epoch whose weights the training returns: the last one, or the one that it restores."""
        return self.course(len(self.curve))[-1]

    def course(self, epochs: int) -> tuple[Epoch, ...]:
        """The epochs whose weights trainings of 1, 2, … epochs return; there must be a curve.

        A training that ended by itself stays as it is. With early stopping it is the best epoch so far.
        """
        curve = tuple(accumulate(self.curve, lower_loss)) if self.restores else self.curve
        return curve[:epochs] + curve[-1:] * (epochs - len(curve))

    @property
    def as_read(self) -> Result:
        """The result as it is read back, its numbers with nine digits: what is equal stays equal."""
        return Result.from_json(self.to_json())

    def to_json(self) -> str:
        """Encode as JSON (about 2 KB for 20 epochs), with non-finite numbers as strings."""
        content = asdict(replace(self, curve=(), inspection=None, guessing=None))
        del content["inspection"], content["guessing"]
        if self.guessing is not None:
            content["guessing"] = {k: _plain(v) for k, v in asdict(self.guessing).items()}
        if self.inspection is not None:
            content["inspection"] = self.inspection.to_plain()
        if not self.restores:
            del content["restores"]
        content["curve"] = [
            [e.epoch, *map(_plain, (e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy)),
             round(e.seconds, 4), *([] if e.score is None else [_plain(e.score)])]
            for e in self.curve
        ]  # fmt: skip
        content["tested"] = _packed([e.tested for e in self.curve if e.tested is not None])
        if any(e.usage is not None for e in self.curve):
            content["usage"] = [e.usage and [e.usage.cpu, e.usage.memory] for e in self.curve]
        content["chance"] = _plain(self.chance)
        return json.dumps(content, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Decode what `to_json` returned."""
        content = json.loads(text)
        trial = content["trial"]
        tested = _unpacked(content.pop("tested", None), len(content["curve"]))
        usage = dict(enumerate(content.pop("usage", ())))
        curve = tuple(
            Epoch(
                trial,
                row[0],
                *map(float, row[1:6]),
                tested=tested.get(i),
                score=float(row[6]) if len(row) > 6 else None,
                usage=Usage(*usage[i]) if usage.get(i) else None,
            )
            for i, row in enumerate(content["curve"])
        )
        status = Status(content["status"])
        chance = float(content["chance"])
        seen = content.pop("inspection", None)
        inspection = None if seen is None else Inspection.from_plain(seen)
        level = content.pop("guessing", None)
        guessing = None if level is None else Guessing(**{k: float(v) for k, v in level.items()})
        read = {
            "status": status,
            "curve": curve,
            "chance": chance,
            "guessing": guessing,
            "inspection": inspection,
        }
        return cls(**{**content, **read})


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _plain(value: float) -> float | str:
    # Nine digits preserve a float32 exactly; JSON has neither NaN nor infinity.
    return float(f"{value:.9g}") if math.isfinite(value) else str(value)


def _packed(tested: list[Tested]) -> dict[str, Any] | None:
    """The bits of all epochs together, compressed: most images are correct in every epoch."""
    if not tested:
        return None
    content: dict[str, Any] = {"images": tested[0].images}
    if tested[0].bits:
        content["bits"] = _deflated(t.bits for t in tested)
    if tested[0].score is not None:
        content["scores"] = [_plain(t.value) for t in tested]
        content["largest"] = [t.largest for t in tested]
        content["influence"] = _deflated(t.influence for t in tested)
        if any(t.influence for t in tested) and not all(t.influence for t in tested):
            content["kept"] = [i for i, t in enumerate(tested) if t.influence]
    return content


def _unpacked(content: Mapping[str, Any] | None, epochs: int) -> dict[int, Tested]:
    """Decode what `_packed` returned, by epoch from 0; at most `epochs` entries."""
    if content is None:
        return {}
    images = int(content["images"])
    bits = _inflated(content["bits"], (images + 7) // 8, epochs) if "bits" in content else []
    if "scores" not in content:
        return {i: Tested(images, each) for i, each in enumerate(bits)}
    scores, largest = (
        [float(value) for value in content[key][:epochs]] for key in ("scores", "largest")
    )
    bits = bits or [b""] * len(scores)
    weights = _weights(content, images, len(bits))
    rows = zip(bits, scores, weights, largest, strict=True)
    return {i: Tested(images, *row) for i, row in enumerate(rows)}


def _weights(content: Mapping[str, Any], images: int, epochs: int) -> list[bytes]:
    """The influences of each epoch; empty if they are unknown or not kept."""
    known = _inflated(content["influence"], images, epochs)
    kept = content.get("kept", range(len(known)))
    by_epoch = dict(zip(kept, known, strict=True))
    return [by_epoch.get(i, b"") for i in range(epochs)]


def _deflated(parts: Iterable[bytes]) -> str:
    return base64.b64encode(zlib.compress(b"".join(parts), 9)).decode()


def _inflated(text: str, size: int, most: int) -> list[bytes]:
    """At most `most` parts of `size` bytes."""
    stream = zlib.decompressobj()
    joined = stream.decompress(base64.b64decode(text), max_length=max(most * size, 1))
    return [joined[i * size : (i + 1) * size] for i in range(len(joined) // size)]
