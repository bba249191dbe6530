"""The best model of each arm in MLflow's registry: one registered model a study, an alias an arm."""

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

OWNER = "normsweep.study"
"""The tag by which a registered model is known as a study's."""


ID = "normsweep.study_id"
"""The tag that tells studies of one name apart."""


STORAGE = "normsweep.storage_id"
"""The tag that names the database of the study: another one's runs and models are not ours to delete."""


ARM, MODEL = "normsweep.arm", "normsweep.model_id"


def registered_as_ours(client: MlflowClient, study: str, study_id: str) -> bool | None:
    """Whether the registered model of a study's name is the study's; None where there is none."""
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
) -> bool:
    """Have an alias of the study's registered model mean a logged model; once, however often asked.

    `own` are the tags by which the registered model is known as the study's.

    Returns:
        False where a registered model of that name is somebody else's: it is left alone.
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
            description=f"arm: {arm}",
            model_id=model_id,
            await_creation_for=0,  # it is ready at once, and a server of nonsense never is
        )
        version = str(made.version)
    if _meant(client, study, alias) != version:
        client.set_registered_model_alias(study, alias, version)
    return True


def _version(client: MlflowClient, study: str, model_id: str) -> str | None:
    """The version that holds a logged model, where it was registered before."""
    versions = client.search_model_versions(f"name = '{study}'", max_results=1000)
    # By a tag of ours: databases do not keep a version's own `model_id`.
    return next((str(v.version) for v in versions if v.tags.get(MODEL) == model_id), None)


def _meant(client: MlflowClient, study: str, alias: str) -> str | None:
    try:
        return str(client.get_model_version_by_alias(study, alias).version)
    except MlflowException:
        return None


@dataclass(frozen=True)
class SavedModel:
    """A model in MLflow's format, as it travels from where trials run."""

    files: Mapping[str, bytes]
    """By their paths within the model's folder."""
    val_accuracy: float
    """Accuracy of the saved model on the raw images of the validation split."""

    def write(self, folder: Path) -> None:
        """Write the files below a folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


@mlflow_settings()
def save_model(engine: KerasEngine, trial: Trial, state: ModelState) -> SavedModel:
    """The trained network, its normalization in front, with signature and input example.

    The model is made of Keras's own layers and takes images as the dataset has them, in their
    own dtype, so `mlflow.pyfunc.load_model` needs nothing of normsweep.
    """
    import keras
    from mlflow.keras import save_model as save_keras_model
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    model, data = engine.deployable(trial, state)
    images = data.x_train.reshape(-1, *data.sample_shape)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(images.dtype, (-1, *data.sample_shape))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, data.classes))]),
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
            # Inferring them would take seconds and import everything.
            pip_requirements=[f"{name}=={version(name)}" for name in ("keras", backend, "numpy")],
        )
        paths = [path for path in folder.rglob("*") if path.is_file()]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        return SavedModel(files, _val_accuracy(data, trial, folder))


def _val_accuracy(data: Dataset, trial: Trial, folder: Path) -> float:
    from mlflow.keras import load_model

    parts = split(data, trial.data.validation_split, trial.seed)
    images = parts.x_val.reshape(-1, *data.sample_shape)
    model: Any = load_model(str(folder))
    predicted = model.predict(images, batch_size=512, verbose=0)
    return float(np.mean(predicted.argmax(axis=1) == parts.y_val))
