"""Plug-ins: modules that register custom components when they are imported.

A sweep names them under `plugins`; installed packages declare entry points of the group
`normsweep.parts`. Importing a module runs its code.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
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
from normsweep.sweep.problems import Problem, expected, shown
from normsweep.text import reason

__all__ = ["GROUP", "code_digest", "installed_plugins", "packed", "plugin_problems", "unpack"]

GROUP = "normsweep.parts"
"""The entry point group."""


MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


LONGEST = 200


PACKING = threading.Lock()
"""Locked while modules are registered to be pickled by value, which affects the whole process."""


Registries = Sequence[Registry]


NAMES = "names of modules, such as my_module or my_package.parts"


SEARCHED = "expected a module in the folder of the sweep, in the current folder, or installed"


LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


RENAME = "give it a name that no other module has"


def plugin_problems(
    names: object, folders: Iterable[Path], registries: Registries
) -> Iterator[Problem]:
    """Import the modules that a sweep names; yields a problem for each one that fails.

    Args:
        names: the value of `plugins`: the name of a module, or a list of names.
        folders: searched for modules in addition to the environment.
        registries: the registries that the modules add components to.
    """
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list | tuple):
        yield Problem("plugins", expected(NAMES, names))
        return
    paths = [str(folder.resolve()) for folder in folders]
    if listed:  # at the end, so that they do not shadow installed modules
        sys.path += [path for path in dict.fromkeys(paths) if path not in sys.path]
    for name in listed:
        if not isinstance(name, str) or len(name) > LONGEST or not MODULE.fullmatch(name):
            yield Problem("plugins", expected(NAMES, name))
        elif wrong := _shadowed(name, paths) or _imported(name, registries):
            yield Problem("plugins", f"{shown(name)} {wrong}")


def installed_plugins(registries: Registries) -> None:
    """Import the plug-ins of installed packages.

    Raises:
        SweepError: one line for each plug-in that fails.
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
    """Suppress the log of TensorFlow, which many plug-ins import, as workers do."""
    before = os.environ.get(LOG_LEVEL)
    os.environ.setdefault(LOG_LEVEL, "3")
    try:
        yield
    finally:
        if before is None:
            del os.environ[LOG_LEVEL]


def _imported(name: str, registries: Registries) -> str:
    """Import a module that registers components; return what is wrong, or an empty string."""
    before = _count(registries)
    try:
        with _quiet_tensorflow():
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or f"{name}.".startswith(f"{error.name}."):
            return f"was not found; {SEARCHED}"
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
        "registers no component; decorate a function of it with a register function, such as "
        "@normsweep.parts.normalizations.register(NAME)"
    )


def _failed(error: BaseException) -> str:
    why = reason(error, kind=True)
    return f"cannot be imported: {why}"


def _shadowed(name: str, paths: Sequence[str]) -> str:
    """Whether another module of that name would be imported instead of the one in the folders."""
    head = name.partition(".")[0]
    if head in sys.builtin_module_names:
        return f"is the name of a module of Python; {RENAME}"
    wanted = _file(lambda: PathFinder.find_spec(head, list(paths)))
    taken = _file(lambda: importlib.util.find_spec(head))
    if wanted and taken and Path(wanted).resolve() != Path(taken).resolve():
        return f"would be imported from {taken} instead of {wanted}; {RENAME}"
    return ""


def _file(find: Callable[[], object]) -> str | None:
    """The file of a module by its finder; None if there is none."""
    try:
        origin = getattr(find(), "origin", None)
    except (ImportError, ValueError):  # a module that was created in code
        return None
    return origin if origin and Path(origin).is_file() else None


def _count(registries: Registries) -> int:
    return sum(1 for registry in registries for _ in registry)


def packed(registries: Sequence[Registry]) -> bytes:
    """Pickle the custom components of registries; empty if there are none.

    Raises:
        SweepError: a component cannot be pickled.
    """
    custom = [(registry.kind, part) for registry in registries for part in registry if part.custom]
    if not custom:
        return b""
    with _pickled_by_value(_local_modules()):
        return pickle.dumps([(kind, part.name, _packed(kind, part)) for kind, part in custom])


def unpack(content: bytes, registries: Sequence[Registry]) -> None:
    """Register the components that `packed` pickled.

    Raises:
        SweepError: a component cannot be unpickled here.
    """
    by_kind = {registry.kind: registry for registry in registries}
    for kind, name, part in pickle.loads(content) if content else ():
        try:
            function, details = pickle.loads(part)
            by_kind[kind].register(name, details)(function)
        except Exception as error:
            raise SweepError(
                f"{kind} {shown(name)}: cannot be loaded in a worker: {reason(error, kind=True)}; install the "
                "packages that it needs there too"
            ) from None


def code_digest(registries: Sequence[Registry]) -> str | None:
    """SHA-256 of the files with the code of custom components, hexadecimal; empty if there are none.

    None if the code of a component is in no file, as in a notebook.
    """
    custom = [part for registry in registries for part in registry if part.custom]
    if not custom:
        return ""
    modules = {part.module for part in custom} | {m.__name__ for m in _local_modules()}
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in sorted(modules)}
    digest = hashlib.sha256()
    for name, file in files.items():
        if file is None or not Path(file).is_file():
            return None
        digest.update(f"{name} {Path(file).stat().st_size}\n".encode() + Path(file).read_bytes())
    return digest.hexdigest()


def _packed(kind: str, part: Part) -> bytes:
    import cloudpickle

    try:
        return cloudpickle.dumps((part.function, part.details))
    except Exception as error:
        raise SweepError(
            f"{kind} {shown(part.name)}: cannot be pickled for a worker: {reason(error, kind=True)}; use no "
            "open file, lock or similar in it, or pass --executor inline"
        ) from None


@contextlib.contextmanager
def _pickled_by_value(modules: Sequence[ModuleType]) -> Iterator[None]:
    """Pickle the code of these modules by value, not by name."""
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
    """Modules that belong neither to an installed package nor to Python or normsweep."""
    return [
        module
        for name, module in sys.modules.copy().items()  # another thread may import
        if isinstance(module, ModuleType)
        and module.__name__ == name
        and name.partition(".")[0] not in ("normsweep", "__main__", "__mp_main__")
        and (file := getattr(module, "__file__", None))
        and not _installed(_root(name, Path(file)))
    ]


def _root(name: str, file: Path) -> Path:
    """The folder that contains the top-level package of a module."""
    levels = name.count(".") + (file.stem == "__init__")
    return file.parents[min(levels, len(file.parents) - 1)]


@functools.cache
def _installed(root: Path) -> bool:
    """Whether a folder contains installed packages or Python's standard library."""
    python = {Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib")}
    named = root.name in ("site-packages", "dist-packages")
    of_python = any(folder in python for folder in (root.resolve(), *root.resolve().parents))
    return named or of_python or any(root.glob("*.dist-info"))
