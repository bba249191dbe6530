"""Checks that a custom component works in a study, for use in its tests.

    from normsweep.testing import check_normalization

    def test_my_scheme():
        check_normalization(my_scheme)

Each check takes the registered function, and raises an AssertionError that says what is wrong and
what is expected. A check takes seconds on a CPU.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np

from normsweep.errors import DataError
from normsweep.parts import datasets, losses
from normsweep.parts.losses import BOTH, Head, Loss
from normsweep.parts.metrics import CLASSIFICATION
from normsweep.parts.registry import Part
from normsweep.text import reason
from normsweep.training.compiled_network import model_digest
from normsweep.training.own_steps import has_schedule
from normsweep.training.preflight import network_problem
from normsweep.training.preprocessing import Preprocessing, preprocessing_of
from normsweep.training.reproducibility import precision, seeded
from normsweep.training.targets import Scaling, Targets

__all__ = [
    "check_dataset",
    "check_loss",
    "check_metric",
    "check_model",
    "check_normalization",
    "check_optimizer",
]

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]

SHAPES = ((48, 6, 5, 1), (48, 6, 5, 3))
SAMPLE = (8, 8, 1)
STEPS = 4
ROWS = 48


def check_normalization(
    function: Function, *, shapes: Sequence[tuple[int, ...]] | None = None
) -> None:
    """Check that a normalization is fitted to the given images and consists of built-in Keras layers.

    Its outputs must be finite float32 values of the images' shape, for 8-bit, 16-bit and float images,
    including constant ones; must not depend on the other images of a batch; and must be the same
    when the saved layers are loaded without normsweep.

    Args:
        function: takes the training split, raw (n, height, width, channels) or (n, features), and
            returns a list of layers.
        shapes: of the training splits to try; by default grayscale and color images.

    Raises:
        AssertionError: a check failed.
    """
    for shape in shapes or SHAPES:
        for dtype in ("uint8", "uint16", "float32"):
            train = _images(shape, dtype, seed=0)
            _check_preprocessing(function, train, _images(shape, dtype, seed=1))
        for value in (0, 7):
            constant = np.full(shape, value, np.uint8)
            outputs = _outputs(_fitted(function, constant), constant)
            _require(
                bool(np.isfinite(outputs).all()),
                f"its outputs are not finite if all images are the constant {value}",
                "a scale of 0 to be replaced by 1",
            )


def check_model(
    function: Function,
    *,
    input_shapes: Sequence[tuple[int, ...]] = (SAMPLE, (8, 8, 3)),
    classes: Sequence[int] = (2, 10),
    options: Mapping[str, Any] | None = None,
    precisions: Sequence[str] = ("float32",),
) -> None:
    """Check that a model's function builds a new uncompiled network with softmax outputs at each call.

    The same seed must give the same weights, and another seed different ones; the configuration,
    which identifies a network, must be the same at each call.

    Args:
        function: `build(input_shape, classes, *, …)`.
        input_shapes: of one image (height, width, channels), or one row of a table (features,).
        classes: numbers of classes to try.
        options: keyword arguments to try it with.
        precisions: values of `model.precision` to try: Keras's dtype policies.

    Raises:
        AssertionError: a check failed.
    """
    for policy in precisions:
        for shape in input_shapes:
            for number in classes:
                with precision(policy):
                    _check_network(lambda s=shape, n=number: function(s, n, **(options or {})),
                                   shape, number)  # fmt: skip


def check_optimizer(function: Function, *, options: Mapping[str, Any] | None = None) -> None:
    """Check that an optimizer's function returns a new Keras optimizer with the given learning rate.

    It may have a `LearningRateSchedule` of its own instead.

    Two trainings from the same weights must give the same results bit for bit, and so must a third
    one that reuses the first optimizer with its variables and learning rate reset, as trials do.

    Args:
        function: `make(learning_rate, *, …)`.
        options: keyword arguments to try it with.

    Raises:
        AssertionError: a check failed.
    """
    import keras

    first, second = (function(0.05, **(options or {})) for _ in range(2))
    for made in (first, second):
        _require(
            isinstance(made, keras.optimizers.Optimizer),
            f"it returns {type(made).__name__}",
            "a keras.optimizers.Optimizer",
        )
    _require(
        first is not second, "it returns one optimizer for all calls", "a new one at each call"
    )
    if not has_schedule(first):  # one of its own, which begins anywhere
        rate = float(np.asarray(keras.ops.convert_to_numpy(first.learning_rate)))
        _require(
            bool(np.isclose(rate, 0.05)),
            f"called with a learning rate of 0.05, it has {rate:g}",
            "the given learning rate",
        )
    network = _small_network()
    weights = [np.array(variable) for variable in network.variables]
    initial, one = _trained(network, weights, first, None)
    _, two = _trained(network, weights, second, None)
    _require(
        all(np.isfinite(w).all() for w in one),
        "weights are not finite after a few steps",
        "finite weights",
    )
    _require(
        not all(np.array_equal(a, b) for a, b in zip(one, weights, strict=True)),
        "it does not change the weights",
        "an optimizer that does",
    )
    _require(_same(one, two), "two identical trainings give different weights", "the same bits")
    _, three = _trained(network, weights, first, initial)
    _require(
        _same(one, three),
        "after its variables are reset it trains differently, so it has state outside of them",
        "all state in Keras variables",
    )


def check_dataset(function: Function, *, data_dir: Path | None = None) -> None:
    """Check that a dataset's function returns four valid arrays and their source, the same at each call.

    Args:
        function: takes the folder of `--data-dir`, or None, and returns (arrays by name, source) or a
            `Dataset`.
        data_dir: that folder.

    Raises:
        AssertionError: a check failed.
    """
    digests = []
    for _ in range(2):
        try:
            digests.append(
                datasets.made(Part("checked", function, temporary=True), data_dir).digest
            )
        except DataError as error:
            raise AssertionError(str(error)) from None
    _require(
        digests[0] == digests[1], "two calls return different data", "the same data at each call"
    )


def check_metric(
    function: Function,
    *,
    direction: Literal["maximize", "minimize"] = "maximize",
    classes: int = 3,
    task: str = CLASSIFICATION,
) -> None:
    """Check that a metric's function returns a finite number that is better for better predictions.

    The value must not depend on the order of the images or rows.

    Args:
        function: takes labels (n,) int64 and probabilities (n, classes) float32; for a regression targets
            (n, outputs) and predictions of the same shape.
        direction: the registered direction.
        classes: number of classes to try it with.
        task: "classification" or "regression".

    Raises:
        AssertionError: a check failed.
    """
    _require_one_of("direction", direction, ("maximize", "minimize"))
    _require_one_of("task", task, BOTH)
    rng = np.random.default_rng(0)
    labels, given = _answers(classes, rng) if task == CLASSIFICATION else _predictions(rng)
    values = {name: _value(function, labels, p) for name, p in given.items()}
    larger = direction == "maximize"
    sign = 1 if larger else -1
    what = "probabilities" if task == CLASSIFICATION else "predictions"
    for better, worse in (("perfect", "wrong"), ("good", "wrong"), ("perfect", "poor")):
        _require(
            sign * values[better] >= sign * values[worse]
            and (better != "perfect" or worse != "wrong" or values[better] != values[worse]),
            f"{better} {what} give {values[better]:g}, {worse} ones {values[worse]:g}",
            f"{'larger' if larger else 'smaller'} values for better {what}",
        )
    order = rng.permutation(len(labels))
    _require(
        bool(np.isclose(_value(function, labels[order], given["good"][order]), values["good"])),
        "the order of the images changes its value",
        "a value that does not depend on it",
    )


def check_loss(
    function: Function,
    *,
    tasks: Sequence[str] = BOTH,
    activation: Mapping[str, str] | None = None,
    range: tuple[float, float] = (-math.inf, math.inf),
    options: Mapping[str, Any] | None = None,
) -> None:
    """Check that a loss gives each row a finite value, is smaller for better outputs, and can be trained.

    A row's value must not depend on the other rows, and the loss of a batch is the mean of its rows.

    Args:
        function: `make(*, …)`, which returns a Keras loss, or a function of targets and outputs (batch, units)
            that returns (batch,).
        tasks: as registered.
        activation: as registered.
        range: as registered.
        options: keyword arguments to try it with.

    Raises:
        AssertionError: a check failed.
    """
    tasks = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    for task in tasks:
        _require_one_of("task", task, BOTH)
    details = Loss(tasks, activation or {}, range)
    with losses.registry.temporarily("checked", function, details):
        for task in tasks:
            _check_loss(task, details, options or {})


def _answers(classes: int, rng: np.random.Generator) -> tuple[Array, dict[str, Array]]:
    """Labels, and probabilities by how good they are."""
    labels = np.arange(40 * classes) % classes
    perfect = np.eye(classes, dtype=np.float32)[labels]
    guess = np.full_like(perfect, 1 / classes) + rng.normal(0, 1e-3, perfect.shape).astype(
        np.float32
    )
    good, poor = (_probabilities(share * perfect + (1 - share) * guess) for share in (0.9, 0.1))
    wrong = np.roll(perfect, 1, axis=1)
    return labels, {"perfect": perfect, "good": good, "poor": poor, "wrong": wrong}


def _predictions(rng: np.random.Generator) -> tuple[Array, dict[str, Array]]:
    """Targets (120, 2), and predictions by how good they are."""
    targets = rng.normal(3, 1, (120, 2))
    errors = {"perfect": 0.0, "good": 0.1, "poor": 0.5, "wrong": 5.0}
    return targets, {
        name: targets + size * rng.normal(size=targets.shape) for name, size in errors.items()
    }


def _require(valid: bool, found: str, expected: str) -> None:
    if not valid:
        raise AssertionError(f"{found}; expected {expected}")


def _require_one_of(name: str, given: str, valid: Sequence[str]) -> None:
    _require(given in valid, f"{name} is {given!r}", f"one of {', '.join(valid)}")


def _images(shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    """Random images; the first is constant, the second zero, and so is one pixel of all of them."""
    rng = np.random.default_rng(seed)
    real = dtype == "float32"
    top = 0 if real else np.iinfo(dtype).max
    made = rng.normal(5, 20, shape) if real else rng.integers(0, top + 1, shape)
    made.reshape(len(made), -1)[:, 0] = 0
    made[0], made[1] = 3, 0
    return made.astype(dtype)


def _check_preprocessing(function: Function, train: Array, others: Array) -> None:
    kind = f"{train.dtype} images of shape {train.shape[1:]}"
    before = train.copy()
    preprocessing = _fitted(function, train)
    _require(np.array_equal(train, before), "it changes the given images", "them to stay unchanged")
    outputs = _outputs(preprocessing, others)
    _require(
        outputs.shape == others.shape and outputs.dtype == np.float32,
        f"{kind} become {outputs.dtype} of shape {outputs.shape[1:]}",
        f"float32 of shape {others.shape[1:]}",
    )
    _require(
        bool(np.isfinite(outputs).all()),
        f"{kind} become values that are not finite",
        "finite values",
    )
    _require(
        _close(_outputs(_fitted(function, train), others), outputs),
        f"fitted twice to the same {kind}, it gives different outputs",
        "the same outputs, without a random state of its own",
    )
    alone = np.concatenate([_outputs(preprocessing, others[i : i + 1]) for i in range(4)])
    _require(
        _close(alone, outputs[:4]),
        f"the outputs of {kind} depend on the rest of the batch",
        "statistics of the training split only, fixed when the layers are created",
    )
    _require(
        _close(_reloaded(preprocessing, others), outputs),
        f"the outputs of {kind} differ after the layers are saved and loaded",
        "layers whose whole state is saved",
    )


def _fitted(function: Function, train: Array) -> Preprocessing:
    made = function(train)
    _require(
        isinstance(made, list | tuple),
        f"it returns {type(made).__name__}",
        "a list of Keras layers",
    )
    for layer in made:
        module = type(layer).__module__
        _require(
            module.split(".")[0] == "keras",
            f"the layer {type(layer).__name__} comes from {module}",
            "built-in Keras layers, so that the saved model can be loaded anywhere",
        )
    return preprocessing_of(tuple(made), train)


def _outputs(preprocessing: Preprocessing, images: Array) -> Array:
    """The outputs in inference."""
    import keras

    return np.asarray(
        keras.ops.convert_to_numpy(_model(preprocessing, images)(images, training=False))
    )


def _model(preprocessing: Preprocessing, images: Array) -> Any:
    import keras

    inputs = keras.Input(images.shape[1:], dtype=images.dtype.name)
    return keras.Model(inputs, preprocessing.attach(inputs))


def _reloaded(preprocessing: Preprocessing, images: Array) -> Array:
    """The outputs after saving and loading, without custom code."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "preprocessing.keras"
        _model(preprocessing, images).save(path)
        try:
            loaded: Any = keras.models.load_model(path, safe_mode=True)
        except Exception as error:
            raise AssertionError(
                f"the saved layers cannot be loaded: {reason(error)}; expected layers without custom "
                "code, unlike Lambda"
            ) from None
    return np.asarray(keras.ops.convert_to_numpy(loaded(images, training=False)))


