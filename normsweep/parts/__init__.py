"""What a trial is made of: normalizations, datasets, models, optimizers, each by its name;
and the metrics that it is compared by.

Importing this package imports no Keras: a part imports what it needs when it is called.
"""

from normsweep.parts import datasets, metrics, models, normalizations, optimizers
from normsweep.parts.data import Dataset
from normsweep.parts.metrics import ACCURACY, Metric, metric
from normsweep.parts.registry import Part, Registry
from normsweep.parts.resolving import resolve_trial
from normsweep.spec import Catalog

__all__ = [
    "ACCURACY",
    "Dataset",
    "Metric",
    "Part",
    "Registry",
    "catalog",
    "datasets",
    "metric",
    "metrics",
    "models",
    "normalizations",
    "optimizers",
    "resolve_trial",
]


def catalog() -> Catalog:
    """The registered names and their options, as sweep files may use them."""
    return Catalog(
        normalizations=normalizations.registry.options(),
        optimizers=optimizers.registry.options(),
        models=models.registry.options(),
        datasets=datasets.registry.options(),
        metrics=metrics.registry.options(),
    )
