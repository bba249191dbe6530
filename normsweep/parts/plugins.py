"""Plug-ins: modules that register parts of their own when they are imported.

A sweep names them under `plugins`; installed packages offer theirs as entry points of the group
`normsweep.parts`. To import a module is to run it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import pickle
import re
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from normsweep.errors import SweepError
from normsweep.parts.registry import Part, Registry
from normsweep.sweep.problems import Problem, shown
from normsweep.text import reason

__all__ = ["GROUP", "installed_plugins", "packed", "plugin_problems", "unpack"]

GROUP = "normsweep.parts"
"""The group of entry points."""


MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


LONGEST = 200


PACKING = threading.Lock()
"""Held while modules are marked for being pickled whole: the marks are the whole process's."""


Registries = Sequence[Registry]


LEGAL = "the names of modules, as my_module or my_package.parts"


LEGAL_PLACE = (
    "legal: a module in the sweep's folder, in the current one, or installed with this Python"
)


LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


OWN_NAME = "legal: a name that no other module has"


def plugin_problems(
    names: object, folders: Iterable[Path], registries: Registries
) -> Iterator[Problem]:
    """Import the modules that a sweep names; every one that cannot be had is a problem.

    Args:
        names: what the sweep has under `plugins`: a module's name, or a list of them.
        folders: where modules may lie beside those of the environment.
        registries: where they register.
    """
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list | tuple):
        yield Problem("plugins", f"received {shown(names)}; legal: {LEGAL}")
        return
    places = [str(folder.resolve()) for folder in folders]
    if listed:  # at the end: nothing there takes the place of a module that is installed
        sys.path += [place for place in dict.fromkeys(places) if place not in sys.path]
    for name in listed:
        if not isinstance(name, str) or len(name) > LONGEST or not MODULE.fullmatch(name):
            yield Problem("plugins", f"received {shown(name)}; legal: {LEGAL}")
        elif wrong := _shadowed(name, places) or _imported(name, registries):
            yield Problem("plugins", f"received {shown(name)}, which {wrong}")


def installed_plugins(registries: Registries) -> None:
    """Import what installed packages offer.

    Raises:
        SweepError: a line for each one that cannot be had.
    """
    from importlib.metadata import entry_points

    problems = [
        f"the plug-in {shown(point.value)} of the package {point.dist.name if point.dist else '?'} "
        + wrong
        for point in entry_points(group=GROUP)
        if (wrong := _imported(point.module, registries))
    ]
    if problems:
        raise SweepError(problems)


@contextlib.contextmanager
def _quiet_tensorflow() -> Iterator[None]:
    """TensorFlow, which many plug-ins import, says here as little as in workers."""
    before = os.environ.get(LOG_LEVEL)
    os.environ.setdefault(LOG_LEVEL, "3")
    try:
        yield
    finally:
        if before is None:
            del os.environ[LOG_LEVEL]


def _imported(name: str, registries: Registries) -> str:
    """Import a module that is to register parts; what is wrong with it, or nothing."""
    before = _count(registries)
    try:
        with _quiet_tensorflow():
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or f"{name}.".startswith(f"{error.name}."):
            return f"is not there; {LEGAL_PLACE}"
        return _failed(error)
    except (Exception, SystemExit) as error:
        return _failed(error)
    inside = (name, f"{name}.")
    registered = any(
        part.module == inside[0] or part.module.startswith(inside[1])
        for registry in registries
        for part in registry
    )
    if registered or _count(registries) != before:
        return ""
    return (
        "registers no part; legal: a module with a function decorated as "
        "@normsweep.parts.normalizations.register(NAME)"
    )


def _failed(error: BaseException) -> str:
    why = reason(error, kind=True)
    return f"fails on import: {why}; legal: a module that can be imported, with names of its own"


def _shadowed(name: str, places: Sequence[str]) -> str:
    """Whether another module of that name would be taken for the one in the sweep's folders."""
    head = name.partition(".")[0]
    if head in sys.builtin_module_names:
        return f"Python itself has; {OWN_NAME}"
    wanted = _file(lambda: PathFinder.find_spec(head, list(places)))
    taken = _file(lambda: importlib.util.find_spec(head))
    if wanted and taken and Path(wanted).resolve() != Path(taken).resolve():
        return f"would be {taken}, and not {wanted}; {OWN_NAME}"
    return ""


def _file(find: Callable[[], object]) -> str | None:
    """Where a module's code lies, as a finder says; None where there is none, or no file."""
    try:
        origin = getattr(find(), "origin", None)
    except (ImportError, ValueError):  # a module that was made by hand
        return None
    return origin if origin and Path(origin).is_file() else None


def _count(registries: Registries) -> int:
    return sum(1 for registry in registries for _ in registry)


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
                f"{kind} {shown(name)}: cannot be had where trials run: {reason(error, kind=True)}; legal: a "
                "part whose packages are installed there too"
            ) from None


def _packed(kind: str, part: Part) -> bytes:
    import cloudpickle

    try:
        return cloudpickle.dumps((part.function, part.details))
    except Exception as error:
        raise SweepError(
            f"{kind} {shown(part.name)}: cannot be sent to another process: {reason(error, kind=True)}; legal: a "
            "function that holds no open file, lock or the like, or the executor inline"
        ) from None


@contextlib.contextmanager
def _whole(modules: Sequence[ModuleType]) -> Iterator[None]:
    """Have what these modules define pickled itself, and not by its name."""
    import cloudpickle

    with PACKING:
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
