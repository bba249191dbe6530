"""The projection of a study to MLflow: the only package that imports it."""

from normsweep.tracking.models import SavedModel, save_model
from normsweep.tracking.tracker import Tracker, TrackingFailed, remote

__all__ = ["SavedModel", "Tracker", "TrackingFailed", "remote", "save_model"]
