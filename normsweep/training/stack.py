"""`Stack`: networks that are trained together, as one JAX program over their stacked variables.

Trials of one architecture and optimizer differ only in numbers: learning rate, seed, scale of the inputs. Their
variables are stacked along a first axis, and one step trains all of them. The images are on the device once, as
stored; each network takes its own batches of them and scales them by its own scheme.

A network's results depend on the width of its stack, but not on its place or its neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from jax import lax

from normsweep.parts.dataset import Dataset
from normsweep.parts.metrics import ACCURACY, metric
from normsweep.sweep.trial import Epoch, Trial, Usage
from normsweep.training.compiled_epoch import Rows, create_metrics, until_infinite
from normsweep.training.compiled_network import CompiledModel, compile_key
from normsweep.training.engine import NoRoom
from normsweep.training.epochs import BATCH, Passes, penalty
from normsweep.training.patches import convolutions_as_products
from normsweep.training.preprocessing import Inputs, SplitRows, batch_order, split_rows
from normsweep.training.snapshot import ModelState
from normsweep.training.targets import fitted_to_split, loss_key, targets_of
from normsweep.training.usage import Meter

__all__ = ["Material", "Place", "Shape", "Stack", "Stacks"]

Array = np.ndarray[Any, Any]
Values = list[Any]

FULL = "RESOURCE_EXHAUSTED"
KEPT = 8
"""Kinds of stacks that are kept when they are empty: their programs are compiled."""
NARROWEST = 2
USABLE = 0.85
"""Fraction of the device's memory that a stack may take."""


@dataclass(frozen=True)
class Material:
    """What networks are trained on, on the device."""

    x: Any
    """Images of training and validation (n, …), as stored or normalized."""
    y: Any
    """Their labels (n,), or targets (n, units); not on the device if each network has its own."""
    x_test: Any
    key: Hashable
    """What it was made of."""


@dataclass(frozen=True)
class Shape:
    """What the passes of a stack's networks have in common."""

    batch: int
    train: int
    """Number of training images."""
    val: int
    outputs: bool
    """Whether the validation needs the networks' outputs, or else their measures."""
    scaled: bool
    """Whether images are as stored and scaled by the scheme of each network, or else as the networks take them."""
    own_targets: bool
    """Whether the targets of each network are scaled by its own split."""


