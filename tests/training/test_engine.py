from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from normsweep.parts import models, optimizers
from normsweep.parts.dataset import Dataset
from normsweep.sweep.trial import CONFIRM, DataKey, Epoch, Result, Status, Trial
from normsweep.training.engine import Engine, Finished
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.preflight import PreflightRequest
from normsweep.training.preprocessing import split
from normsweep.training.snapshot import CheckpointPolicy, Snapshot
from normsweep.training.synthetic_engine import SyntheticEngine


@models.register("test_dropout")
def dropout_network(input_shape, classes):
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


@models.register("test_adding_up")
def adding_up_network(input_shape, classes):
    """A network whose metrics go on over batches, as those of some versions of Keras do."""
    import keras

    class AddingUp(keras.Sequential):
        def train_on_batch(self, *args, **options):
            return self._going_on(super().train_on_batch, args, options)

        def test_on_batch(self, *args, **options):
            return self._going_on(super().test_on_batch, args, options)

        def _going_on(self, method, args, options):
            type(self).own = False
            try:
                return method(*args, **options)
            finally:
                type(self).own = True

        def reset_metrics(self):
            if getattr(type(self), "own", True):
                super().reset_metrics()

    return AddingUp(small_layers(input_shape, classes))


@models.register("test_small")
def small_network(input_shape, classes):
    import keras

    return keras.Sequential(small_layers(input_shape, classes))


def small_layers(input_shape, classes):
    import keras

    return [
        keras.Input(input_shape),
        keras.layers.Flatten(),
        keras.layers.Dense(classes, activation="softmax", dtype="float32"),
    ]


CALLS: list[str] = []
"""Each is a call of a layer in Python: when a network is built, or a step is traced."""


@models.register("test_counting")
def counting_network(input_shape, classes):
    import keras

    class Counting(keras.layers.Layer):
        def call(self, x):
            CALLS.append(self.name)
            return x

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            Counting(),
            keras.layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
    )


@models.register("test_broken")
def broken_network(input_shape, classes):
    raise RuntimeError("this network cannot be built")


def run(
    engine: Engine,
    trial: Trial,
    policy: CheckpointPolicy | None = None,
    start: Snapshot | None = None,
) -> Finished:
    training = engine.train(trial, policy, start)
    try:
        while True:
            next(training)
    except StopIteration as end:
        return end.value


def curve(result: Result) -> list[tuple[float, ...]]:
    return [(e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy) for e in result.curve]


@pytest.fixture(scope="module")
def engine(digits_root: Path) -> KerasEngine:
    return KerasEngine(digits_root)


@pytest.fixture(scope="module")
def trial(digits_key: DataKey) -> Trial:
    return Trial(
        number=0, arm="unit", slot=0, seed=3, data=digits_key, model="mlp",
        model_options={"units": 16, "layers": 1}, normalization="unit", optimizer="adam",
        optimizer_options={}, learning_rate=0.01, batch_size=64, epochs=3,
    )  # fmt: skip


REUSED = [
    ("mlp", "adam"),
    ("lenet", "sgd"),
    ("test_dropout", "adam"),
    *(
        pytest.param(*pair, marks=pytest.mark.slow)
        for pair in (("mlp", "sgd"), ("lenet", "adam"), ("test_dropout", "sgd"))
    ),
]


@pytest.mark.parametrize(("model", "optimizer"), REUSED)
def test_a_reused_compiled_model_gives_the_bits_of_a_fresh_one(
    engine, digits_root, trial, model, optimizer
):
    options = trial.model_options if model == "mlp" else {}
    trial = replace(trial, model=model, model_options=options, optimizer=optimizer, epochs=2)
    fresh = run(KerasEngine(digits_root), trial).result
    first = run(engine, trial).result
    run(engine, replace(trial, seed=4, learning_rate=0.5, normalization="none"))
    again = run(engine, trial).result
    assert fresh.status is Status.COMPLETE, fresh.error
    assert curve(fresh) == curve(first) == curve(again)


def test_the_seed_changes_split_weights_and_order(engine, trial):
    assert curve(run(engine, trial).result) != curve(run(engine, replace(trial, seed=4)).result)


