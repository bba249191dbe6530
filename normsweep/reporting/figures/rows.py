"""A data frame's columns as arrays: read once, then filtered and sorted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Rows", "number"]


@dataclass(frozen=True)
class Rows:
    """Columns of equal length, as objects; missing cells are read as NaN, "" or False."""

    columns: Mapping[str, NDArray[Any]]

    @classmethod
    def of(cls, frame: pd.DataFrame | None) -> Rows:
        """The rows of a frame; None is a frame without any."""
        if frame is None:
            return cls({})
        return cls({str(name): frame[name].to_numpy(dtype=object) for name in frame.columns})

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column as numbers; NaN where there is none."""
        return np.array([number(value) for value in self.columns[name]], dtype=float)

    def texts(self, name: str) -> list[str]:
        """A column as texts."""
        return ["" if pd.isna(value) else str(value) for value in self.columns[name]]

    def flags(self, name: str) -> NDArray[np.bool_]:
        """A column of yes and no."""
        return np.array([number(value) == 1 for value in self.columns[name]], dtype=bool)

    def only(self, kept: Any) -> Rows:
        """The rows for which `kept` (bool, one per row) holds."""
        which = np.asarray(kept, dtype=bool)
        return Rows({name: values[which] for name, values in self.columns.items()})

    def where(self, name: str, value: str) -> Rows:
        """The rows with this text in a column."""
        return self.only([text == value for text in self.texts(name)])

    def by(self, name: str) -> Rows:
        """The rows sorted by a column of numbers."""
        order = np.argsort(self.numbers(name), kind="stable")
        return Rows({column: values[order] for column, values in self.columns.items()})

    def each(self, name: str) -> list[str]:
        """The different texts of a column, in the order in which they come."""
        return list(dict.fromkeys(self.texts(name)))


def number(value: object) -> float:
    """The value as a number; NaN where it is none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
