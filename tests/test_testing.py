"""The conformance suite: our own parts pass it, and parts that are broken in one way fail for it."""

from __future__ import annotations

import itertools
from pathlib import Path

import keras
import numpy as np
import pytest

from normsweep import testing
from normsweep.parts import datasets, losses, metrics, models, normalizations, optimizers
from normsweep.parts.registry import Registry


def ours(registry: Registry) -> list[str]:
    """The parts of normsweep itself: other tests have some of their own."""
    return [part.name for part in registry if part.function.__module__.startswith("normsweep.")]


ALIKE = ("divide", "maxabs", "log1p", "sqrt", "tf", "torch")
"""Built as other normalizations are, with another number or function."""


@pytest.mark.parametrize("name", [n for n in ours(normalizations.registry) if n not in ALIKE])
def test_our_normalizations_pass(name):
    colors = ((48, 6, 5, 3),) if name in ("caffe", "quantile", "asinh") else None
    testing.check_normalization(normalizations.registry[name].function, shapes=colors)


@pytest.mark.parametrize("name", sorted({*ours(models.registry)} - {models.SYNTHETIC}))
def test_our_models_pass(name):
    precisions = ("float32", "mixed_bfloat16", "mixed_float16")
    shapes = ((12, 1), (9, 3)) if name in ("cnn1d", "lstm") else ((8, 8, 1), (8, 8, 3))
    testing.check_model(models.registry[name].function, input_shapes=shapes, precisions=precisions)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("lstm", (9,), {"vocabulary": 50, "cell": "gru", "units": 4}),
        ("cnn1d", (9,), {"vocabulary": 50, "filters": 4, "initializer": "he_normal"}),
        ("linear", (5,), {"initializer": "zeros"}),
    ],
)
def test_our_models_build_with_their_options(name, shape, options):
    network = models.registry[name].function(shape, 3, **options)
    assert network.output_shape == (None, 3)
    if "initializer" in options:
        kernels = [each for each in network.layers if hasattr(each, "kernel")]
        used = {
            keras.initializers.serialize(each.kernel_initializer)["class_name"] for each in kernels
        }
        assert used == {{"he_normal": "HeNormal", "zeros": "Zeros"}[options["initializer"]]}


@pytest.mark.parametrize(
    ("name", "shape"), [("cnn1d", (9,)), ("lstm", (8, 8, 1)), ("lenet", (9, 3))]
)
def test_a_network_says_which_inputs_it_needs(name, shape):
    with pytest.raises(ValueError, match="sequences"):
        models.registry[name].function(shape, 3)


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, {}) for name in ours(optimizers.registry)), ("sgd", {"momentum": 0.9})],
)
def test_our_optimizers_pass(name, options):
    testing.check_optimizer(optimizers.registry[name].function, options=options)


def test_our_data_passes():
    testing.check_dataset(datasets.registry["digits"].function)


@pytest.mark.parametrize("name", ours(metrics.registry))
def test_our_metrics_pass(name):
    own = metrics.metric(name)
    testing.check_metric(own.function, direction=own.direction, task=own.tasks[0])


@pytest.mark.parametrize("name", ours(losses.registry))
def test_our_losses_pass(name):
    about = losses.loss(name)
    testing.check_loss(
        losses.registry[name].function,
        tasks=about.tasks,
        activation=about.activation,
        range=about.range,
    )


def test_a_loss_of_ones_own_passes_with_its_options():
    def make(*, level=0.5):
        def pinball(y_true, y_pred):
            error = y_true - y_pred
            return keras.ops.mean(keras.ops.maximum(level * error, (level - 1) * error), axis=-1)

        return pinball

    testing.check_loss(make, tasks=("regression",), options={"level": 0.9})
    with pytest.raises(AssertionError, match="cannot be built: TypeError"):
        testing.check_loss(make, tasks=("regression",), options={"levle": 0.9})


