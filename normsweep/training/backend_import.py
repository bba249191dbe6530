"""The import of the backend in a worker, without what it imports only in case it is there."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec

__all__ = ["lean_import"]

OPTIONAL = ("jax", "matplotlib", "sklearn")
"""Packages that TensorFlow and Keras import where they are installed: for conversions, galleries and
wrappers, none of which a worker uses. They take a third of the import's time."""


class _Missing:
    """An import hook: for one thread, packages that are not imported yet are not installed."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names, self._thread = names, threading.get_ident()

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in self._names and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is left out here", name=name)
        return None


@contextmanager
def lean_import() -> Iterator[None]:
    """While the backend is imported here, `OPTIONAL` is taken as not installed; later it is again.

    JAX is imported if it is the backend.
    """
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    hook = _Missing(tuple(name for name in OPTIONAL if name != backend))
    sys.meta_path.insert(0, hook)  # type: ignore[arg-type]
    try:
        yield
    finally:
        sys.meta_path.remove(hook)  # type: ignore[arg-type]
