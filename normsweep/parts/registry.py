"""A registry: names on one side, decorated functions on the other."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

__all__ = ["NameTaken", "Part", "Registry"]

F = TypeVar("F", bound=Callable[..., Any])


class NameTaken(ValueError):
    """A name is registered already, for another function."""

    def __init__(self, kind: str, part: Part) -> None:
        super().__init__(f'the {kind} "{part.name}" is already registered by {part.module}')


@dataclass(frozen=True)
class Part:
    """A registered function."""

    name: str
    function: Callable[..., Any]
    details: Any = None
    """What its kind has to know of it beside; pickled with it."""
    own: bool = False
    """Whether it is the user's own whatever its module: lent for a while."""

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the function's keyword-only arguments."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)

    @property
    def module(self) -> str:
        """The module that it comes from."""
        return str(getattr(self.function, "__module__", None) or "an unknown module")

    @property
    def foreign(self) -> bool:
        """Whether it comes from elsewhere than normsweep itself."""
        return self.own or not self.module.startswith("normsweep.")


class Registry:
    """Parts of one kind by name.

    A name may be followed by `@` and the digest of what the part made: it is the same part.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, Part] = {}
        # Each thread has its own: two studies at once may lend different functions by one name.
        self._lent: ContextVar[Mapping[str, Part]] = ContextVar(kind, default=MappingProxyType({}))

    def register(self, name: str, details: Any = None) -> Callable[[F], F]:
        """A decorator that makes a function known as `name`, with what its kind knows of it beside.

        Defined again in the same place, as a notebook's cell or a reloaded module does, it takes
        the place of what it was before.

        Raises:
            NameTaken: the name is that of another function.
        """

        def decorate(function: F) -> F:
            known = self._known.get(name)
            if known is not None and _place(known.function) != _place(function):
                raise NameTaken(self.kind, known)
            self._parts[name] = Part(name, function, details)
            return function

        return decorate

    @contextmanager
    def lent(self, name: str, function: Callable[..., Any]) -> Iterator[None]:
        """Know a function as `name` for a while, in this thread alone."""
        before = self._lent.set({**self._lent.get(), name: Part(name, function, own=True)})
        try:
            yield
        finally:
            self._lent.reset(before)

    def __getitem__(self, name: str) -> Part:
        return self._known[name.partition("@")[0]]

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __iter__(self) -> Iterator[Part]:
        return iter(self._known.values())

    def options(self) -> Mapping[str, tuple[str, ...]]:
        """Each name with the options that it takes."""
        return {name: part.options for name, part in self._known.items()}

    @property
    def _known(self) -> Mapping[str, Part]:
        return {**self._parts, **self._lent.get()}


def _place(function: Callable[..., Any]) -> tuple[object, ...]:
    """Where a function is defined; one without a name of its own is nowhere but in itself."""
    name = getattr(function, "__qualname__", "")
    return (getattr(function, "__module__", ""), name) if name.isidentifier() else (id(function),)