class Stack:
    """Places for so many networks, which are trained an epoch at a time."""

    def __init__(
        self,
        compiled: CompiledModel,
        material: Material,
        shape: Shape,
        width: int,
        meter: Meter | None = None,
    ) -> None:
        """For networks like the compiled one; they join one by one."""
        model = compiled.model
        self._model, self.shape, self.width = model, shape, width
        self._measures, self._meter = compiled.targets.measures, meter
        self.material = material
        labels = Rows(compiled.targets.shape, compiled.targets.dtype)
        create_metrics(model, compiled.images, labels)  # a compiled step cannot
        model.reset_metrics()
        self._metrics = [variable.value for variable in model.metrics_variables]
        self._parts = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
        )
        own = {id(v): (part, i) for part in (0, 1) for i, v in enumerate(self._parts[part])}
        self._order = [own[id(variable)] for variable in model.variables]
        """Where the model's variables are among these parts."""
        self.places: list[Place | None] = [None] * width
        self.too_wide = False
        """Whether the device had not enough memory for it."""
        self._state: tuple[Values, ...] | None = None
        inputs = compiled.images.shape if shape.scaled else ()
        self._center, self._scale = (np.zeros((width, *inputs), np.float32) for _ in range(2))
        self._y = _repeated(material.y, width) if shape.own_targets else material.y
        self._train = _Pass(self._mapped(self._train_step), shape.batch)
        step = self._predict_step if shape.outputs else self._test_step
        self._validate = _Pass(self._mapped(step), min(BATCH, shape.val), shape.outputs)
        self._test = _Pass(self._mapped(self._predict_step), BATCH, rows=True)

    @property
    def free(self) -> int | None:
        """The first free place; None if there is none."""
        free = (i for i, place in enumerate(self.places) if place is None)
        return None if self.too_wide else next(free, None)

    @property
    def empty(self) -> bool:
        """Whether no network is in it."""
        return not any(self.places)

    @property
    def held(self) -> int:
        """Memory that its state takes on the device between epochs, in bytes."""
        return sum(value.nbytes for part in self._state or () for value in part)

    @property
    def bytes(self) -> int:
        """Memory that an epoch takes on the device, as its compiled programs say."""
        validation = self._compiled(self._validate, self.shape.val)
        used = (each.memory_analysis() for each in (self.program, validation))
        return max(each.argument_size_in_bytes + each.temp_size_in_bytes for each in used)

    @property
    def program(self) -> Any:
        """The compiled program of the training with whole batches."""
        return self._compiled(self._train, self.shape.train)

    def _compiled(self, over: _Pass, images: int) -> Any:
        """The compiled program of a pass with whole batches."""
        state = tuple(
            [jax.ShapeDtypeStruct((self.width, *v.shape), v.value.dtype) for v in part]
            for part in self._parts
        )
        size = min(over.size, images)
        shape = images // size, self.width, size
        return over.program(state, self._constants(), jax.ShapeDtypeStruct(shape, np.int32))

    def join(
        self,
        trial: Trial,
        rows: SplitRows,
        state: ModelState,
        scheme: tuple[Array, Array],
        y: Array,
        epoch: int,
    ) -> Place:
        """Take a free place, in a state after so many epochs.

        Args:
            trial: what to train.
            rows: which images are for training and validation.
            state: the variables of the network and its optimizer.
            scheme: what is subtracted from each input, and what it is multiplied by then.
            y: its labels or targets.
            epoch: the number of epochs that it is trained.
        """
        index = self.free
        assert index is not None
        parts: tuple[list[Array], ...] = ([], [], list(state.optimizer))
        for (part, _), value in sorted(
            zip(self._order, state.model, strict=True), key=lambda e: e[0]
        ):
            parts[part].append(value)
        try:
            self._state = self._with(index, parts)
            if self.shape.own_targets:
                self._y = self._y.at[index].set(y)
        except Exception as error:
            raise self._cause(error) from None
        self._center[index], self._scale[index] = scheme
        place = Place(self, index, trial, rows, epoch)
        self.places[index] = place
        return place

    def _with(self, index: int, parts: tuple[Values, ...]) -> tuple[Values, ...]:
        """The state with that of a network at a place."""
        if self._state is None:
            return tuple([_repeated(v, self.width) for v in part] for part in parts)
        return tuple(
            [stacked.at[index].set(value) for stacked, value in zip(old, new, strict=True)]
            for old, new in zip(self._state, parts, strict=True)
        )

    def leave(self, index: int) -> None:
        """Free a place; an empty stack needs no memory."""
        self.places[index] = None
        if self.empty:
            self._state = None

    def advance(self) -> None:
        """Train all networks for an epoch and validate them; what fails is raised in each network's pass."""
        live = [place for place in self.places if place is not None]
        if not live:
            return
        with self._failing():
            self._advance(live)
        if self._meter is not None:
            usage = self._meter.take()
            for place in live:
                place.usage = usage

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What is raised here is raised again in the next pass of every network."""
        try:
            yield
        except Exception as error:
            self._state = None  # its buffers were given away
            cause = self._cause(error)
            for place in filter(None, self.places):
                place.failed(cause)

    def _cause(self, error: Exception) -> Exception:
        """`NoRoom` if the device had not enough memory and the stack can be narrower, else the error."""
        out = isinstance(error, jax.errors.JaxRuntimeError) and FULL in str(error)
        if not out or self.width <= NARROWEST:
            return error
        self.too_wide = True
        return NoRoom(f"out of memory in a stack of {self.width}")

    def _advance(self, live: Sequence[Place]) -> None:
        began = time.perf_counter()
        constants = self._constants()
        self._state, train = self._train(self._state, constants, self._each(lambda p: p.order))
        self._state, val = self._validate(self._state, constants, self._each(lambda p: p.rows.val))
        seconds = time.perf_counter() - began
        for place in live:
            place.trained(train[:, place.index], val[:, place.index], seconds / len(live))

    def test(self) -> None:
        """The outputs of all networks for the test images."""
        order = np.arange(len(self.material.x_test), dtype=np.int32)
        every = np.broadcast_to(order, (self.width, len(order)))
        center, scale, _, y, metrics = self._constants()
        constants = center, scale, self.material.x_test, y, metrics
        with self._failing():
            self._state, outputs = self._test(self._state, constants, every)
            for place in filter(None, self.places):
                place.tested = outputs[:, place.index]

    def state(self, index: int) -> ModelState:
        """The variables of a place."""
        assert self._state is not None
        network = jax.device_get([[v[index] for v in part] for part in self._state])
        return ModelState(tuple(network[part][i] for part, i in self._order), tuple(network[2]))

    def penalty(self, index: int) -> float:
        """What the regularizers of a network's weights add to its loss."""
        assert self._state is not None
        weights = self._state[0]
        return penalty(self._model, lambda i, _: weights[i][index])

    def _constants(self) -> tuple[Any, ...]:
        return self._center, self._scale, self.material.x, self._y, self._metrics

    def _each(self, rows: Callable[[Place], Array]) -> Array:
        """Indices of images by place (width, m) int32; places without a network take those of another."""
        taken = {i: rows(place) for i, place in enumerate(self.places) if place is not None}
        any_rows = next(iter(taken.values()))
        return np.stack([taken.get(i, any_rows) for i in range(self.width)]).astype(np.int32)

    def _mapped(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """A step of one network as one of all: of their variables, schemes and batches."""

        def one(state: Any, constants: Any, batch: Any) -> Any:
            center, scale, x, y, metrics = constants
            images = x[batch]
            if self.shape.scaled:
                images = (images.astype(jnp.float32) - center) * scale
            return step(state, metrics, images, y, batch)

        of_targets = 0 if self.shape.own_targets else None
        return jax.vmap(one, in_axes=(0, (0, 0, None, of_targets, None), 0))

    def _train_step(self, state: Any, metrics: Values, x: Any, y: Any, batch: Any) -> Any:
        logs, (*state, _) = self._model.train_step((*state, metrics), (x, y[batch], None))
        return tuple(state), self._row(logs)

    def _test_step(self, state: Any, metrics: Values, x: Any, y: Any, batch: Any) -> Any:
        weights, rest, optimizer = state
        data = (x, y[batch], None)
        logs, (_, rest, _) = self._model.test_step((weights, rest, metrics), data)
        return (weights, rest, optimizer), self._row(logs)

    def _predict_step(self, state: Any, metrics: Values, x: Any, y: Any, batch: Any) -> Any:
        weights, rest, optimizer = state
        outputs, rest = self._model.predict_step((weights, rest), (x,))
        return (weights, rest, optimizer), outputs

    def _row(self, logs: Any) -> Any:
        return jnp.stack([jnp.asarray(logs[name], jnp.float32) for name in self._measures])


class _Pass:
    """A step on each batch of some images, in one program, and a smaller last batch in another."""

    def __init__(self, step: Callable[..., Any], size: int, rows: bool = False) -> None:
        """`step`: of state, constants and the indices of a batch (width, size).

        `rows`: whether it returns something of each image, (width, size, units), or else of each batch.
        """
        self.size, self._rows = size, rows
        self._programs: dict[tuple[int, ...], Any] = {}

        def over(state: Any, constants: Any, batches: Any) -> Any:
            return lax.scan(lambda state, batch: step(state, constants, batch), state, batches)

        self._over = jax.jit(over, donate_argnums=0)

    def __call__(self, state: Any, constants: Any, order: Array) -> tuple[Any, Array]:
        """The state after it, and the results: (batches, width, measures) float64 or (images, width, units).

        `order`: indices of images by network, (width, m) int32.
        """
        whole = order.shape[1] // self.size * self.size
        results: list[Array] = []
        for part in (order[:, :whole], order[:, whole:]):
            if part.size:
                size = min(self.size, part.shape[1])
                batches = part.reshape(len(part), -1, size).swapaxes(0, 1)
                state, result = self.program(state, constants, batches)(state, constants, batches)
                results.append(jax.device_get(result))
        if not self._rows:
            return state, np.concatenate(results).astype(np.float64)
        by_image = (r.swapaxes(1, 2).reshape(-1, r.shape[1], r.shape[3]) for r in results)
        return state, np.concatenate(list(by_image))

    def program(self, state: Any, constants: Any, batches: Any) -> Any:
        """The compiled program for so many batches of this size."""
        if batches.shape not in self._programs:
            with convolutions_as_products():
                lowered = self._over.lower(state, constants, batches)
            self._programs[batches.shape] = lowered.compile()
        return self._programs[batches.shape]


class Place(Passes):
    """The place of a network in a stack: its passes are those of all."""

    def __init__(self, stack: Stack, index: int, trial: Trial, rows: SplitRows, epoch: int) -> None:
        self._stack, self.index, self.rows = stack, index, rows
        self._trial, self._epoch = trial, epoch
        self._error: Exception | None = None
        self._values: tuple[Array, Array] | None = None
        """Measures of the latest epoch, until they are taken, and what the validation returned."""
        self._validation = np.empty(0)
        self._seconds = 0.0
        self.tested: Array | None = None
        self.usage: Usage | None = None

    @property
    def waits(self) -> bool:
        """Whether the stack has to train it before it can go on."""
        return self._values is None and self._error is None and self._epoch < self._trial.epochs

    @property
    def width(self) -> int:
        """The width of its stack."""
        return self._stack.width

    @property
    def order(self) -> Array:
        """The images of the next epoch in their order."""
        epoch = self._epoch + 1
        return self.rows.train[batch_order(len(self.rows.train), self._trial.seed, epoch)]

    def trained(self, train: Array, validation: Array, seconds: float) -> None:
        """What the stack found in an epoch."""
        if self._values is not None:
            raise RuntimeError("an epoch of this network was not taken before the next one")
        self._epoch += 1
        self._values, self._validation, self._seconds = (train, validation), validation, seconds
        self.tested = None

    def failed(self, error: Exception) -> None:
        """The stack could not be trained."""
        self._error = error

    def state(self) -> ModelState:
        """Its variables."""
        return self._stack.state(self.index)

    def epochs(self, epochs: Iterator[Epoch]) -> Iterator[Epoch | None]:
        """The epochs as they are trained from these passes; None where the others are waited for."""
        while True:
            while self.waits:
                yield None
            if (epoch := next(epochs, None)) is None:
                return
            yield epoch if self.usage is None else replace(epoch, usage=self.usage)

    def leave(self) -> None:
        """Free the place; an empty stack needs no memory."""
        self._stack.leave(self.index)

    def train(self, epoch: int) -> tuple[Array, Array]:
        """What its training found in an epoch."""
        if self._error is not None:
            raise self._error
        if self._values is None or epoch != self._epoch:
            raise RuntimeError("the stack has not trained this epoch")
        values, self._values = until_infinite(self._values[0]), None
        return values, _sizes(len(self.rows.train), self._stack.shape.batch)[: len(values)]

    def validate(self) -> tuple[Array, Array]:
        """Measures and sizes of the validation batches."""
        images = len(self.rows.val)
        return self._validation, _sizes(images, min(BATCH, images))

    def outputs(self) -> Array:
        """Outputs for the validation images."""
        return self._validation

    def penalty(self) -> float:
        """What the regularizers of its weights add to its loss."""
        return self._stack.penalty(self.index)

    def test_outputs(self) -> Array:
        """Outputs for the test images."""
        if self.tested is None:
            self._stack.test()
        if self.tested is None:
            assert self._error is not None
            raise self._error
        return self.tested

    @property
    def seconds(self) -> float:
        """Its share of the stack's epoch."""
        return self._seconds


class Stacks:
    """The stacks of a worker: trials that can share a program are in one."""

    def __init__(self, width: int, meter: Meter | None = None) -> None:
        """`width`: networks of a stack, fewer if the device has not enough memory."""
        self._width, self._meter = width, meter
        self._stacks: dict[Hashable, list[Stack]] = {}
        self._most: dict[Hashable, int] = {}
        """The width for which there is room."""
        self._arrays: dict[Hashable, Any] = {}
        """What is on the device."""

    def width(self, trial: Trial, compiled: CompiledModel, inputs: Inputs, data: Dataset) -> int:
        """The width of a trial's stack."""
        material = self._material(trial, inputs, data)
        return self._of(trial, compiled, inputs, _rows(trial, data), material).width

    def join(
        self, trial: Trial, compiled: CompiledModel, inputs: Inputs, data: Dataset, epoch: int
    ) -> Place:
        """A place for a trial, in the state of the compiled model after so many epochs."""
        rows, material = _rows(trial, data), self._material(trial, inputs, data)
        stack = self._of(trial, compiled, inputs, rows, material)
        scheme = inputs.scheme or (np.zeros(()), np.ones(()))
        return stack.join(trial, rows, ModelState.of(compiled.model), scheme, material.y, epoch)

    def advance(self) -> None:
        """Train all networks for an epoch."""
        for stacks in self._stacks.values():
            for stack in stacks:
                stack.advance()

    def _of(
        self,
        trial: Trial,
        compiled: CompiledModel,
        inputs: Inputs,
        rows: SplitRows,
        material: Material,
    ) -> Stack:
        """A stack with a free place for a trial."""
        sizes = min(trial.batch_size, len(rows.train)), len(rows.train), len(rows.val)
        scaled, outputs = inputs.scheme is not None, metric(trial.metric) is not ACCURACY
        shape = Shape(*sizes, outputs, scaled, fitted_to_split(trial))
        key = compile_key(trial, inputs), material.key, shape
        stacks = self._stacks.get(key, [])
        for stack in stacks:
            if stack.free is not None:
                return stack
        self._forget_unused(material)
        most = self._most.get(key)
        if most is not None:
            most = min([most, *(stack.width // 2 for stack in stacks if stack.too_wide)])
        made = self._made(compiled, material, shape, most)
        self._most[key] = made.width
        # Those that are in one that is too wide were there before, and go on.
        self._stacks[key] = [*(s for s in stacks if not (s.too_wide and s.empty)), made]
        return made

    def _material(self, trial: Trial, inputs: Inputs, data: Dataset) -> Material:
        """What a trial is trained on, moved to the device once."""
        preprocessing = inputs.preprocessing
        stored = inputs.scheme is not None or not preprocessing.fixed
        of_inputs = trial.data.digest, "" if stored else preprocessing.digest
        of_labels = trial.data.digest, *loss_key(trial), trial.target

        def y() -> Array:
            return targets_of(trial, inputs).encoded(data.y_train)

        def kept(key: Hashable, array: Callable[[], Array]) -> Any:
            if key not in self._arrays:
                self._arrays[key] = jax.device_put(array())
            return self._arrays[key]

        def images(x: Array) -> Array:
            return x if stored else preprocessing.apply(x)

        return Material(
            kept(("x", *of_inputs), lambda: images(data.x_train)),
            y() if fitted_to_split(trial) else kept(("y", *of_labels), y),
            kept(("x_test", *of_inputs), lambda: images(data.x_test)),
            (*of_inputs, *of_labels),
        )

    def _forget_unused(self, material: Material) -> None:
        """Give up empty stacks, and the arrays of none, if there are many; `material` is that of the next one."""
        if len(self._stacks) < KEPT:
            return
        used = {k: s for k, s in self._stacks.items() if not all(each.empty for each in s)}
        self._stacks = used
        made_of = [material, *(each.material for stacks in used.values() for each in stacks)]
        needed = {id(array) for each in made_of for array in vars(each).values()}
        self._arrays = {key: each for key, each in self._arrays.items() if id(each) in needed}

    def _made(
        self, compiled: CompiledModel, material: Material, shape: Shape, most: int | None
    ) -> Stack:
        """A stack as wide as there is room for: the first one of its kind is measured."""
        width = most or self._width
        stack = Stack(compiled, material, shape, width, self._meter)
        limit = USABLE * _memory() - sum(s.held for kind in self._stacks.values() for s in kind)
        while most is None and width > NARROWEST and stack.bytes > limit:
            width //= 2
            stack = Stack(compiled, material, shape, width, self._meter)
        return stack


def _rows(trial: Trial, data: Dataset) -> SplitRows:
    return split_rows(data, trial.data.validation_split, trial.seed)


def _memory() -> float:
    """Memory of the device in bytes."""
    known = jax.devices()[0].memory_stats() or {}
    return float(known.get("bytes_limit", psutil.virtual_memory().total))


def _repeated(value: Array, width: int) -> Any:
    return jnp.repeat(jnp.asarray(value)[None], width, axis=0)


def _sizes(images: int, batch: int) -> Array:
    """Number of images in each batch."""
    return np.minimum(batch, images - np.arange(0, images, batch))