def _check_network(build: Callable[[], Any], shape: tuple[int, ...], classes: int) -> None:
    with seeded(1):
        network = build()
    if wrong := network_problem(network, shape, Head(classes, "softmax")):
        raise AssertionError(f"built for inputs of {shape} and {classes} classes: {wrong}")
    _require(not network.compiled, "the network is compiled", "an uncompiled one")
    with seeded(1):
        again = build()
    with seeded(2):
        other = build()
    _require(network is not again, "it returns one network for all calls", "a new one at each call")
    weights = [[np.array(v) for v in n.trainable_variables] for n in (network, again, other)]
    _require(
        _same(weights[0], weights[1]),
        "the same Keras seed gives different weights",
        "initializers that draw from Keras's global seed",
    )
    _require(
        not weights[0] or not _same(weights[0], weights[2]),
        "different Keras seeds give the same weights",
        "initializers without a seed of their own",
    )
    _require(
        model_digest(network) == model_digest(again) == model_digest(other),
        "its configuration differs between calls",
        "the same layers at each call",
    )


def _small_network() -> Any:
    import keras

    with seeded(0):
        return keras.Sequential(
            [keras.Input((6,)), keras.layers.Dense(5, activation="relu"),
             keras.layers.Dense(3, activation="softmax")]
        )  # fmt: skip


