"""The best model of each arm in MLflow's registry: a registered model per study, an alias per arm."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from normsweep.parts.dataset import Dataset
from normsweep.parts.metrics import metric
from normsweep.sweep.parameters import REGRESSION
from normsweep.sweep.trial import Trial
from normsweep.tracking.settings import mlflow_settings
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.preprocessing import split
from normsweep.training.snapshot import ModelState

__all__ = [
    "OWNER",
    "SavedModel",
    "register",
    "registered_as_ours",
    "save_model",
]

HALF = 0.5
OWNER = "normsweep.study"
"""The tag with the name of a registered model's study."""


ID = "normsweep.study_id"
"""The tag with the id of the study, which distinguishes studies of the same name."""


STORAGE = "normsweep.storage_id"
"""The tag with the identity of the storage: runs and models of another storage are never deleted."""


ARM, MODEL = "normsweep.arm", "normsweep.model_id"


def registered_as_ours(client: MlflowClient, study: str, study_id: str) -> bool | None:
    """Whether the registered model of a study's name belongs to the study; None if there is none."""
    found = client.search_registered_models(f"name = '{study}'", max_results=1)
    if not found:
        return None
    tags = found[0].tags
    return tags.get(OWNER) == study and tags.get(ID, study_id) == study_id


def register(
    client: MlflowClient,
    study: str,
    own: Mapping[str, str],
    arm: str,
    alias: str,
    model_id: str,
    run_id: str,
    label: str,
) -> bool:
    """Set an alias of the study's registered model to a logged model, unless it is already.

    `own`: the tags that mark the registered model as the study's; `label`: the arm's.

    Returns:
        False if a registered model of that name belongs to somebody else; it is not changed.
    """
    ours = registered_as_ours(client, study, own[ID])
    if ours is False:
        return False
    if ours is None:
        text = (
            f"The best model of each arm of the study {study}, by validation; it takes raw inputs."
        )
        client.create_registered_model(study, tags={OWNER: study, **own}, description=text)
    version = _version(client, study, model_id)
    if version is None:
        made = client.create_model_version(
            study,
            client.get_logged_model(model_id).artifact_location,
            run_id,
            tags={ARM: arm, MODEL: model_id},
            description=f"arm: {label}",
            model_id=model_id,
            await_creation_for=0,  # it is ready at once; a broken server would never report it
        )
        version = str(made.version)
    if _aliased(client, study, alias) != version:
        client.set_registered_model_alias(study, alias, version)
    return True


def _version(client: MlflowClient, study: str, model_id: str) -> str | None:
    """The version of a logged model, if it is already registered."""
    versions = client.search_model_versions(f"name = '{study}'", max_results=1000)
    # By our own tag: databases do not store the `model_id` of a version.
    return next((str(v.version) for v in versions if v.tags.get(MODEL) == model_id), None)


def _aliased(client: MlflowClient, study: str, alias: str) -> str | None:
    try:
        return str(client.get_model_version_by_alias(study, alias).version)
    except MlflowException:
        return None


@dataclass(frozen=True)
class SavedModel:
    """A model in MLflow's format, as files that a worker can send."""

    files: Mapping[str, bytes]
    """Contents by path in the model's folder."""
    val_score: float
    """Score of the saved model on the raw images of the validation split: the accuracy, or in a regression
    the trial's metric."""

    def write(self, folder: Path) -> None:
        """Write the files below a folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


@mlflow_settings()
def save_model(engine: KerasEngine, trial: Trial, state: ModelState) -> SavedModel:
    """Save the trained network with its preprocessing, a signature and an input example.

    The model consists of Keras's own layers, and takes images with the values and dtype of the
    dataset, so `mlflow.pyfunc.load_model` does not need normsweep.
    """
    import keras
    from mlflow.keras import save_model as save_keras_model
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    model, data = engine.deployable(trial, state)
    images = data.x_train.reshape(-1, *data.sample_shape)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(images.dtype, (-1, *data.sample_shape))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, model.output_shape[-1]))]),
    )
    backend = keras.backend.backend()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "model"
        folder.mkdir()
        save_keras_model(
            model,
            str(folder),
            signature=signature,
            input_example=np.array(images[:2]),
            # Given, because inferring them would take seconds and import everything.
            pip_requirements=[f"{name}=={version(name)}" for name in ("keras", backend, "numpy")],
        )
        paths = [path for path in folder.rglob("*") if path.is_file()]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        return SavedModel(files, _val_score(data, trial, folder))


def _val_score(data: Dataset, trial: Trial, folder: Path) -> float:
    from mlflow.keras import load_model

    parts = split(data, trial.data.validation_split, trial.seed)
    images = parts.x_val.reshape(-1, *data.sample_shape)
    model: Any = load_model(str(folder))
    predicted = model.predict(images, batch_size=512, verbose=0)
    if data.task == REGRESSION:
        return metric(trial.metric).of(parts.y_val, predicted)
    of_one = predicted.shape[1] == 1  # the probability of the second class
    classes = predicted[:, 0] > HALF if of_one else predicted.argmax(axis=1)
    return float(np.mean(classes == parts.y_val))
