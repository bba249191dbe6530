"""Settings of MLflow that apply only in our calls."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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


_lock = threading.Lock()
_inside = 0
_levels: dict[str, int] = {}
_added: list[str] = []


@contextmanager
def mlflow_settings() -> Iterator[None]:
    """A context with our settings of MLflow; afterwards those of the process are restored.

    Environment and log levels are shared by all threads: the first one to enter sets them, the last one
    to exit restores them.
    """
    global _inside
    with _lock:
        if not _inside:
            _set()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _restore()


def _set() -> None:
    _added[:] = [name for name in ENVIRONMENT if name not in os.environ]
    os.environ.update({name: ENVIRONMENT[name] for name in _added})
    for name, level in LEVELS.items():
        logger = logging.getLogger(name)
        _levels[name] = logger.level
        logger.setLevel(level)


def _restore() -> None:
    for name in _added:
        os.environ.pop(name, None)
    for name, level in _levels.items():
        logging.getLogger(name).setLevel(level)