@pytest.mark.parametrize("normalization", ["unit", "batch_norm"])
def test_a_shorter_trial_is_a_prefix_of_a_longer_one(engine, trial, normalization):
    trial = replace(trial, normalization=normalization)
    long = run(engine, trial).result
    short = run(engine, replace(trial, epochs=1)).result
    assert curve(short) == curve(long)[:1]


def test_training_learns(engine, trial):
    result = run(engine, replace(trial, epochs=8)).result
    assert result.score > 0.85
    assert result.curve[-1].train_loss < result.curve[0].train_loss / 2


def test_a_loss_that_is_not_finite_ends_the_trial_as_diverged(engine, trial):
    bad = replace(trial, normalization="none", optimizer="sgd", learning_rate=1e30)
    finished = run(engine, bad, CheckpointPolicy.last())
    assert finished.result.status is Status.DIVERGED
    assert finished.result.score == pytest.approx(0.1)
    assert not finished.result.curve[-1].finite
    assert len(finished.result.curve) < bad.epochs + 1


def test_a_failing_network_is_a_status_with_the_reason(engine, trial):
    result = run(engine, replace(trial, model="test_broken", model_options={})).result
    assert result.status is Status.CRASHED
    assert "this network cannot be built" in result.error
    assert math.isnan(result.score)


def test_a_trial_that_is_told_to_stop_is_pruned(engine, trial):
    training = engine.train(trial)
    assert isinstance(next(training), Epoch)
    with pytest.raises(StopIteration) as end:
        training.send(False)
    assert end.value.value.result.status is Status.PRUNED
    assert len(end.value.value.result.curve) == 1


def test_the_state_is_given_back_only_above_the_bar(engine, trial):
    assert run(engine, trial).state is None
    assert run(engine, trial, CheckpointPolicy(final=1.0)).state is None
    assert run(engine, trial, CheckpointPolicy(final=0.0)).state is not None


def test_a_state_survives_saving_bit_for_bit(engine, trial, tmp_path):
    finished = run(
        engine, replace(trial, model="test_dropout", model_options={}), CheckpointPolicy.last()
    )
    state = finished.state
    assert state is not None
    Snapshot(finished.result, state).save(tmp_path / "state.npz")
    snapshot = Snapshot.load(tmp_path / "state.npz")
    loaded = snapshot.state
    assert snapshot.so_far.to_json() == finished.result.to_json()
    for before, after in zip(
        (*state.model, *state.optimizer), (*loaded.model, *loaded.optimizer), strict=True
    ):
        np.testing.assert_array_equal(before, after)
        assert before.dtype == after.dtype


def test_the_deployed_model_takes_raw_images_and_gives_the_trials_accuracy(engine, trial):
    from normsweep.training.preprocessing import split

    for normalization in ("standardize", "batch_norm", "zca"):
        finished = run(engine, replace(trial, normalization=normalization), CheckpointPolicy.last())
        assert finished.state is not None
        deployed = replace(trial, normalization=normalization)
        model, data = engine.deployable(deployed, finished.state)
        parts = split(data, trial.data.validation_split, trial.seed)
        raw = parts.x_val[..., 0]
        assert raw.dtype == np.uint8
        predicted = model.predict(raw, verbose=0).argmax(axis=1)
        assert np.mean(predicted == parts.y_val) == pytest.approx(finished.result.score, abs=0.004)


def test_where_it_ran_is_recorded(engine, trial):
    machine = run(engine, trial).result.machine
    assert machine["device"].startswith(("CPU", "GPU"))
    assert len(machine["model_digest"]) == 64
    assert {"threads", "backend", "keras_version", "python_version"} <= machine.keys()


def test_the_model_digest_does_not_depend_on_what_was_built_before(engine, digits_root, trial):
    before = run(KerasEngine(digits_root), trial).result.machine["model_digest"]
    run(engine, replace(trial, model="lenet", model_options={}, epochs=1))
    after = run(KerasEngine(digits_root), trial).result.machine["model_digest"]
    other = replace(trial, model_options={"units": 17, "layers": 1})
    assert before == after != run(engine, other).result.machine["model_digest"]


def test_figures_of_an_epoch_are_means_of_its_batches_where_keras_adds_them_up(engine, trial):
    small = replace(trial, model="test_small", model_options={})
    adding_up = replace(small, model="test_adding_up")
    assert curve(run(engine, adding_up).result) == curve(run(engine, small).result)


