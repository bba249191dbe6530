"""Initial weights that are kept, and models that come with more than layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from normsweep.errors import SweepError
from normsweep.parts import models
from normsweep.sweep.trial import Result, Trial
from normsweep.training.compiled_network import model_digest
from normsweep.training.keras_engine import KerasEngine, network_digest
from normsweep.training.preflight import PreflightRequest
from tests.training.test_own_steps import own_trial, run_to_end


@models.register("test_transfer")
def transfer(input_shape, classes):
    """A frozen layer, which a user would load, and one that is trained."""
    body = keras.layers.Dense(6, activation="relu", name="body", trainable=False)
    head = keras.layers.Dense(classes, activation="softmax", name="head")
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), body, head])


@pytest.fixture(scope="module")
def engine(digits_root: Path) -> KerasEngine:
    return KerasEngine(digits_root)


@pytest.fixture(scope="module")
def trial(digits_key) -> Trial:
    return own_trial(digits_key, model="test_transfer", epochs=1, normalization="unit")


def weights(engine: KerasEngine, trial: Trial) -> list[np.ndarray]:
    """Those of body and head, before a training."""
    network = engine.compiled(trial, engine.inputs_of(trial)).network
    return [np.array(layer.kernel) for layer in network.layers if layer.name in ("body", "head")]


def trained(engine: KerasEngine, trial: Trial) -> Result:
    result = run_to_end(engine.train(trial)).result
    assert not result.error, result.error
    return result


@pytest.mark.parametrize("normalization", ["unit", "batch_norm"])
@pytest.mark.parametrize(
    ("initial", "alike"), [("drawn", [False, False]), ("frozen", [True, False]), ("built", [True, True])]
)  # fmt: skip
def test_what_a_seed_varies(engine, trial, initial, alike, normalization):
    one, other = (
        replace(trial, initial=initial, seed=seed, normalization=normalization) for seed in (3, 4)
    )
    pairs = zip(weights(engine, one), weights(engine, other), strict=True)
    assert [np.array_equal(a, b) for a, b in pairs] == alike


def test_the_kept_weights_are_recorded_by_digest(engine, trial):
    results = [trained(engine, replace(trial, initial="frozen", seed=seed)) for seed in (3, 4)]
    digests = {result.machine["initial_digest"] for result in results}
    assert len(digests) == 1
    assert len(digests.pop()) == 64
    assert "initial_digest" not in engine.identity(trial)
    every = engine.identity(replace(trial, initial="built"))["initial_digest"]
    assert every != results[0].machine["initial_digest"]
    again = replace(trial, initial="frozen", seed=4)
    body, head = weights(engine, again)
    trained(engine, again)
    network = engine.compiled(trial, engine.inputs_of(trial)).network  # reset to what is drawn
    assert not np.array_equal(np.array(network.get_layer("body").kernel), body)
    assert head.shape == (6, 10)


@pytest.fixture
def given(trial: Trial):
    """A model object, compiled as in a script, and the trial of it."""
    with models.registry.temporarily(models.OWN, models.Copies(transfer((8, 8, 1), 10))):
        copies = models.registry[models.OWN].function
        copies.model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        yield copies.model, replace(trial, model=models.OWN)


def test_a_model_object_is_copied_with_its_weights_or_without(engine, given):
    model, trial = given
    own = [np.array(layer.kernel) for layer in model.layers if layer.name in ("body", "head")]
    kept = weights(engine, replace(trial, initial="built"))
    for one, other in zip(kept, own, strict=True):
        np.testing.assert_array_equal(one, other)
    drawn = weights(engine, trial)
    assert not any(np.array_equal(a, b) for a, b in zip(drawn, own, strict=True))
    trained(engine, replace(trial, initial="built"))
    for one, layer in zip(own, (model.get_layer("body"), model.get_layer("head")), strict=True):
        np.testing.assert_array_equal(one, layer.kernel, "the object itself is not trained")
    engine.preflight(PreflightRequest((trial,), ("unit",), "cpu"))
    before = network_digest(engine, trial)
    assert before != model_digest(model), "other weights are another model"
    model.get_layer("head").kernel.assign(own[1] + 1)
    assert network_digest(engine, trial) != before


def test_a_copy_keeps_what_the_layers_of_a_model_object_were_adapted_to(engine, trial):
    images = np.random.default_rng(0).normal(100, 20, (50, 8, 8, 1)).astype("float32")
    adapted = keras.layers.Normalization(axis=None, name="adapted")
    adapted.adapt(images)
    body = transfer((8, 8, 1), 10)
    model = keras.Sequential([keras.Input((8, 8, 1)), adapted, body])
    with models.registry.temporarily(models.OWN, models.Copies(model)):
        copies = models.registry[models.OWN].function
        same = copies.built((8, 8, 1), 10).predict_on_batch(images)
        np.testing.assert_allclose(same, model.predict_on_batch(images), rtol=1e-5)
        for initial in ("drawn", "built"):
            given = replace(trial, model=f"{models.OWN}@adapted", initial=initial)
            network = engine.compiled(given, engine.inputs_of(given)).network
            outputs = np.asarray(network.get_layer("adapted")(images))
            assert (abs(outputs.mean()) < 0.01, abs(outputs.std() - 1) < 0.01) == (True, True)


class OwnStep(keras.Model):
    def train_step(self, data):
        raise AssertionError("not called")


def built(kind=keras.Model, **compiled):
    inner = transfer((8, 8, 1), 10)
    model = kind(inner.inputs, inner.outputs)
    if compiled:
        model.compile("adam", **compiled)
    return lambda shape, classes: model


REFUSED = {
    "loss": (built(loss="mse"), {}, ("unit",), "compiled with the loss mse, which would not be used"),
    "smoothed": (built(loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1)), {}, ("unit",),
                 "compiled with the loss categorical_crossentropy with options, which"),
    "metrics": (built(loss="categorical_crossentropy", metrics=["accuracy", keras.metrics.AUC()]), {}, ("unit",),
                "compiled with the metrics auc, which would not be used"),
    "own-step": (built(OwnStep), {}, ("unit", "batch_norm"),
                 "its own train_step would not be called with the normalization batch_norm"),
    "none-frozen": (lambda shape, classes: keras.Sequential(
                        [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes, activation="softmax")]),
                    {"initial": "frozen"}, ("unit",), 'the model own has none; use "built" to keep all weights'),
}  # fmt: skip


@pytest.mark.parametrize(("build", "changed", "names", "said"), REFUSED.values(), ids=REFUSED)
def test_what_would_be_dropped_is_refused_by_name(engine, trial, build, changed, names, said):
    with models.registry.temporarily(models.OWN, build):
        given = replace(trial, model=models.OWN, **changed)
        with pytest.raises(SweepError) as caught:
            engine.preflight(PreflightRequest((given,), names, "cpu"))
    assert said in caught.value.lines[0]
