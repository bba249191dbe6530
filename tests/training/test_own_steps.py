"""The matched step of the first layer, its own learning rate, warm-up and clipping."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsweep.errors import SweepError
from normsweep.parts import models, optimizers, schedules
from normsweep.sweep.trial import DataKey, Epoch, Status, Trial
from normsweep.training.compiled_epoch import Batches, OneByOne
from normsweep.training.diagnosis import diagnose
from normsweep.training.engine import Finished, Training
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.preflight import PreflightRequest
from normsweep.training.reproducibility import backend
from normsweep.training.snapshot import CheckpointPolicy, Snapshot

SIZE = 32
"""Images in a batch: 36 steps in an epoch of the digits."""
OPTIMIZERS = [("sgd", {"momentum": 0.9}, 0.02), ("adamw", {"weight_decay": 0.05}, 0.003)]
"""One whose steps grow with the gradient, and one whose steps do not, with a decay."""
OTHERS = [
    ("sgd", {}, 0.1),
    ("sgd", {"momentum": 0.9, "nesterov": True}, 0.02),
    ("rmsprop", {}, 0.003),
    ("adagrad", {}, 0.05),
    ("adam", {}, 0.003),
    ("nadam", {}, 0.003),
]


@models.register("test_convolution")
def convolution(input_shape, classes):
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
    )


@models.register("test_own_loop")
def own_loop(input_shape, classes):
    """A network with a training step of its own, in which gradients are applied to some variables."""
    import keras

    class OwnLoop(keras.Model):
        def train_step(self, data):
            import tensorflow as tf

            x, y = data[:2]
            with tf.GradientTape() as tape:
                outputs = self(x, training=True)
                loss = self.compute_loss(x, y, outputs)
            variables = self.trainable_variables[::-1]
            gradients = tape.gradient(loss, variables)
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return self.compute_metrics(x, y, outputs) | {"loss": loss}

    inner = convolution(input_shape, classes)
    return OwnLoop(inner.inputs, inner.outputs)


def own_trial(key: DataKey, **changed: object) -> Trial:
    content = {
        "number": 0, "arm": "a", "slot": 0, "seed": 3, "data": key, "model": "test_convolution",
        "model_options": {}, "normalization": "none", "optimizer": "adam", "optimizer_options": {},
        "learning_rate": 0.003, "batch_size": SIZE, "epochs": 2, **changed,
    }  # fmt: skip
    return Trial(**content)  # type: ignore[arg-type]


def steps(engine: KerasEngine, trial: Trial, one_by_one: bool = False) -> np.ndarray:
    """Loss and accuracy of each of 72 steps, and the trained weights behind them."""
    inputs = engine.inputs_of(trial)
    compiled = engine.compiled(trial, inputs)
    loop = OneByOne(compiled.model) if one_by_one else compiled.loop(SIZE)
    images = loop.images(inputs.split.x_train, inputs.split.y_train)
    orders = [np.random.default_rng(e).permutation(len(inputs.split.y_train)) for e in (1, 2)]
    values = np.concatenate([loop.train(Batches(images, order, SIZE)) for order in orders])
    assert len(values) == 72
    return values


def controls(reference: Trial) -> dict[str, tuple[Trial, Trial]]:
    """Pairs of trials that are the same training, for a reference with divided inputs."""
    s = reference.input_scale
    matched = {
        "input_scale": 1.0, "input_rate": "matched",
        "reference_normalization": reference.normalization, "reference_scale": s,
    }  # fmt: skip
    return {
        "both": (reference, replace(reference, **matched, input_weights=s)),
        "large start": (
            replace(reference, input_weights=1 / s),
            replace(reference, **matched),
        ),
    }


def assert_same_trainings(root: Path, digest: str, optimizers: list[Any] = OPTIMIZERS) -> None:
    """Equal bits of all losses and accuracies; runs in a process with another backend, too."""
    engine, key = KerasEngine(root), DataKey("digits", digest, 0.198)
    for optimizer, options, rate in optimizers:
        reference = own_trial(
            key, optimizer=optimizer, optimizer_options=options, learning_rate=rate,
            input_scale=1 / 256, model="test_dense",
        )  # fmt: skip
        for name, (one, other) in controls(reference).items():
            values, case = (
                (steps(engine, one), steps(engine, other)),
                f"{optimizer} {options} {name}",
            )
            if optimizer == "nadam" and backend() == "jax":  # XLA rounds it in another place
                np.testing.assert_allclose(*values, rtol=1e-5, err_msg=case)
            else:
                np.testing.assert_array_equal(*values, case)


@pytest.fixture(scope="module")
def engine(digits_root: Path) -> KerasEngine:
    return KerasEngine(digits_root)


@pytest.fixture
def reference(digits_key: DataKey) -> Trial:
    return own_trial(digits_key, input_scale=1 / 256)


@pytest.mark.parametrize(
    "optimizers",
    [pytest.param(OPTIMIZERS, id="two"), pytest.param(OTHERS, id="others", marks=pytest.mark.slow)],
)
def test_start_and_matched_step_are_the_training_of_divided_inputs_bit_for_bit(
    digits_root, digits_key, optimizers
):
    assert_same_trainings(digits_root, digits_key.digest, optimizers)


@pytest.mark.slow
def test_the_same_holds_on_jax(digits_root, digits_key):
    """With the other optimizers: `OPTIMIZERS` are tried in test_backends.py, in one process with its steps."""
    pytest.importorskip("jax", reason="Keras's other backend, JAX, is not installed")
    code = (
        "import sys, pathlib; from tests.training.test_own_steps import OTHERS, assert_same_trainings; "
        "import keras; assert keras.backend.backend() == 'jax'; "
        "assert_same_trainings(pathlib.Path(sys.argv[1]), sys.argv[2], OTHERS)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(digits_root), digits_key.digest],
        cwd=Path(__file__).parents[2], env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


@models.register("test_dense")
def dense(input_shape, classes):
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"precision": "mixed_bfloat16"},
        {"clip": 0.5, "schedule": "warmup", "schedule_options": {"warmup_steps": 40}},
        {"model": "test_own_loop"},
        {"model": "mlp", "model_options": {"units": 8}, "optimizer": "sgd", "learning_rate": 0.1},
    ],
    ids=["bfloat16", "clip and warmup", "own-loop", "mlp"],
)
def test_the_same_holds_with(engine, reference, changed):
    reference = replace(reference, **changed)
    one, other = (steps(engine, trial) for trial in controls(reference)["both"])
    np.testing.assert_array_equal(one, other)
    half = replace(controls(reference)["both"][1], input_rate=1.0)
    assert not np.array_equal(one, steps(engine, half)), "the start alone is another training"


def test_with_losses_scaled_the_two_agree_as_far_as_float16_does(engine, reference):
    half = replace(reference, precision="mixed_float16")
    one, other = (steps(engine, trial)[:, 0] for trial in controls(half)["both"])
    assert one[0] == pytest.approx(other[0], rel=1e-3)
    assert other[-10:].mean() == pytest.approx(one[-10:].mean(), rel=0.1)


def test_batch_by_batch_is_the_same_training(engine, reference):
    trial = controls(reference)["both"][1]
    np.testing.assert_array_equal(steps(engine, trial), steps(engine, trial, one_by_one=True))


def test_with_255_the_two_agree_within_rounding(engine, reference):
    unit = replace(reference, normalization="unit", input_scale=1.0)
    raw = replace(
        unit, normalization="none", input_weights=1 / 255, input_rate="matched",
        reference_normalization="unit",
    )  # fmt: skip
    assert engine.input_ratio(raw) == 1 / 255
    np.testing.assert_allclose(steps(engine, unit)[:20], steps(engine, raw)[:20], rtol=1e-4)


def curve(
    engine: KerasEngine, trial: Trial, start: Snapshot | None = None
) -> list[Epoch | Snapshot]:
    found = list(engine.train(trial, CheckpointPolicy(every=0.0), start))
    assert found[-1].epoch == trial.epochs
    return found


def scores(found: list[Epoch | Snapshot]) -> list[tuple[float, float]]:
    return [(e.train_loss, e.val_loss) for e in found if isinstance(e, Epoch)]


def test_a_trial_goes_on_from_its_snapshot(engine, reference):
    trial = replace(
        controls(reference)["both"][1], epochs=3, schedule="warmup",
        schedule_options={"warmup_epochs": 2.5},
    )  # fmt: skip
    found = curve(engine, trial)
    snapshot = next(each for each in found if isinstance(each, Snapshot))
    engine.compiled(replace(trial, seed=9), engine.inputs_of(trial))
    assert scores(curve(engine, trial, snapshot)) == scores(found)


def test_trials_with_other_factors_share_a_compiled_model(engine, reference):
    trials = [replace(reference, input_rate=rate, input_weights=rate) for rate in (0.5, 0.25)]
    warm = [
        replace(reference, schedule="warmup", schedule_options={"warmup_steps": 8}, learning_rate=r)
        for r in (0.1, 0.2)
    ]
    for group in (trials, warm):
        made = {id(engine.compiled(each, engine.inputs_of(each)).model) for each in group}
        assert len(made) == 1
    before = steps(engine, reference)
    steps(engine, trials[0])
    np.testing.assert_array_equal(before, steps(engine, reference))


WARM = {"warmup_epochs": 0.5}
COSINE = {"alpha": 0.1, **WARM}
DECAY = {"decay_rate": 0.5, "decay_epochs": 0.75}


def test_schedules_are_those_of_keras():
    import keras

    kinds = keras.optimizers.schedules
    cases = {
        "cosine": (
            COSINE,
            kinds.CosineDecay(1 / 18, 54, 0.1, warmup_target=1.0, warmup_steps=18),
            17,
        ),
        "exponential": (DECAY, kinds.ExponentialDecay(1.0, 27, 0.5), 0),
        "step": (DECAY, kinds.ExponentialDecay(1.0, 27, 0.5, staircase=True), 0),
    }
    for name, (options, keras_own, late) in cases.items():
        made = schedules.factors(name, 36, 2, options)
        assert len(made) == 128, "72 steps, filled up to a power of two"
        assert (made[72:] == made[71]).all()
        theirs = [float(keras_own(step)) for step in range(72)]
        if late:  # Keras's warm-up begins at the first value, and ends a step later
            np.testing.assert_allclose(made[:18], np.arange(1, 19) / 18)
        np.testing.assert_allclose(
            made[late + bool(late) : 72], theirs[late + bool(late) :], rtol=1e-5
        )
        warm = schedules.factors(name, 36, 2, {**options, **WARM})
        np.testing.assert_allclose(warm[:18], np.arange(1, 19) / 18)
    fixed = {"decay_epochs": 1.0}
    short, long = (schedules.factors("cosine", 36, n, fixed) for n in (1, 2))
    np.testing.assert_array_equal(short[:36], long[:36])
    assert (long[36:] == 0).all()


@schedules.register("test_hidden_length")
def hidden_length(steps_per_epoch, epochs):
    return np.linspace(1, 0, steps_per_epoch * epochs)


@optimizers.register("test_decaying")
def decaying(learning_rate):
    import keras

    return keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(learning_rate, 27, 0.5))


def test_an_optimizer_with_a_schedule_of_its_own_trains_by_it(engine, reference):
    plain = replace(reference, optimizer="sgd", learning_rate=0.01, model="test_dense")
    own = replace(plain, optimizer="test_decaying")
    ours = replace(plain, schedule="exponential", schedule_options=DECAY)
    both = [steps(engine, trial) for trial in (own, ours)]
    np.testing.assert_allclose(*both, rtol=1e-3)
    assert not np.allclose(both[0][-1], steps(engine, plain)[-1], rtol=1e-3)
    faster = replace(own, learning_rate=0.02)
    assert not np.allclose(both[0][1:], steps(engine, faster)[1:])
    np.testing.assert_array_equal(both[0], steps(engine, own))
    assert engine.identity(own) == engine.identity(faster) != engine.identity(plain)


@optimizers.register("test_tenth")
def tenth(learning_rate):
    import keras

    return keras.optimizers.SGD(learning_rate / 10)


@optimizers.register("test_decay_by_rate")
def decay_by_rate(learning_rate):
    import keras

    return keras.optimizers.AdamW(learning_rate, weight_decay=learning_rate / 10)


@pytest.mark.parametrize(
    ("own", "keras_own", "share"),
    [("test_tenth", "sgd", 1 / 10), ("test_decay_by_rate", "adamw", 1.0)],
)
def test_an_optimizer_may_make_what_it_wants_of_the_learning_rate(
    engine, reference, own, keras_own, share
):
    rates = (0.1, 0.01, 1.0, 0.01)
    trials = [
        replace(reference, optimizer=own, learning_rate=rate, model="test_dense") for rate in rates
    ]
    for trial in trials:
        rate = trial.learning_rate
        plain = replace(
            trial, optimizer=keras_own, learning_rate=rate * share,
            optimizer_options={"weight_decay": rate / 10} if keras_own == "adamw" else {},
        )  # fmt: skip
        np.testing.assert_array_equal(steps(engine, trial), steps(engine, plain))
    assert len({engine.identity(trial)["optimizer_digest"] for trial in trials}) == 1


def test_a_training_that_stops_early_is_the_same_after_a_kill(engine, reference):
    trial = replace(
        reference, optimizer="sgd", learning_rate=0.5, epochs=12, patience=2, model="test_dense",
        input_scale=1 / 16, schedule="cosine", schedule_options=COSINE, of_length=True,
    )  # fmt: skip
    found: list[Epoch | Snapshot] = []
    ended = run_to_end(engine.train(trial, CheckpointPolicy(-math.inf, every=0.0)), found)
    result, snapshots = ended.result, [each for each in found if isinstance(each, Snapshot)]
    best = min(result.curve, key=lambda epoch: epoch.val_loss)
    assert result.status is Status.COMPLETE
    assert (result.last, result.score) == (best, best.val_accuracy)
    assert len(result.curve) == best.epoch + 2 < 12
    model = engine.compiled(trial, engine.inputs_of(trial)).model
    ended.state.restore_network(model)
    x, y = engine.inputs_of(trial).split.x_val, engine.inputs_of(trial).split.y_val
    assert (model.predict_on_batch(x).argmax(1) == y).mean() == pytest.approx(best.val_accuracy)
    for snapshot in (snapshots[0], snapshots[-1]):  # before the best epoch, and after the last
        again = engine.train(trial, CheckpointPolicy(-math.inf), kept(snapshot))
        resumed = run_to_end(again)
        assert scores(resumed.result.as_read.curve) == scores(result.as_read.curve)
        assert resumed.result.reused == snapshot.epoch
        for one, other in zip(resumed.state.best, ended.state.best, strict=True):
            np.testing.assert_array_equal(one, other)


def kept(snapshot: Snapshot) -> Snapshot:
    """The snapshot as it is read back, numbers with nine digits."""
    return replace(snapshot, so_far=snapshot.so_far.as_read)


def run_to_end(training: Training, found: list[Epoch | Snapshot] | None = None) -> Finished:
    try:
        while True:
            each = next(training)
            if found is not None:
                found.append(each)
    except StopIteration as end:
        return end.value


def moved(engine: KerasEngine, trial: Trial, batches: int = 1) -> list[np.ndarray]:
    """How a trial's first steps change its weights."""
    inputs = engine.inputs_of(trial)
    model = engine.compiled(trial, inputs).model
    before = [np.array(each) for each in model.trainable_variables]
    for i in range(batches):
        rows = slice(i * SIZE, (i + 1) * SIZE)
        model.train_on_batch(inputs.split.x_train[rows], inputs.split.y_train[rows])
    return [
        np.array(after) - was for after, was in zip(model.trainable_variables, before, strict=True)
    ]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_first_kernel_has_its_own_learning_rate_and_nothing_else_has(
    engine, reference, optimizer
):
    trial = replace(reference, optimizer=optimizer, learning_rate=0.01)
    plain, slow = moved(engine, trial), moved(engine, replace(trial, input_rate=0.125))
    np.testing.assert_allclose(slow[0], 0.125 * plain[0], rtol=1e-3, atol=1e-6)
    for one, other in zip(plain[1:], slow[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    frozen = moved(engine, replace(trial, input_rate=0.0), batches=2)
    assert not frozen[0].any()
    assert frozen[1].any()


def test_the_learning_rate_warms_up_over_the_declared_length(engine, reference):
    plain = replace(reference, optimizer="sgd", learning_rate=0.1)
    for options in ({"warmup_steps": 4}, {"warmup_epochs": 4 / 36}):
        trial = replace(plain, schedule="warmup", schedule_options=options)
        model = engine.compiled(trial, engine.inputs_of(trial)).model
        rates = []
        for _ in range(6):
            rates.append(float(model.optimizer.learning_rate))
            model.train_on_batch(np.zeros((2, 8, 8, 1)), np.zeros(2))
        np.testing.assert_allclose(rates, [0.025, 0.05, 0.075, 0.1, 0.1, 0.1], rtol=1e-6)
        first, whole = moved(engine, trial), moved(engine, plain)
        np.testing.assert_allclose(first[0], whole[0] / 4, rtol=1e-3, atol=1e-7)


def test_the_gradient_is_no_longer_than_the_clip(engine, reference):
    trial = replace(reference, optimizer="sgd", learning_rate=1.0, input_scale=1.0)

    def length(trial: Trial) -> float:
        return float(np.sqrt(sum(np.square(each).sum() for each in moved(engine, trial))))

    assert length(trial) > 1
    assert length(replace(trial, clip=0.5)) == pytest.approx(0.5, rel=1e-3)
    assert length(replace(trial, clip=1e6)) == pytest.approx(length(trial), rel=1e-3)


def test_the_factors_are_on_the_first_and_last_kernel_at_the_start(engine, reference):
    inputs = engine.inputs_of(reference)

    def start(**changed: float) -> list[np.ndarray]:
        model = engine.compiled(replace(reference, **changed), inputs).model
        return [np.array(each) for each in model.trainable_variables]

    plain, first, last = start(), start(input_weights=0.5), start(output_weights=0.0)
    np.testing.assert_array_equal(first[0], plain[0] / 2)
    assert not last[2].any()
    for i, each in enumerate(plain):
        assert i == 0 or np.array_equal(first[i], each)
        assert i == 2 or np.array_equal(last[i], each)
    with_zero = steps(engine, replace(reference, output_weights=0.0))
    assert with_zero[0, 0] == pytest.approx(np.log(10), abs=1e-5)


def test_scale_and_shift_are_in_the_saved_model_as_layers_of_keras(engine, reference):
    trial = replace(reference, normalization="unit", input_scale=10.0, input_shift=0.5, epochs=1)
    inputs = engine.inputs_of(trial)
    raw = engine.inputs(trial.data, trial.seed, "none").split.x_train
    np.testing.assert_allclose(inputs.split.x_train, raw / 255 * 10 + 0.5, rtol=1e-6)
    training = engine.train(trial, CheckpointPolicy.last())
    try:
        while True:
            next(training)
    except StopIteration as end:
        state = end.value.state
    model, _ = engine.deployable(trial, state)
    assert {type(layer).__module__.partition(".")[0] for layer in model.layers} == {"keras"}
    network = engine.compiled(trial, inputs).model
    state.restore_network(network)
    expected = network.predict(inputs.split.x_train[:8], verbose=0)
    np.testing.assert_allclose(
        model.predict(raw[:8].reshape(8, 8, 8).astype("uint8"), verbose=0), expected, rtol=1e-4
    )


def test_a_factor_beside_trainable_preprocessing_is_on_the_networks_own_kernel(engine, reference):
    trial = replace(reference, normalization="batch_norm", input_scale=1.0, epochs=1)
    inputs = engine.inputs_of(trial)
    plain = engine.compiled(trial, inputs)
    assert plain.model.variables[plain.first].shape == (3, 3, 1, 4)
    slow = moved(engine, replace(trial, input_rate=0.0))
    frozen = [i for i, each in enumerate(slow) if not each.any()]
    assert [slow[i].shape for i in frozen] == [(3, 3, 1, 4)]


@pytest.mark.parametrize("optimizer", [pytest.param("sgd", marks=pytest.mark.slow), "adam"])
def test_the_same_training_has_the_same_stable_rate(engine, reference, optimizer):
    """Although the curvature of the loss differs by far."""
    one, other = controls(replace(reference, optimizer=optimizer, model="test_dense"))["both"]
    stages = [diagnose(engine, trial).stages["after 10 steps"] for trial in (one, other)]
    assert stages[0].stable_rate == pytest.approx(stages[1].stable_rate, rel=0.01)


MISTAKES = {
    "no-length": ({"schedule": "warmup"}, "schedule warmup: cannot be built with no options: "
                  "ValueError: expected one of warmup_steps and warmup_epochs"),
    "both-lengths": ({"schedule": "warmup", "schedule_options": {"warmup_steps": 2, "warmup_epochs": 1}},
                     "expected one of warmup_steps and warmup_epochs"),
    "no-rate": ({"schedule": "step"}, "schedule step: cannot be built with no options: TypeError"),
    "hidden": ({"schedule": "test_hidden_length", "epochs": 4}, "register it with of_length=True"),
    "two-schedules": ({"optimizer": "test_decaying", "schedule": "warmup", "schedule_options": {"warmup_steps": 2}},
                      "it has a schedule of its own, so schedule must not be set"),
    "whitened": ({"normalization": "zca", "input_rate": "matched", "reference_normalization": "unit"},
                 'input_rate: "matched" needs normalizations that multiply all inputs by one number; zca does not'),
    "by-pixel": ({"input_rate": "matched", "reference_normalization": "pixel_standardize"},
                 "pixel_standardize does not"),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "text"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_reported_before_the_first_trial(engine, reference, changed, text):
    trial = replace(reference, model="test_dense", input_scale=1.0, **changed)
    with pytest.raises(SweepError) as caught:
        engine.preflight(PreflightRequest((trial,), ("none",), "cpu"))
    assert text in caught.value.lines[0]