def _trained(
    network: Any, weights: list[Array], optimizer: Any, initial: list[Array] | None
) -> tuple[list[Array], list[Array]]:
    """Train a few steps; returns the optimizer's variables before and the weights after."""
    for variable, value in zip(network.variables, weights, strict=True):
        variable.assign(value)
    network.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    if not optimizer.built:
        optimizer.build(network.trainable_variables)
    for variable, value in zip(optimizer.variables, initial or [], strict=False):
        variable.assign(value)
    if not has_schedule(optimizer):
        optimizer.learning_rate = 0.05
    before = [np.array(variable) for variable in optimizer.variables]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(STEPS, 16, 6)).astype(np.float32), rng.integers(0, 3, (STEPS, 16))
    for images, labels in zip(x, y, strict=True):
        network.train_on_batch(images, labels)
    return before, [np.array(variable) for variable in network.variables]


def _check_loss(task: str, details: Loss, options: Mapping[str, Any]) -> None:
    """Check the loss that is registered as `checked`."""
    rng = np.random.default_rng(0)
    binary = details.activation.get(task) == losses.SIGMOID
    classes = 0 if task != CLASSIFICATION else 2 if binary else 3
    head = losses.head("checked", classes, outputs=0 if classes else 2)
    scaling = None if classes else Scaling(np.zeros(2), np.ones(2))
    targets = Targets(head, "checked", tuple(options.items()), classes, scaling=scaling)
    try:
        made = losses.registry["checked"].function(**options)
    except Exception as error:
        raise AssertionError(f"it cannot be built: {reason(error, kind=True)}") from None
    _require(callable(made), f"it returns {made!r}", "a Keras loss or a function")

    y = targets.encoded(np.arange(ROWS) % classes if classes else _numbers(details.range, rng))
    sure = rng.uniform(0.7, 0.95, (ROWS, 1)).astype(np.float32)
    best = sure * y + (1 - sure) / max(head.units, 2) if classes else y
    worst = np.roll(best, 1, axis=0)
    rows = _rows(made, y, worst)
    _require(
        rows.shape == (ROWS,), f"{ROWS} rows give {rows.shape}", f"a value for each row, ({ROWS},)"
    )
    _require(
        bool(np.isfinite(np.concatenate([rows, _rows(made, y, np.roll(y, 1, axis=0))])).all()),
        "it is not finite for outputs that are wrong, such as a probability of 0",
        "finite values",
    )
    good = _rows(made, y, best).mean()
    _require(
        bool(good < rows.mean()),
        f"better outputs give {good:g}, worse ones {rows.mean():g}",
        "a smaller loss for better outputs",
    )
    _require(
        _close(_rows(made, y[:5], worst[:5]), rows[:5]),
        "the value of a row depends on the rest of the batch",
        "a value of its own for each row",
    )
    mean = targets.value(y, worst)
    _require(
        _close(np.array(mean), np.array(rows.mean())),
        f"the loss of a batch is {mean:g}, the mean of its rows is {rows.mean():g}",
        "the mean of the rows",
    )
    _check_falls(targets, rng.normal(size=(ROWS, 6)).astype(np.float32), y)


