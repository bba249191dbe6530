"""How parts that are not normsweep's own come to the processes that train.

Functions of installed packages go by their names, all others whole: those of a notebook or a script,
and of modules beside them, which a node of a cluster does not have.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from normsweep.errors import SweepError
from normsweep.parts.registry import Part, Registry
from normsweep.sweep.problems import shown

__all__ = ["packed", "unpack"]


def packed(registries: Sequence[Registry]) -> bytes:
    """The foreign parts of registries; empty where there are none.

    Raises:
        SweepError: a function holds what cannot be sent to another process.
    """
    foreign = [
        (registry.kind, part) for registry in registries for part in registry if part.foreign
    ]
    if not foreign:
        return b""
    with _whole(_local_modules()):
        return pickle.dumps([(kind, part.name, _packed(kind, part)) for kind, part in foreign])


def unpack(content: bytes, registries: Sequence[Registry]) -> None:
    """Register the parts that `packed` packed.

    Raises:
        SweepError: a part cannot be had here.
    """
    by_kind = {registry.kind: registry for registry in registries}
    for kind, name, part in pickle.loads(content) if content else ():
        try:
            function, details = pickle.loads(part)
            by_kind[kind].register(name, details)(function)
        except Exception as error:
            raise SweepError(
                f"{kind} {shown(name)}: cannot be had where trials run: {_reason(error)}; legal: a "
                "part whose packages are installed there too"
            ) from None


def _packed(kind: str, part: Part) -> bytes:
    import cloudpickle

    try:
        return cloudpickle.dumps((part.function, part.details))
    except Exception as error:
        raise SweepError(
            f"{kind} {shown(part.name)}: cannot be sent to another process: {_reason(error)}; legal: a "
            "function that holds no open file, lock or the like, or the executor inline"
        ) from None


@contextlib.contextmanager
def _whole(modules: Sequence[ModuleType]) -> Iterator[None]:
    """Have what these modules define pickled itself, and not by its name."""
    import cloudpickle

    known = cloudpickle.list_registry_pickle_by_value()
    added = [module for module in modules if module.__name__ not in known]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)


def _local_modules() -> list[ModuleType]:
    """Modules that are no part of an installed package, of Python or of normsweep."""
    return [
        module
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType)
        and module.__name__ == name
        and name.partition(".")[0] not in ("normsweep", "__main__", "__mp_main__")
        and (file := getattr(module, "__file__", None))
        and not _installed(_root(name, Path(file)))
    ]


def _root(name: str, file: Path) -> Path:
    """The folder from which a module's outermost package is imported."""
    levels = name.count(".") + (file.stem == "__init__")
    return file.parents[min(levels, len(file.parents) - 1)]


@functools.cache
def _installed(root: Path) -> bool:
    """Whether packages are installed in a folder, wherever it is, or Python itself."""
    python = {Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib")}
    named = root.name in ("site-packages", "dist-packages")
    of_python = any(folder in python for folder in (root.resolve(), *root.resolve().parents))
    return named or of_python or any(root.glob("*.dist-info"))


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
