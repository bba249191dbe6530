"""Lengths of time as people write them: `45s`, `90m`, `1h30m`, or a plain number of seconds."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import PydanticCustomError

__all__ = ["LEGAL", "seconds"]

LEGAL = "seconds as a number above 0, or a text such as 45s, 90m, 1h30m or 2d"
UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
WRITTEN = re.compile("".join(rf"(?:{NUMBER}{unit})?" for unit in UNITS))


def seconds(value: Any) -> Any:
    """The seconds of a text; what is no text is left as it is.

    Raises:
        PydanticCustomError: the text is no length of time.
    """
    if not isinstance(value, str):
        return value
    found = WRITTEN.fullmatch(value.strip().replace(" ", ""))
    parts = found.groups() if found else ()
    if not any(parts):
        raise PydanticCustomError("duration", LEGAL)  # type: ignore[arg-type]
    return sum(float(part or 0) * unit for part, unit in zip(parts, UNITS.values(), strict=True))
