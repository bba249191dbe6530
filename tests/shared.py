"""What the processes of one session of tests share: made by the first that needs it, in one folder."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from filelock import FileLock

from normsweep.parts.catalog import REGISTRIES
from normsweep.store.storage import open_storage
from normsweep.tracking.client import ready_store

__all__ = ["only_parts_of", "place_stores", "plugins_forgotten", "root", "shared", "use"]

STORES = ("optuna.db", "mlflow.db")
_root: Path | None = None


def use(folder: Path) -> None:
    """The folder of this session; told by conftest.py."""
    global _root
    _root = folder


def root() -> Path:
    assert _root is not None, "the session has not begun"
    return _root


def shared(name: str, make: Callable[[Path], object]) -> Path:
    """The folder of that name, with what `make` puts into it once; to be read or copied only."""
    folder, done = root() / name, root() / f"{name}.done"
    with FileLock(root() / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def place_stores(folder: Path, *names: str) -> Path:
    """Databases with all tables and nothing in them, as a command makes them, in the folder.

    `optuna.db` and `mlflow.db`, or of these what is named. MLflow's 68 migrations take a second, and
    a copy none. What tests the making of tables, or a command's whole beginning, does without.
    """
    made = shared("stores", _make_stores)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or STORES:
        shutil.copyfile(made / name, folder / name)
    return folder


def _make_stores(folder: Path) -> None:
    open_storage(f"sqlite:///{folder}/optuna.db", create=True).remove_session()
    ready_store(f"sqlite:///{folder}/mlflow.db")


@contextmanager
def plugins_forgotten(folder: Path) -> Iterator[None]:
    """What is imported from the folder, and what is registered, is forgotten afterwards."""
    path, modules = [*sys.path], set(sys.modules)
    parts = {registry: dict(registry._parts) for registry in REGISTRIES}
    try:
        yield
    finally:
        sys.path[:] = path
        for registry, known in parts.items():
            registry._parts = known
        for name in set(sys.modules) - modules:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


@contextmanager
def only_parts_of(module: ModuleType) -> Iterator[None]:
    """Of the parts that tests register, only those of this module and of modules that it imports from.

    Whatever is registered goes to every worker process of a study, and what is registered in tests
    imports TensorFlow there.
    """
    known, removed = _imported_from(module), []
    for registry in REGISTRIES:
        for name, part in list(registry._parts.items()):
            if part.module.startswith("tests.") and part.module not in known:
                removed.append((registry, name, registry._parts.pop(name)))
    try:
        yield
    finally:
        for registry, name, part in removed:
            registry._parts.setdefault(name, part)


def _imported_from(module: ModuleType) -> set[str]:
    """The modules of tests that a module imports from, at any depth, and its own name."""
    found, waiting = set[str](), [module.__name__]
    while waiting:
        name = waiting.pop()
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None and name not in found:
            found.add(name)
            text = Path(file).read_text(encoding="utf-8")
            waiting += re.findall(r"^from (tests[\w.]*) import", text, re.M)
    return found
