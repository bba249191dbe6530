"""A registry: names on one side, decorated functions on the other."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["Part", "Registry"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Part:
    """A registered function."""

    name: str
    function: Callable[..., Any]

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the function's keyword-only arguments."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


class Registry:
    """Parts of one kind by name."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, Part] = {}

    def register(self, name: str) -> Callable[[F], F]:
        """A decorator that makes a function known as `name`.

        Raises:
            ValueError: the name is taken by another function.
        """

        def decorate(function: F) -> F:
            known = self._parts.get(name)
            if known is not None and known.function is not function:
                raise ValueError(f'the {self.kind} "{name}" is already registered')
            self._parts[name] = Part(name, function)
            return function

        return decorate

    def __getitem__(self, name: str) -> Part:
        return self._parts[name]

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def __iter__(self) -> Iterator[Part]:
        return iter(self._parts.values())

    def options(self) -> Mapping[str, tuple[str, ...]]:
        """Each name with the options that it takes."""
        return {name: part.options for name, part in self._parts.items()}