def test_the_synthetic_model_imports_no_backend(digits_root, digits_key):
    code = f"""
import sys
from pathlib import Path
from normsweep.sweep.trial import DataKey, Trial
from normsweep.training.synthetic_engine import SyntheticEngine
key = DataKey({digits_key.name!r}, {digits_key.digest!r}, 0.2)
trial = Trial(0, "none", 0, 0, key, "synthetic", {{}}, "none", "adam", {{}}, 1e-3, 128, 5)
epochs = list(SyntheticEngine(Path({str(digits_root)!r})).train(trial))
assert len(epochs) == 5
assert not {{"keras", "tensorflow", "jax"}} & set(sys.modules), "a backend was imported"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_synthetic_curve_has_the_planted_ceiling_and_extends_shorter_ones(digits_root, trial):
    engine = SyntheticEngine(digits_root)
    options = {"ceiling": {"unit": 0.9, "default": 0.5}, "noise": 0.0, "speed": 3.0}
    planted = replace(
        trial, model="synthetic", model_options=options, learning_rate=1e-3, epochs=10
    )
    long = run(engine, planted).result
    assert long.score == pytest.approx(0.9, abs=1e-6)
    assert curve(run(engine, replace(planted, epochs=4)).result) == curve(long)[:4]
    assert run(engine, replace(planted, arm="none")).result.score == pytest.approx(0.5, abs=1e-6)
    late = replace(planted, model_options={**options, "diverge_above": 1e-4})
    assert run(engine, late).result.status is Status.DIVERGED


def test_the_synthetic_engine_trains_nothing_else(digits_root, trial):
    result = run(SyntheticEngine(digits_root), trial).result
    assert result.status is Status.CRASHED
    assert "expected the model synthetic, got mlp" in result.error


def snapshots(engine: KerasEngine, trial: Trial, policy: CheckpointPolicy) -> list[Snapshot]:
    return [event for event in engine.train(trial, policy) if isinstance(event, Snapshot)]


@pytest.mark.parametrize(
    ("changes", "normalization"),
    [
        ({"optimizer": "sgd", "optimizer_options": {"momentum": 0.9}}, "unit"),
        ({"optimizer": "adam"}, "batch_norm"),
        ({"optimizer": "nadam", "model": "test_dropout", "model_options": {}}, "standardize"),
        ({"optimizer": "rmsprop", "phase": CONFIRM}, "unit"),
        ({"optimizer": "adam", "precision": "mixed_bfloat16"}, "unit"),
        ({"optimizer": "sgd", "precision": "mixed_float16"}, "batch_norm"),
    ],
)
def test_a_trial_that_goes_on_from_a_state_has_the_curve_of_one_that_was_never_stopped(
    engine, digits_root, trial, tmp_path, changes, normalization
):
    whole = replace(trial, number=7, epochs=5, normalization=normalization, **changes)
    short = run(engine, replace(whole, number=3, epochs=2), CheckpointPolicy.last())
    assert short.state is not None
    Snapshot(short.result, short.state).save(tmp_path / "state.npz")
    start = Snapshot.load(tmp_path / "state.npz")
    run(engine, replace(whole, seed=8, epochs=1))  # the compiled model is used for something else
    continued = run(engine, whole, CheckpointPolicy.last(), start)
    uninterrupted = run(KerasEngine(digits_root), whole, CheckpointPolicy.last())
    assert (continued.result.origin, continued.result.reused) == (3, 2)
    assert {epoch.trial for epoch in continued.result.curve} == {7}
    recorded = [Result.from_json(f.result.to_json()) for f in (continued, uninterrupted)]
    assert curve(recorded[0]) == curve(recorded[1])
    tested = [[epoch.tested for epoch in result.curve] for result in recorded]
    assert tested[0] == tested[1]
    assert continued.state is not None
    assert uninterrupted.state is not None
    for a, b in zip(continued.state.model, uninterrupted.state.model, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("epochs", "schedule", "decay_epochs"),
    [(2, "exponential", 1.0), (3, "exponential", 1.0), (3, "step", 4.0)],
)
def test_a_trial_with_a_schedule_goes_on_by_its_own(engine, trial, epochs, schedule, decay_epochs):
    """Its factors are kept for a power of two of steps: that of the longer trial, or of fewer.

    Those of the shorter trial may all be 1.
    """
    options = {"decay_rate": 0.5, "decay_epochs": decay_epochs}
    falls = {"schedule": schedule, "schedule_options": options, "batch_size": 300}
    short = run(engine, replace(trial, **falls, epochs=epochs), CheckpointPolicy.last())
    assert short.state is not None
    longer = replace(trial, **falls, number=8, epochs=5)
    went_on = run(engine, longer, None, Snapshot(short.result, short.state)).result
    assert went_on.reused == epochs
    assert curve(went_on) == curve(run(engine, longer).result)


@pytest.mark.parametrize("other", ["threads", "model_digest", "device"])
def test_a_state_from_another_machine_is_not_gone_on_from(engine, trial, other):
    short = run(engine, replace(trial, epochs=2), CheckpointPolicy.last())
    machine = {**short.result.machine, other: "another"}
    assert short.state is not None
    start = Snapshot(replace(short.result, machine=machine), short.state)
    result = run(engine, replace(trial, epochs=3), None, start).result
    assert (result.origin, result.reused) == (None, 0)
    assert curve(result) == curve(run(engine, replace(trial, epochs=3)).result)


def test_a_state_that_was_not_tested_is_not_gone_on_from_in_the_confirmation(engine, trial):
    short = run(engine, replace(trial, epochs=2), CheckpointPolicy.last())
    assert short.state is not None
    confirming = replace(trial, epochs=3, phase=CONFIRM)
    result = run(engine, confirming, None, Snapshot(short.result, short.state)).result
    assert result.reused == 0
    assert all(epoch.tested for epoch in result.curve)


def test_snapshots_are_given_while_a_trial_runs(engine, trial):
    longer = replace(trial, epochs=5)
    taken = snapshots(engine, longer, CheckpointPolicy(every=0.0))
    assert taken[0].epoch == 1
    assert all(snapshot.epoch < 5 for snapshot in taken), "the last state is given at the end"
    assert not snapshots(engine, longer, CheckpointPolicy(every=1e6))
    assert not snapshots(engine, longer, CheckpointPolicy())


def test_of_some_epochs_the_state_of_the_best_so_far_is_given(engine, trial):
    longer = replace(trial, epochs=6)
    accuracy = [epoch.val_accuracy for epoch in run(engine, longer).result.curve]
    wanted = {2, 3, 5}
    best = [
        e
        for e in wanted
        if accuracy[e - 1] > max([-1.0, *(accuracy[i - 1] for i in wanted if i < e)])
    ]
    taken = snapshots(engine, longer, CheckpointPolicy(epochs=frozenset(wanted)))
    assert [snapshot.epoch for snapshot in taken] == sorted(best)
    assert not snapshots(engine, longer, CheckpointPolicy(final=1.0, epochs=frozenset(wanted)))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_the_network_computes_in_its_precision_and_all_else_in_float32(engine, trial, precision):
    import keras

    mixed = replace(
        trial, precision=precision, normalization="standardize", model="lenet", model_options={}
    )
    compiled = engine.compiled(mixed, engine.inputs(mixed.data, mixed.seed, mixed.normalization))
    hidden, last = compiled.model.layers[0], compiled.model.layers[-1]
    assert (hidden.compute_dtype, last.compute_dtype) == (
        precision.removeprefix("mixed_"),
        "float32",
    )
    assert {str(variable.dtype) for variable in compiled.model.variables} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    result = run(engine, mixed).result
    assert result.status is Status.COMPLETE
    full = run(engine, replace(mixed, precision="float32")).result
    assert curve(result) != curve(full)
    assert result.machine["model_digest"] != full.machine["model_digest"]
    assert result.score == pytest.approx(full.score, abs=0.1)


@pytest.mark.parametrize(
    ("optimizer", "option", "values"),
    [("sgd", "momentum", (0.5, 0.9, 0.99)), ("adamw", "weight_decay", (0.004, 0.3))],
)
def test_trials_that_differ_in_a_setting_share_a_compiled_model_and_give_keras_own_bits(
    digits_root, trial, monkeypatch, optimizer, option, values
):
    import keras

    trials = [
        replace(trial, epochs=2, optimizer=optimizer, optimizer_options={option: value})
        for value in values
    ]
    shared = KerasEngine(digits_root)
    inputs = shared.inputs(trial.data, trial.seed, trial.normalization)
    models_used = {id(shared.compiled(each, inputs)) for each in trials}
    ours = [curve(run(shared, each).result) for each in trials]
    assert len(models_used) == 1
    assert len({str(each) for each in ours}) == len(values)
    plain = {"sgd": keras.optimizers.SGD, "adamw": keras.optimizers.AdamW}
    monkeypatch.setattr(optimizers, "_with_settings", lambda: plain)
    monkeypatch.setattr(optimizers, "SETTINGS", {})
    theirs = [curve(run(KerasEngine(digits_root), each).result) for each in trials]
    assert ours == theirs


def test_nothing_is_traced_again_from_trial_to_trial(engine, trial):
    """Learning rates, momenta, seeds, arms and epochs differ; the compiled steps are the first ones."""
    momenta = [round(0.5 + 0.01 * i, 2) for i in range(20)]
    trials = [
        replace(
            trial, epochs=1 + i % 2, seed=i % 3, normalization=("unit", "none")[i % 2],
            optimizer="sgd", optimizer_options={"momentum": momentum}, learning_rate=1e-4 * (i + 1),
        )
        for i, momentum in enumerate(momenta)
    ]  # fmt: skip
    counting = [replace(each, model="test_counting", model_options={}) for each in trials]
    run(engine, counting[0])
    built = len(CALLS)
    assert built
    for each in counting[1:]:
        assert run(engine, each).result.status is Status.COMPLETE
    # Fresh initial weights need a network for each new seed, which is called once to be built.
    seeds = len({each.seed for each in counting}) - 1
    assert len(CALLS) - built <= 2 * seeds


BY_COLUMN = '{"a": "quantile(normal)", "b": "log1p then standardize", "default": "unit"}'


@pytest.mark.parametrize(
    ("kind", "shape", "model", "options", "normalization"),
    [
        (None, (3,), "linear", {}, BY_COLUMN),
        ("signal", (9,), "cnn1d", {"filters": 2}, "standardize"),
        ("sequence", (9, 3), "lstm", {"units": 2, "cell": "gru"}, "sample_standardize"),
        ("tokens", (9,), "lstm", {"units": 2, "vocabulary": 20}, "none"),
    ],
    ids=["table", "signal", "sequence", "tokens"],
)
def test_inputs_of_each_kind_are_trained_on_and_the_saved_model_takes_them_raw(
    tmp_path, trial, kind, shape, model, options, normalization
):
    x, y = np.random.default_rng(0).integers(0, 20, (60, *shape)), np.arange(60) % 3
    data = replace(Dataset.of((x, y, x[:9], y[:9])), columns=("a", "b", "c"))
    data = data.seen_as(kind, full_scale=20.0, by_column=kind is None)
    engine, key = KerasEngine(tmp_path), DataKey("own", data.save(tmp_path), 0.2)
    own = replace(
        trial, data=key, model=model, model_options=options, normalization=normalization, epochs=1
    )
    found = engine.preflight(PreflightRequest((own,), (normalization,), "cpu"))
    assert found.empty == ()
    finished = run(engine, own, CheckpointPolicy.last())
    assert finished.result.status is Status.COMPLETE, finished.result.error
    assert finished.state is not None
    deployed, _ = engine.deployable(own, finished.state)
    validated = engine.inputs_of(own).split
    inner = engine.compiled(own, engine.inputs_of(own)).model
    finished.state.restore(inner)
    held = inner.predict_on_batch(validated.x_val)
    raw = np.delete(np.arange(60), split_rows(data, 0.2, own.seed))
    np.testing.assert_allclose(deployed.predict_on_batch(x[raw]), held, atol=1e-5)


def split_rows(data: Dataset, share: float, seed: int) -> np.ndarray:
    """The rows of a dataset that are in the training split."""
    numbered = replace(data, x_train=np.arange(len(data.x_train)))
    return split(numbered, share, seed).x_train
