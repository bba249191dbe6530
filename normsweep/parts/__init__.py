"""The components of a trial: registries of normalizations, datasets, models, optimizers, schedules,
callbacks and metrics.

Importing this package imports no Keras: a component imports what it needs when it is called.
"""

from normsweep.parts import (
    callbacks,
    datasets,
    metrics,
    models,
    normalizations,
    optimizers,
    schedules,
)
from normsweep.parts.dataset import Dataset
from normsweep.parts.metrics import ACCURACY, Metric, metric

__all__ = [
    "ACCURACY",
    "Dataset",
    "Metric",
    "callbacks",
    "datasets",
    "metric",
    "metrics",
    "models",
    "normalizations",
    "optimizers",
    "schedules",
]
