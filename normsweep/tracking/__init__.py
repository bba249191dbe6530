"""The projection of a study to MLflow: the only package that imports it."""

from normsweep.tracking.models import SavedModel, save_model
from normsweep.tracking.tracker import Tracker, TrackingFailed

__all__ = ["SavedModel", "Tracker", "TrackingFailed", "save_model"]
