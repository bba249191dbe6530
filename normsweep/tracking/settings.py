"""How MLflow behaves in our calls, and only there."""

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
    # What failed is logged later, so no request is repeated here: one that a server had taken, and
    # was too slow to answer, would make a second run that nobody ends.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Variables that MLflow reads with each request; what the user has set holds."""


LEVELS = {
    "mlflow": logging.WARNING,
    # It logs every database error with its traceback, which is raised as well, and reported in a line.
    "mlflow.store.db.utils": logging.CRITICAL,
}


_lock = threading.Lock()
_inside = 0
_levels: dict[str, int] = {}
_added: list[str] = []


@contextmanager
def mlflow_settings() -> Iterator[None]:
    """Our settings of MLflow while entered, the process's own afterwards.

    Environment and log levels are the process's, so of several threads the first sets them and the last
    puts them back.
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
                _put_back()


def _set() -> None:
    _added[:] = [name for name in ENVIRONMENT if name not in os.environ]
    os.environ.update({name: ENVIRONMENT[name] for name in _added})
    for name, level in LEVELS.items():
        logger = logging.getLogger(name)
        _levels[name] = logger.level
        logger.setLevel(level)


def _put_back() -> None:
    for name in _added:
        os.environ.pop(name, None)
    for name, level in _levels.items():
        logging.getLogger(name).setLevel(level)
