"""What a part must do to work in a study: for the tests of whoever writes one.

    from normsweep.testing import check_normalization

    def test_my_scheme():
        check_normalization(my_scheme)

Each check takes the function that is registered, and raises an AssertionError that says what is
wrong and what is needed. They need nothing but this machine's CPU, and seconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from normsweep.errors import DataError
from normsweep.parts import datasets
from normsweep.parts.registry import Part
from normsweep.text import reason
from normsweep.training.compiled_network import model_digest
from normsweep.training.preflight import network_problem
from normsweep.training.preprocessing import Preprocessing, preprocessing_of
from normsweep.training.reproducibility import precision, seeded

__all__ = [
    "check_dataset",
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


def check_normalization(
    function: Function, *, shapes: Sequence[tuple[int, ...]] | None = None
) -> None:
    """A normalization is fitted to the images it is given, and made of Keras's own layers.

    Its outputs are finite float32 of the shape of the images, for images of 8 and 16 bits and real
    numbers, with constant ones among them or nothing else; they depend on no other image of a batch;
    and the saved layers do the same where they are loaded without normsweep.

    Args:
        function: takes the training split, raw (n, height, width, channels) or (n, features), and
            returns a list of layers.
        shapes: of the training splits to try; grey and colour images where it is not given.

    Raises:
        AssertionError: it does not.
    """
    for shape in shapes or SHAPES:
        for dtype in ("uint8", "uint16", "float32"):
            train = _images(shape, dtype, seed=0)
            _check_front(function, train, _images(shape, dtype, seed=1))
        for value in (0, 7):
            constant = np.full(shape, value, np.uint8)
            outputs = _outputs(_fitted(function, constant), constant)
            _need(
                bool(np.isfinite(outputs).all()),
                f"it gives values that are not finite where all images are the constant {value}",
                "a zero scale that counts as 1",
            )


def check_model(
    function: Function,
    *,
    input_shapes: Sequence[tuple[int, ...]] = (SAMPLE, (8, 8, 3)),
    classes: Sequence[int] = (2, 10),
    options: Mapping[str, Any] | None = None,
    precisions: Sequence[str] = ("float32",),
) -> None:
    """A model's function builds a new network at each call, an uncompiled one that ends in a softmax.

    The same seed gives the same weights, another seed others; the configuration, by which a network
    is known, is the same at each call.

    Args:
        function: `build(input_shape, classes, *, …)`.
        input_shapes: of one image (height, width, channels), or one row of a table (features,).
        classes: numbers of classes to try.
        options: keyword arguments to try it with.
        precisions: what `model.precision` may be for it: Keras's dtype policies.

    Raises:
        AssertionError: it does not.
    """
    for policy in precisions:
        for shape in input_shapes:
            for number in classes:
                with precision(policy):
                    _check_network(lambda s=shape, n=number: function(s, n, **(options or {})),
                                   shape, number)  # fmt: skip


def check_optimizer(function: Function, *, options: Mapping[str, Any] | None = None) -> None:
    """An optimizer's function gives a new Keras optimizer with the learning rate it is told.

    Two trainings from the same weights give the same bits, and so does a third one with the first
    one's optimizer, its variables and learning rate put back, as trials do that share a compiled step.

    Args:
        function: `make(learning_rate, *, …)`.
        options: keyword arguments to try it with.

    Raises:
        AssertionError: it does not.
    """
    import keras

    first, second = (function(0.05, **(options or {})) for _ in range(2))
    for made in (first, second):
        _need(
            isinstance(made, keras.optimizers.Optimizer),
            f"it returns {type(made).__name__}",
            "a keras.optimizers.Optimizer",
        )
    _need(first is not second, "it returns one optimizer for all calls", "a new one at each call")
    told = float(np.asarray(keras.ops.convert_to_numpy(first.learning_rate)))
    _need(
        bool(np.isclose(told, 0.05)),
        f"told a learning rate of 0.05 it has {told:g}",
        "the learning rate that it is told",
    )
    try:
        first.learning_rate = 0.05
    except TypeError:
        raise AssertionError(
            "its learning rate cannot be set; needed: a number, and no schedule"
        ) from None
    network = _small_network()
    weights = [np.array(variable) for variable in network.variables]
    blank, one = _trained(network, weights, first, None)
    _, two = _trained(network, weights, second, None)
    _need(
        all(np.isfinite(w).all() for w in one),
        "weights are not finite after a few steps",
        "numbers",
    )
    _need(
        not all(np.array_equal(a, b) for a, b in zip(one, weights, strict=True)),
        "weights stay as they were",
        "an optimizer that moves them",
    )
    _need(_same(one, two), "two trainings of the same end in other bits", "the same bits")
    _, three = _trained(network, weights, first, blank)
    _need(
        _same(one, three),
        "with its variables put back it trains otherwise: it keeps something outside of them",
        "all state in Keras variables",
    )


def check_dataset(function: Function, *, data_dir: Path | None = None) -> None:
    """A dataset's function gives four arrays that fit together, with where they came from, each time the same.

    Args:
        function: takes the folder of `--data-dir`, or None, and returns (arrays by name, source), or a
            `Dataset`.
        data_dir: that folder.

    Raises:
        AssertionError: it does not.
    """
    digests = []
    for _ in range(2):
        try:
            digests.append(
                datasets.made(Part("checked", function, temporary=True), data_dir).digest
            )
        except DataError as error:
            raise AssertionError(str(error)) from None
    _need(digests[0] == digests[1], "two calls give other data", "the same data at each call")


def check_metric(
    function: Function,
    *,
    direction: Literal["maximize", "minimize"] = "maximize",
    classes: int = 3,
) -> None:
    """A metric's function gives a finite number, better for better probabilities, whatever the order.

    Args:
        function: takes labels (n,) int64 and probabilities (n, classes) float32.
        direction: as it is registered with.
        classes: number of classes to try it with.

    Raises:
        AssertionError: it does not.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(40 * classes) % classes
    right = np.eye(classes, dtype=np.float32)[labels]
    guess = np.full_like(right, 1 / classes) + rng.normal(0, 1e-3, right.shape).astype(np.float32)
    good, poor = (_probabilities(share * right + (1 - share) * guess) for share in (0.9, 0.1))
    wrong = np.roll(right, 1, axis=1)
    given = {"perfect": right, "good": good, "poor": poor, "wrong": wrong}
    values = {name: _value(function, labels, p) for name, p in given.items()}
    larger = direction == "maximize"
    sign = 1 if larger else -1
    for better, worse in (("perfect", "wrong"), ("good", "wrong"), ("perfect", "poor")):
        _need(
            sign * values[better] >= sign * values[worse]
            and (better != "perfect" or worse != "wrong" or values[better] != values[worse]),
            f"{better} probabilities give {values[better]:g}, {worse} ones {values[worse]:g}",
            f"{'larger' if larger else 'smaller'} values for better ones",
        )
    order = rng.permutation(len(labels))
    _need(
        bool(np.isclose(_value(function, labels[order], good[order]), values["good"])),
        "the order of the images changes its value",
        "a value for the images, whatever their order",
    )


