"""Studies that look like normsweep's own and are not: made by hand, or damaged."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from normsweep.errors import StoreError
from normsweep.sweep.problems import illegal_values

__all__ = ["check_study", "readable"]

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, zlib.error)
SWEEP = (
    "name", "question", "compare", "reference", "seed", "model.name", "data.validation_split",
    "search.trials", "search.sampler", "confirm.seeds", "confirm.margin", "confirm.confidence",
    "confirm.baseline.epochs",
)  # fmt: skip
DATA = ("name", "source", "digest", "train_images", "test_images", "classes")


@contextmanager
def readable(study: str) -> Iterator[None]:
    """Within, what cannot be read of a study's record is a mistake that is told.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        yield
    except UNREADABLE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:100]
        raise StoreError(
            f"study {study}: its record cannot be read ({reason}); legal: a study that normsweep "
            "made, in the version that made it"
        ) from None


def check_study(
    identity: str, sweep: Mapping[str, Any] | None, data: Mapping[str, Any] | None
) -> None:
    """Look at what every study's record has; sweep and data as far as they are there yet.

    Raises:
        ValueError: its own id is none, with which MLflow is asked; a text drives terminals.
        KeyError, TypeError: something is not there, or is no table.
    """
    if not re.fullmatch("[0-9a-f]*", identity):
        raise ValueError("no id")
    if any(illegal_values(sweep)):
        raise ValueError("control characters")
    if sweep is not None:
        for key in (*SWEEP, f"search.space.{sweep['compare']}"):
            sweep[key]
    if data is not None:
        for key in DATA:
            data[key]