def _numbers(range: tuple[float, float], rng: np.random.Generator) -> Array:
    """Targets (ROWS, 2) within a range."""
    low, high = range
    if math.isfinite(low) and math.isfinite(high):
        return rng.uniform(low, high, (ROWS, 2))
    made = rng.exponential(1, (ROWS, 2))
    return low + made if math.isfinite(low) else high - made if math.isfinite(high) else 3 + made


def _rows(made: Any, y: Array, outputs: Array) -> Array:
    """The loss of each row."""
    import keras

    given = (keras.ops.convert_to_tensor(each) for each in (y, outputs))
    return np.asarray(keras.ops.convert_to_numpy(getattr(made, "call", made)(*given)))


def _check_falls(targets: Targets, x: Array, y: Array) -> None:
    """Train one layer on a batch."""
    import keras

    with seeded(0):
        network: Any = keras.Sequential(
            [keras.Input(x.shape[1:]),
             keras.layers.Dense(targets.head.units, activation=targets.head.activation)]
        )  # fmt: skip
    network.compile(keras.optimizers.Adam(0.01), targets.function, jit_compile=False)
    before = targets.value(y, network(x))
    try:
        for _ in range(20):
            network.train_on_batch(x, y)
    except Exception as error:  # by Keras and its backend, for what has no gradient
        raise AssertionError(f"it cannot be trained: {reason(error, kind=True)}") from None
    after = targets.value(y, network(x))
    _require(
        after < before,
        f"from {before:g} it goes to {after:g} in 20 steps of training a layer",
        "a loss whose gradient makes it smaller",
    )


def _value(function: Function, labels: Array, probabilities: Array) -> float:
    kept = labels.copy(), probabilities.copy()
    value = function(labels, probabilities)
    _require(
        np.array_equal(kept[0], labels) and np.array_equal(kept[1], probabilities),
        "it changes the given arrays",
        "them to stay unchanged",
    )
    _require(
        isinstance(number := np.asarray(value)[()], Real) and math.isfinite(number),
        f"it returns {value!r}",
        "a finite number",
    )
    return float(value)


def _probabilities(rows: Array) -> Array:
    return (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


def _same(one: Sequence[Array], other: Sequence[Array]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _close(one: Array, other: Array) -> bool:
    scale = float(np.abs(other).max(initial=1.0))
    return bool(np.allclose(one, other, rtol=1e-4, atol=1e-5 * scale))
