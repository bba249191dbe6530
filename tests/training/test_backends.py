"""Keras on JAX, where TensorFlow cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from normsweep.store.storage import read_study
from normsweep.sweep.trial import DataKey, Status

SWEEP = """
name = "jaxed"
reference = "unit"
[data]
dataset = "digits"
train_size = 160
[model]
name = "mlp"
precision = "auto"
options = { units = 8 }
[search]
trials = 2
[search.space]
normalization = ["none", "unit"]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
optimizer = "sgd"
momentum = { low = 0.5, high = 0.9 }
epochs = { low = 1, high = 2 }
[confirm]
seeds = 2
margin = 0.05
baseline = { optimizer = "sgd", epochs = 1 }
[execution]
stack = 2
"""
NO_TENSORFLOW = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ImportError("tensorflow is blocked")
sys.meta_path.insert(0, Blocked())
"""
"""As a module that Python imports at its start, in every process of the study."""


def test_a_whole_study_runs_on_jax_where_tensorflow_cannot_be_imported(tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(NO_TENSORFLOW)
    (tmp_path / "jaxed.toml").write_text(SWEEP)
    path = os.pathsep.join([str(hooks), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": "jax"}
    blocked = subprocess.run(
        [sys.executable, "-c", "import tensorflow"],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert b"tensorflow is blocked" in blocked.stderr
    done = subprocess.run(
        [sys.executable, "-m", "normsweep.study", "jaxed.toml", "--no-estimate"],
        cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    study = read_study(f"sqlite:///{tmp_path}/mlruns/optuna.db", "jaxed")
    assert study.precision == "float32", "XLA converts to float32 on a CPU"
    results = [record.result for record in study.trials]
    assert {result.status for result in results if result} == {Status.COMPLETE}
    assert {result.machine["backend"] for result in results if result} == {"jax"}
    assert {result.machine["stack"] for result in results if result} == {"2"}
    assert {result.loop for result in results if result} == {"stack"}
    assert "model of" not in done.stdout, "the best models were saved"
    for diagnosis in study.diagnoses.values():
        assert diagnosis.initialization.sharpness > 0
        assert all(stage.stable_rate > 0 for stage in diagnosis.after_steps)


EQUAL_BITS = """
import keras, numpy as np
from normsweep.training import compiled_epoch
from normsweep.training.compiled_epoch import Batches, OneByOne, Rows, epoch_loop

def network():
    keras.utils.set_random_seed(1)
    layers = [
        keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, kernel_regularizer="l2"),
        keras.layers.BatchNormalization(), keras.layers.Flatten(), keras.layers.Dropout(0.5),
        keras.layers.Dense(10, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    return model

def run(model, loop):
    images = loop.images(x, y)
    results = [loop.train(Batches(images, order, 100)) for order in orders]
    ended = loop.evaluate(Batches(images, np.arange(len(y)), 512))
    return [*results, ended, loop.predict(Batches(images, np.arange(len(y)), 512)),
            *map(np.array, (*model.variables, *model.optimizer.variables))]

rng = np.random.default_rng(0)
x, y = rng.random((730, 8, 8, 1), np.float32), rng.integers(0, 10, 730)
orders = [rng.permutation(730) for _ in range(2)]
plain, stepwise, sent = network(), network(), network()
expected = run(plain, OneByOne(plain))
loop = epoch_loop(stepwise, Rows((8, 8, 1), "float32"))
assert loop.name == "step"
found = [run(stepwise, loop)]
compiled_epoch.PART_BYTES = 250 * 256
found.append(run(sent, epoch_loop(sent, Rows((8, 8, 1), "float32"))))
for results in found:
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_array_equal(one, other)

x[300] = np.nan
values = loop.train(Batches(loop.images(x, y), orders[0], 100))
where = int(np.flatnonzero(orders[0] == 300)[0])
assert len(values) == where // 100 + 1 and np.isnan(values[-1, 0])

from normsweep.training.curvature import Curvature
x, y = x[:200], y[:200]
flat, dense = keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")
linear = keras.Sequential([keras.Input((8, 8, 1)), flat, dense])
shares, rows = np.array(linear.predict(x, verbose=0)), np.c_[x.reshape(200, -1), np.ones(200)]
spread = shares[:, :, None] * (np.eye(10) - shares[:, None, :])
hessian = np.einsum("nkl,ni,nj->kilj", spread, rows, rows, optimize=True).reshape(650, 650) / 200
largest = np.linalg.eigvalsh(hessian)[-1]
assert abs(Curvature(linear).sharpness(x, y) / largest - 1) < 0.03

import sys
from pathlib import Path
from tests.training.test_own_steps import assert_same_trainings
assert_same_trainings(Path(sys.argv[1]), sys.argv[2])
"""


def test_steps_on_jax_have_the_bits_of_batch_by_batch_and_own_steps_those_of_divided_inputs(
    digits_root: Path, digits_key: DataKey
) -> None:
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", EQUAL_BITS, str(digits_root), digits_key.digest], env=environment,
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
