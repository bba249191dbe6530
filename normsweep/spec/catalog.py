"""The names that are legal in a sweep file, handed in by whoever knows the registered parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Catalog"]


@dataclass(frozen=True)
class Catalog:
    """Registered names, each with the names of the options that it takes."""

    normalizations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optimizers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    datasets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    metrics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