def squares(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


def unclipped(y_true, y_pred):
    return -keras.ops.sum(y_true * keras.ops.log(y_pred), axis=-1)


def steps(y_true, y_pred):
    return keras.ops.mean(keras.ops.round(keras.ops.abs(y_true - y_pred) * 8), axis=-1)


@keras.ops.custom_gradient
def upwards(y_true, y_pred):
    """Squares with a gradient of the wrong sign."""

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        slope = upstream[:, None] * (y_true - y_pred)
        return keras.ops.zeros_like(slope), slope

    return squares(y_true, y_pred), gradient


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda: "mse", "it returns 'mse'; expected a Keras loss or a function"),
        (lambda: lambda y, p: keras.ops.mean(squares(y, p)), r"48 rows give \(\)"),
        (lambda: lambda y, p: keras.ops.square(y - p), r"48 rows give \(48, 3\)"),
        (lambda: unclipped, "it is not finite for outputs that are wrong"),
        (lambda: lambda y, p: -squares(y, p), "a smaller loss for better outputs"),
        (
            lambda: lambda y, p: squares(y, p) + keras.ops.mean(squares(y, p)),
            "depends on the rest of the batch",
        ),
        (lambda: keras.losses.MeanSquaredError(reduction="sum"), "expected the mean of the rows"),
        (lambda: steps, "it cannot be trained: ValueError: No gradients"),
        (lambda: upwards, "a loss whose gradient makes it smaller"),
    ],
    ids=[
        "text",
        "scalar",
        "no-mean",
        "infinite",
        "direction",
        "batch",
        "sum",
        "no-gradient",
        "upwards",
    ],
)
def test_a_loss_that_is_broken_fails(broken, said):
    with pytest.raises(AssertionError, match=said), np.errstate(divide="ignore", invalid="ignore"):
        testing.check_loss(broken, tasks=("classification",))


def log_loss(labels: np.ndarray, p: np.ndarray) -> float:
    return float(-np.log(p[np.arange(len(labels)), labels].clip(1e-7)).mean())


class OwnLayer(keras.layers.Layer):
    def call(self, x):
        return x / 255


class Batchwise(keras.layers.Layer):
    __module__ = "keras.layers"

    def call(self, x):
        return x - keras.ops.mean(x)


COUNT = itertools.count()


def in_place(train):
    train //= 2
    return []


def to_nan(train):
    return [keras.layers.Rescaling(1 / float(train.std()) if train.std() else np.nan)]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda train: keras.layers.Rescaling(1 / 255), "it returns Rescaling; expected a list"),
        (lambda train: [OwnLayer()], "the layer OwnLayer comes from"),
        (lambda train: [Batchwise()], "statistics of the training split only"),
        (lambda train: [keras.layers.Lambda(lambda x: x)], "expected layers without custom code"),
        (lambda train: [keras.layers.Flatten()], "expected float32"),
        (
            lambda train: [keras.layers.Rescaling(next(COUNT) + 1.0)],
            "without a random state of its own",
        ),
        (in_place, "it changes the given images"),
        (to_nan, "a scale of 0 to be replaced by 1"),
    ],
    ids=["no-list", "own-layer", "batch", "lambda", "shape", "random", "in-place", "constant"],
)
def test_a_normalization_that_is_broken_fails(broken, said):
    with pytest.raises(AssertionError, match=said):
        testing.check_normalization(broken, shapes=[(48, 6, 5, 1)])


def network(shape, classes, *, last="softmax", seed=None, units=4):
    start = keras.initializers.GlorotUniform(seed) if seed is not None else "glorot_uniform"
    return keras.Sequential(
        [keras.Input(shape), keras.layers.Flatten(),
         keras.layers.Dense(units, kernel_initializer=start),
         keras.layers.Dense(classes, activation=last, kernel_initializer=start)]
    )  # fmt: skip


def compiled(shape, classes):
    made = network(shape, classes)
    made.compile("sgd", "mse")
    return made


ONE = {}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda s, n: "a network", "expected an uncompiled keras.Model, got str"),
        (lambda s, n: network(s, n, last=None), "expected outputs that are probabilities"),
        (lambda s, n: network(s, n, last="sigmoid"), "expected outputs that are probabilities"),
        (lambda s, n: network(s, n + 1), "expected outputs of shape"),
        (lambda s, n: network((s[0], s[1], 2), n), "expected inputs of shape"),
        (lambda s, n: keras.Sequential([keras.layers.Dense(n)]), "begins with keras.Input"),
        (lambda s, n: network(s, n, seed=3), "without a seed of their own"),
        (lambda s, n: network(s, n, units=next(COUNT) + 1), "; expected "),
        (lambda s, n: ONE.setdefault((s, n), network(s, n)), "one network for all calls"),
        (compiled, "it is compiled with the loss mse, which would not be used"),
    ],
    ids=["text", "logits", "sigmoid", "outputs", "inputs", "no-input", "seed", "varies", "one", "compiled"],
)  # fmt: skip
def test_a_model_that_is_broken_fails(broken, said):
    with pytest.raises(AssertionError, match=said):
        testing.check_model(broken, input_shapes=[(4, 4, 1)], classes=[3])


