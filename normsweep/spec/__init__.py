"""What is asked: the sweep file as typed values, and the values that travel between the parts."""

from normsweep.spec.catalog import Catalog
from normsweep.spec.loading import find_sweep, load_sweep, shipped_sweeps
from normsweep.spec.space import Choice, Condition, Dimension, Range, Scalar, Space
from normsweep.spec.sweep import Baseline, Confirm, Data, Execution, Model, Search, Sweep
from normsweep.spec.trial import DataKey, Epoch, Record, Result, Status, Trial

__all__ = [
    "Baseline",
    "Catalog",
    "Choice",
    "Condition",
    "Confirm",
    "Data",
    "DataKey",
    "Dimension",
    "Epoch",
    "Execution",
    "Model",
    "Range",
    "Record",
    "Result",
    "Scalar",
    "Search",
    "Space",
    "Status",
    "Sweep",
    "Trial",
    "find_sweep",
    "load_sweep",
    "shipped_sweeps",
]
