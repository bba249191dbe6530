"""Saving an arm's best model as MLflow knows models; runs where trials run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from normsweep.parts import Dataset
from normsweep.sweep.trial import Trial
from normsweep.training import Engine, ModelState, split

__all__ = ["SavedModel", "save_model"]


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


def save_model(engine: Engine, trial: Trial, state: ModelState) -> SavedModel:
    """The trained network, its normalization in front, with signature and input example.

    The model is made of Keras's own layers and takes images as the dataset has them, in their
    own dtype, so `mlflow.pyfunc.load_model` needs nothing of normsweep.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
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
