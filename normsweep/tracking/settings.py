"""Settings of MLflow that apply only in our calls."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from normsweep.process_wide import Shared, log_levels

__all__ = ["mlflow_settings"]

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Failed requests are made again later, so MLflow does not retry: if a slow server had accepted
    # the first request, a retry would create a second run that never ends.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Variables that MLflow reads with each request; those that the user has set are kept."""


LEVELS = {
    "mlflow": logging.WARNING,
    # It logs every database error with its traceback; the error is also raised, and reported by us.
    "mlflow.store.db.utils": logging.CRITICAL,
}


def _change() -> Callable[[], None]:
    added = [name for name in ENVIRONMENT if name not in os.environ]
    os.environ.update({name: ENVIRONMENT[name] for name in added})
    restore_levels = log_levels(LEVELS)

    def restore() -> None:
        for name in added:
            os.environ.pop(name, None)
        restore_levels()

    return restore


mlflow_settings = Shared(_change)
"""A context with our settings of MLflow; afterwards those of the process are restored."""