class Still(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        pass


class Counting(keras.optimizers.SGD):
    """Keeps how often it was used outside of its variables."""

    steps = 0

    def update_step(self, gradient, variable, learning_rate):
        self.steps += 1
        super().update_step(gradient, variable, learning_rate / self.steps)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda rate: "adam", "it returns str"),
        (
            lambda rate: keras.optimizers.SGD(0.01),
            "called with a learning rate of 0.05, it has 0.01",
        ),
        (Still, "it does not change the weights"),
        (lambda rate, kept={}: kept.setdefault(0, keras.optimizers.SGD(rate)), "one optimizer"),
        (Counting, "it has state outside"),
    ],
    ids=["text", "rate", "still", "one", "state"],
)
def test_an_optimizer_that_is_broken_fails(broken, said):
    with pytest.raises(AssertionError, match=said):
        testing.check_optimizer(broken)


def arrays(top: int = 2, labels: int | None = None) -> dict[str, np.ndarray]:
    x, y = np.zeros((8, 3, 3), np.uint8), np.arange(8) % top
    return {"x_train": x, "y_train": y, "x_test": x, "y_test": y if labels is None else y + labels}


def random_arrays(folder):
    return arrays() | {"x_test": np.random.default_rng().random((8, 3, 3))} | {
        "x_train": np.random.default_rng().random((8, 3, 3))
    }, "here"  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda folder: arrays(), "returned dict; expected"),
        (lambda folder: folder / "mine.npz", "failed: TypeError: unsupported operand"),
        (lambda folder: (arrays(), ""), "returned the source ''"),
        (lambda folder: (arrays(labels=5), "here"), "y_test"),
        (lambda folder: ({"x_train": np.zeros(3)}, "here"), "the four arrays"),
        (random_arrays, "two calls return different data"),
    ],
    ids=["no-source", "fails", "empty-source", "labels", "arrays", "random"],
)
def test_a_dataset_that_is_broken_fails(broken, said):
    with pytest.raises(AssertionError, match=said):
        testing.check_dataset(broken)


def test_the_folder_of_data_is_handed_on(tmp_path: Path):
    seen: list[Path | None] = []

    def mine(folder):
        seen.append(folder)
        return arrays(), "here"

    testing.check_dataset(mine, data_dir=tmp_path)
    assert seen == [tmp_path, tmp_path]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (log_loss, "larger values for better probabilities"),
        (lambda labels, p: float(p[0, 0] + 2 * (p.argmax(1) == labels).mean()), "the order of"),
        (lambda labels, p: p.mean(axis=0), "a finite number"),
        (lambda labels, p: None, "it returns None; expected a finite number"),
        (lambda labels, p: float(np.log((p.argmax(1) == labels).mean())), "a finite number"),
        (lambda labels, p: float(p.sort(axis=1) or 0.0), "it changes the given arrays"),
        (lambda labels, p: 1.0, "larger values for better probabilities"),
    ],
    ids=["direction", "order", "array", "nothing", "infinite", "in-place", "constant"],
)
def test_a_metric_that_is_broken_fails(broken, said):
    with pytest.raises(AssertionError, match=said), np.errstate(divide="ignore"):
        testing.check_metric(broken)


def test_a_task_or_direction_that_is_none_is_told():
    for check in (
        lambda: testing.check_metric(log_loss, direction="min"),  # pyright: ignore[reportArgumentType]
        lambda: testing.check_metric(log_loss, task="regresion"),
        lambda: testing.check_loss(squares, tasks=["regresion"]),
    ):
        with pytest.raises(AssertionError, match=r"(direction|task) is '.*'; expected one of"):
            check()
    testing.check_loss(keras.losses.CategoricalCrossentropy, tasks="classification")
