"""A registry of decorated functions by name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

__all__ = ["NameTaken", "Part", "Registry"]

F = TypeVar("F", bound=Callable[..., Any])
NAME = r"\w[\w .:/-]{0,99}"
"""What MLflow takes as the name of a metric or parameter: a run could never be logged with another one."""


class NameTaken(ValueError):
    """Another function is already registered with this name."""

    def __init__(self, kind: str, part: Part) -> None:
        super().__init__(
            f'{kind} "{part.name}": already registered by {part.module}; choose another name'
        )


@dataclass(frozen=True)
class Part:
    """A registered function."""

    name: str
    function: Callable[..., Any]
    details: Any = None
    """Further data of its kind, such as a `Metric`; pickled with it."""
    temporary: bool = False
    """Whether it is custom regardless of its module, because it is registered temporarily."""

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
    def switches(self) -> tuple[str, ...]:
        """The options that are true or false, as their defaults are."""
        parameters = inspect.signature(self.function).parameters
        return tuple(name for name in self.options if isinstance(parameters[name].default, bool))

    @property
    def module(self) -> str:
        """The module that defines the function."""
        return str(getattr(self.function, "__module__", None) or "an unknown module")

    @property
    def custom(self) -> bool:
        """Whether it is a custom component, not one of normsweep."""
        return self.temporary or not self.module.startswith("normsweep.")


class Registry:
    """Components of one kind by name.

    A name may be followed by `@` and a digest, which is ignored in a look-up.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, Part] = {}
        # One per thread: two studies in parallel may use one name for different functions.
        self._temporary: ContextVar[Mapping[str, Part]] = ContextVar(
            kind, default=MappingProxyType({})
        )

    @property
    def plural(self) -> str:
        """Several of its kind in words."""
        return f"{self.kind}es" if self.kind.endswith("s") else f"{self.kind}s"

    def register(self, name: str, details: Any = None) -> Callable[[F], F]:
        """Decorator that registers a function as `name`, with the `details` of its kind.

        A function that is defined again, by a notebook cell or a reloaded module, replaces the
        earlier one.

        Raises:
            NameTaken: another function has this name.
            ValueError: the name has characters that MLflow would refuse, or `@`, or is too long.
        """
        if not re.fullmatch(NAME, name):
            raise ValueError(
                f"{self.kind} {name[:60]!r}: must be letters, digits, spaces and any of _ - . / :, "
                "beginning with a letter, a digit or _, 100 characters at most; choose another name"
            )

        def decorate(function: F) -> F:
            known = self._known.get(name)
            if known is not None and _origin(known.function) != _origin(function):
                raise NameTaken(self.kind, known)
            self._parts[name] = Part(name, function, details)
            return function

        return decorate

    @contextmanager
    def temporarily(
        self, name: str, function: Callable[..., Any], details: Any = None
    ) -> Iterator[None]:
        """Context manager that registers a function as `name` in this thread only."""
        part = Part(name, function, details, temporary=True)
        before = self._temporary.set({**self._temporary.get(), name: part})
        try:
            yield
        finally:
            self._temporary.reset(before)

    def __getitem__(self, name: str) -> Part:
        return self._known[name.partition("@")[0]]

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __iter__(self) -> Iterator[Part]:
        return iter(self._known.values())

    def options(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the components, each with its options."""
        return {name: part.options for name, part in self._known.items()}

    @property
    def _known(self) -> Mapping[str, Part]:
        return {**self._parts, **self._temporary.get()}


def _origin(function: Callable[..., Any]) -> tuple[object, ...]:
    """Module and name of a function; a lambda or local function is identified by its id."""
    name = getattr(function, "__qualname__", "")
    return (getattr(function, "__module__", ""), name) if name.isidentifier() else (id(function),)