def _need(fine: bool, found: str, legal: str) -> None:
    if not fine:
        raise AssertionError(f"{found}; needed: {legal}")


def _images(shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    """Random ones; the first is constant, the second zero, and so is one place in all of them."""
    rng = np.random.default_rng(seed)
    real = dtype == "float32"
    top = 0 if real else np.iinfo(dtype).max
    made = rng.normal(5, 20, shape) if real else rng.integers(0, top + 1, shape)
    made.reshape(len(made), -1)[:, 0] = 0
    made[0], made[1] = 3, 0
    return made.astype(dtype)


def _check_front(function: Function, train: Array, others: Array) -> None:
    kind = f"images {train.shape[1:]} of {train.dtype}"
    before = train.copy()
    preprocessing = _fitted(function, train)
    _need(np.array_equal(train, before), "it changes the images it is given", "to leave them alone")
    outputs = _outputs(preprocessing, others)
    _need(
        outputs.shape == others.shape and outputs.dtype == np.float32,
        f"{kind} become {outputs.dtype} {outputs.shape[1:]}",
        f"float32 {others.shape[1:]}",
    )
    _need(bool(np.isfinite(outputs).all()), f"{kind} become values that are not finite", "numbers")
    _need(
        _close(_outputs(_fitted(function, train), others), outputs),
        f"fitted to the same {kind} twice, it gives other values",
        "the same values: no random state of its own",
    )
    alone = np.concatenate([_outputs(preprocessing, others[i : i + 1]) for i in range(4)])
    _need(
        _close(alone, outputs[:4]),
        f"{kind} become other values in another batch",
        "statistics of the training split alone, fixed when the layers are made",
    )
    _need(
        _close(_reloaded(preprocessing, others), outputs),
        f"{kind} become other values where the saved layers are loaded",
        "layers that keep all they need when they are saved",
    )


def _fitted(function: Function, train: Array) -> Preprocessing:
    made = function(train)
    _need(
        isinstance(made, list | tuple),
        f"it returns {type(made).__name__}",
        "a list of Keras layers",
    )
    for layer in made:
        module = type(layer).__module__
        _need(
            module.split(".")[0] == "keras",
            f"the layer {type(layer).__name__} comes from {module}",
            "layers that come with Keras, so that the saved model loads anywhere",
        )
    return preprocessing_of(tuple(made), train)


def _outputs(preprocessing: Preprocessing, images: Array) -> Array:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(_afterwards(preprocessing, images)))


