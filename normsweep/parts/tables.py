"""Tables in CSV and Parquet files: read, split into training and test rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from normsweep.errors import DataError
from normsweep.parts.arrays import column_problem
from normsweep.sweep.checks import TABLES
from normsweep.sweep.problems import shown, unknown
from normsweep.text import reason

__all__ = ["Table", "is_table", "read_table"]

NAMELESS = "Unnamed: "
"""What pandas calls a column without a name, which is mostly its index."""
SEED = 0
"""Of the test rows: they are the same for all studies of a file."""


@dataclass(frozen=True)
class Table:
    """How a file is read, as `[data]` says."""

    target: str | None = None
    """The column to predict."""
    test_split: float = 0.2
    """Share of the rows for testing."""
    numbers: bool = False
    """Whether the target is a number even if it looks like a class."""


def is_table(name: str) -> bool:
    """Whether a dataset is a file with a table."""
    return name.endswith(TABLES)


def read_table(path: Path, table: Table) -> dict[str, Any]:
    """Frames and series x_train, y_train, x_test, y_test; test rows are drawn, stratified by class.

    Raises:
        DataError: the file cannot be read, or a column cannot be used.
    """
    frame = _frame(path)
    columns = list(map(str, frame.columns))
    if nameless := [n for n, name in enumerate(columns, 1) if name.startswith(NAMELESS)]:
        raise DataError(
            f"data {path}: expected a name for each column, got none for column {nameless[0]}; if it is pandas' index, "
            "save the file with to_csv(..., index=False), otherwise name or delete the column"
        )
    if table.target not in columns:
        wrong = unknown("column", table.target or "", columns)
        raise DataError(f"data.target_column: {wrong}, in {path}")
    frame.columns = columns
    target = _complete(path, frame.pop(table.target))
    if wrong := column_problem(frame):
        raise DataError(f"data {path}: {wrong}")
    train, test = _rows(target, table)
    return {
        "x_train": frame.iloc[train],
        "y_train": target.iloc[train],
        "x_test": frame.iloc[test],
        "y_test": target.iloc[test],
    }


def _complete(path: Path, target: Any) -> Any:
    """The target without missing values: in a column of text, words such as None and NA are classes like any other.

    Raises:
        DataError: a value is missing.
    """
    import pandas as pd

    missing, words = target.isna(), ""
    if missing.any() and path.suffix == ".csv":
        written: Any = pd.read_csv(path, dtype=str, keep_default_na=False)[target.name]
        if target.dtype.kind not in "iuf":
            target, missing = written, written == ""
        elif found := sorted({word for word in written[missing] if word}):
            words = f" ({', '.join(map(shown, found[:3]))})"
    if missing.any():
        raise DataError(
            f"data {path}: column {target.name}: expected no missing values in the target, got "
            f"{missing.sum()}{words}; drop these rows"
        )
    return target


def _frame(path: Path) -> Any:
    import pandas as pd

    kind = path.suffix.lstrip(".")
    try:
        return pd.read_csv(path) if kind == "csv" else pd.read_parquet(path)
    except Exception as error:  # each reader raises its own
        what = "a CSV file with names of columns in its first line" if kind == "csv" else "Parquet"
        raise DataError(
            f"data {path}: expected {what}; it cannot be read: {reason(error, kind=True)}"
        ) from None


def _rows(target: Any, table: Table) -> tuple[Any, Any]:
    """Numbers of the training rows and of the test rows, ascending."""
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(target))
    classes = not table.numbers and (target.dtype.kind != "f" or (target == target.round()).all())
    try:
        parts = train_test_split(
            rows,
            test_size=table.test_split,
            random_state=SEED,
            stratify=target if classes else None,
        )
    except ValueError:  # a class of one row is reported when all arrays are checked
        order = np.random.default_rng(SEED).permutation(rows)
        count = min(max(round(table.test_split * len(rows)), 1), max(len(rows) - 1, 0))
        parts = [order[count:], order[:count]]
    train, test = map(np.sort, parts)
    return train, test
