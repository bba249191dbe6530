"""The opponent of the benchmarks: a plain Keras script inside Optuna's `study.optimize`, logged to MLflow.

    python -m benchmarks.opponent DATA.npz --trials trials.json

The model, the float32 arrays, the one-hot labels and `model.fit` are those of
examples/original_script.py; every trial builds and compiles a new model. Optuna and MLflow use SQLite, as
in normsweep, and normsweep is not imported.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import mlflow
import numpy as np
import optuna
from keras import Input, Sequential
from keras.layers import Conv2D, Dense, Flatten, MaxPooling2D
from keras.utils import to_categorical

parser = argparse.ArgumentParser(description="Plain Optuna, Keras and MLflow.")
parser.add_argument("data", help="an .npz of x_train, y_train, x_test, y_test")
parser.add_argument("--trials", type=Path, required=True, help="a JSON list of configurations")
parser.add_argument("--precision", default="float32", help="Keras's dtype policy")
parser.add_argument("--output", type=Path, help="a JSON file for the results of the trials")
arguments = parser.parse_args()

optuna.logging.set_verbosity(optuna.logging.WARNING)
keras.config.set_dtype_policy(arguments.precision)
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("opponent")

data = np.load(arguments.data)
X_train = data["x_train"].reshape(*data["x_train"].shape[:3], -1).astype("float32")
RANGE = float(X_train.max())
y_train = to_categorical(data["y_train"])


def build(optimizer):
    model = Sequential()
    model.add(Input(X_train.shape[1:]))
    model.add(Conv2D(20, kernel_size=5, padding="same", activation="relu"))
    model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2)))
    model.add(Conv2D(50, kernel_size=5, padding="same", activation="relu"))
    model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2)))
    model.add(Flatten())
    model.add(Dense(500, activation="relu"))
    model.add(Dense(y_train.shape[1], activation="softmax", dtype="float32"))
    model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    return model


def normalized(scheme):
    if scheme == "unit":
        return X_train / RANGE
    if scheme == "standardize":
        return (X_train - X_train.mean()) / X_train.std()
    return X_train


def objective(trial):
    scheme = trial.suggest_categorical("normalization", ["none", "unit", "standardize"])
    name = trial.suggest_categorical("optimizer", ["sgd", "adam"])
    learning_rate = trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True)
    epochs = trial.suggest_int("epochs", 1, 20)
    keras.utils.set_random_seed(trial.suggest_int("seed", 0, 1000))
    kinds = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}
    model = build(kinds[name](learning_rate))
    with mlflow.start_run(run_name=f"{trial.number:03d} {scheme}"):
        mlflow.log_params(trial.params)
        log = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: mlflow.log_metrics(logs, step=epoch + 1)
        )
        began = time.perf_counter()
        history = model.fit(
            normalized(scheme),
            y_train,
            batch_size=128,
            epochs=epochs,
            verbose=0,
            validation_split=0.2,
            callbacks=[log],
        )
    trial.set_user_attr("fit_seconds", time.perf_counter() - began)
    return history.history["val_accuracy"][-1]


study = optuna.create_study(
    storage="sqlite:///optuna.db", study_name="opponent", direction="maximize"
)
planned = json.loads(arguments.trials.read_text())
for params in planned:
    study.enqueue_trial(params)
study.optimize(objective, n_trials=len(planned))

best = study.best_trial
print(f"best: {best.value:.4f} with {best.params}")
if arguments.output:
    results = [{**t.params, "val_accuracy": t.value, **t.user_attrs} for t in study.trials]
    arguments.output.write_text(json.dumps(results))