def _afterwards(preprocessing: Preprocessing, images: Array) -> Any:
    """The layers' outputs as they are once the training is over."""
    import keras

    inputs = keras.Input(images.shape[1:], dtype=images.dtype.name)
    return keras.Model(inputs, preprocessing.attach(inputs))(images, training=False)


def _reloaded(preprocessing: Preprocessing, images: Array) -> Array:
    """The outputs of the saved preprocessing, loaded as where neither its author's code nor normsweep is."""
    import keras

    inputs = keras.Input(images.shape[1:], dtype=images.dtype.name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "preprocessing.keras"
        keras.Model(inputs, preprocessing.attach(inputs)).save(path)
        try:
            loaded: Any = keras.models.load_model(path, safe_mode=True)
        except Exception as error:
            raise AssertionError(
                f"the saved layers cannot be loaded: {reason(error)}; needed: layers without code of "
                "their own, as Lambda has"
            ) from None
    return np.asarray(keras.ops.convert_to_numpy(loaded(images, training=False)))


def _check_network(build: Callable[[], Any], shape: tuple[int, ...], classes: int) -> None:
    with seeded(1):
        network = build()
    if wrong := network_problem(network, shape, classes):
        raise AssertionError(f"for inputs {shape} and {classes} classes it returns {wrong}")
    _need(not network.compiled, "the network is compiled", "one that is not")
    with seeded(1):
        again = build()
    with seeded(2):
        other = build()
    _need(network is not again, "it returns one network for all calls", "a new one at each call")
    weights = [[np.array(v) for v in n.trainable_variables] for n in (network, again, other)]
    _need(
        _same(weights[0], weights[1]),
        "the same seed of Keras's gives other weights",
        "initializers that draw from Keras's global seed",
    )
    _need(
        not weights[0] or not _same(weights[0], weights[2]),
        "another seed of Keras's gives the same weights",
        "initializers without a seed of their own",
    )
    _need(
        model_digest(network) == model_digest(again) == model_digest(other),
        "its configuration differs from call to call",
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
    network: Any, weights: list[Array], optimizer: Any, blank: list[Array] | None
) -> tuple[list[Array], list[Array]]:
    """A few steps from given weights; the optimizer's variables before, the weights after."""
    for variable, value in zip(network.variables, weights, strict=True):
        variable.assign(value)
    network.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    if not optimizer.built:
        optimizer.build(network.trainable_variables)
    for variable, value in zip(optimizer.variables, blank or [], strict=False):
        variable.assign(value)
    optimizer.learning_rate = 0.05
    before = [np.array(variable) for variable in optimizer.variables]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(STEPS, 16, 6)).astype(np.float32), rng.integers(0, 3, (STEPS, 16))
    for images, labels in zip(x, y, strict=True):
        network.train_on_batch(images, labels)
    return before, [np.array(variable) for variable in network.variables]


def _value(function: Function, labels: Array, probabilities: Array) -> float:
    kept = labels.copy(), probabilities.copy()
    value = function(labels, probabilities)
    _need(
        np.array_equal(kept[0], labels) and np.array_equal(kept[1], probabilities),
        "it changes the arrays it is given",
        "to leave them alone",
    )
    _need(
        np.ndim(value) == 0 and bool(np.isfinite(value)), f"it returns {value!r}", "a finite number"
    )
    return float(value)


def _probabilities(rows: Array) -> Array:
    return (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


def _same(one: Sequence[Array], other: Sequence[Array]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _close(one: Array, other: Array) -> bool:
    scale = float(np.abs(other).max(initial=1.0))
    return bool(np.allclose(one, other, rtol=1e-4, atol=1e-5 * scale))
