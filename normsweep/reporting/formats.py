"""Data frames as csv, json, markdown, html and parquet.

Markdown is for people: numbers are rounded and long identifiers cut. The others keep every digit.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from normsweep.reporting.cells import is_numeric, printed
from normsweep.text import as_markdown

__all__ = ["FORMATS", "Format", "for_people", "render"]

Format = Literal["csv", "json", "markdown", "parquet", "html"]
FORMATS: tuple[str, ...] = get_args(Format)


def render(table: pd.DataFrame, kind: Format) -> bytes:
    """A table in one of `FORMATS`; text is UTF-8."""
    if kind == "parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        return buffer.getvalue()
    writers: dict[str, Callable[[], str]] = {
        "csv": lambda: _csv(table),
        "json": lambda: _json(table),
        "markdown": lambda: _markdown(for_people(table)),
        "html": lambda: _html(table),
    }
    return writers[kind]().encode()


def for_people(table: pd.DataFrame) -> pd.DataFrame:
    """The table as strings: numbers rounded, missing ones empty, empty columns left out."""
    cells = printed(table)
    return pd.DataFrame(cells, columns=list(cells), dtype=object)


def _csv(table: pd.DataFrame) -> str:
    """Comma-separated; what a spreadsheet would run as a formula has a quote before it."""
    texts = table.select_dtypes(["object", "string"])
    inert = {name: texts[name].map(_inert) for name in texts.columns}
    return table.assign(**inert).to_csv(index=False, lineterminator="\n")


def _inert(value: Any) -> Any:
    """A text that is no formula and no row. A number stays one; no name or error begins like that."""
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")  # a bare one would not be quoted
    formula = text.startswith(("=", "+", "-", "@", "\t", "\n")) and not is_numeric([text])
    return f"'{text}" if formula else text


def _json(table: pd.DataFrame) -> str:
    """A list of objects; missing and non-finite numbers, which JSON does not have, are null."""
    # pandas' own writer keeps 15 digits after the point, of 1e-5 no more than 11.
    records = table.astype(object).to_dict(orient="records")
    rows = [{name: _plain(value) for name, value in record.items()} for record in records]
    return json.dumps(rows, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _html(table: pd.DataFrame) -> str:
    """A table element."""
    with pd.option_context("display.max_colwidth", None):
        present = table.astype(object).where(table.notna(), math.nan)  # or <NA> would be shown
        text = present.to_html(
            index=False, border=0, na_rep="", float_format=lambda value: repr(float(value))
        )
    return f"{text}\n"


def _markdown(table: pd.DataFrame) -> str:
    escaped = table.map(as_markdown)
    numeric = [is_numeric(table[name]) for name in table.columns]
    align = ["right" if right else "left" for right in numeric]
    text = escaped.to_markdown(index=False, disable_numparse=True, colalign=align or None)
    return (text or "") + "\n"
