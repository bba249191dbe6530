"""The projection of a study to MLflow: the only package that imports it."""

from normsweep.tracking.finding import find_page, opened
from normsweep.tracking.models import SavedModel, save_model
from normsweep.tracking.registry import aliases, model_uri
from normsweep.tracking.removal import (
    Holdings,
    all_holdings,
    holdings,
    registered_studies,
    remove,
)
from normsweep.tracking.tracker import Tracker, TrackingFailed, ready_store
from normsweep.tracking.views import ARMS_VIEW, CONFIRM_VIEW, TRIALS_VIEW

__all__ = [
    "ARMS_VIEW",
    "CONFIRM_VIEW",
    "TRIALS_VIEW",
    "Holdings",
    "SavedModel",
    "Tracker",
    "TrackingFailed",
    "aliases",
    "all_holdings",
    "find_page",
    "holdings",
    "model_uri",
    "opened",
    "ready_store",
    "registered_studies",
    "remove",
    "save_model",
]
