"""What is asked: the sweep file as typed values, and the values that travel between the parts."""

from normsweep.spec.catalog import Catalog
from normsweep.spec.configuration import (
    BASELINE,
    TUNED_LONG,
    TUNED_SHORT,
    Configuration,
    Look,
)
from normsweep.spec.loading import Draft, find_sweep, load_sweep, shipped_sweeps
from normsweep.spec.space import Choice, Condition, Dimension, Range, Scalar, Space
from normsweep.spec.sweep import (
    QUESTIONS,
    Baseline,
    Confirm,
    Data,
    Execution,
    Model,
    Search,
    Sweep,
    is_name,
)
from normsweep.spec.trial import (
    CONFIRM,
    SEARCH,
    DataKey,
    Epoch,
    Record,
    Result,
    Status,
    Tested,
    Trial,
)

__all__ = [
    "BASELINE",
    "CONFIRM",
    "QUESTIONS",
    "SEARCH",
    "TUNED_LONG",
    "TUNED_SHORT",
    "Baseline",
    "Catalog",
    "Choice",
    "Condition",
    "Configuration",
    "Confirm",
    "Data",
    "DataKey",
    "Dimension",
    "Draft",
    "Epoch",
    "Execution",
    "Look",
    "Model",
    "Range",
    "Record",
    "Result",
    "Scalar",
    "Search",
    "Space",
    "Status",
    "Sweep",
    "Tested",
    "Trial",
    "find_sweep",
    "is_name",
    "load_sweep",
    "shipped_sweeps",
]
