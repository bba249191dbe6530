"""What a trial is made of: normalizations, datasets, models, optimizers, each by its name.

Importing this package imports no Keras: a part imports what it needs when it is called.
"""

from normsweep.parts import datasets, models, normalizations, optimizers
from normsweep.parts.data import Dataset
from normsweep.parts.registry import Part, Registry
from normsweep.parts.resolving import resolve_trial
from normsweep.spec import Catalog

__all__ = [
    "Dataset",
    "Part",
    "Registry",
    "catalog",
    "datasets",
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
    )
