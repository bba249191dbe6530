"""Axes that several figures have: a metric's values, whole numbers, powers of ten, time."""

from __future__ import annotations

from collections.abc import Sequence

from normsweep.parts.metrics import Metric
from normsweep.reporting.figures.limits import Limits
from normsweep.reporting.figures.theme import Style, Table
from normsweep.reporting.figures.vega import Json, channel

__all__ = ["counts", "log_axis", "rate_axis", "time_unit", "value_axis", "whole"]

SCORE, ERROR = "replace(datum.label, '%', ' %')", "format(100 * (1 - datum.value), '.4~f') + ' %'"
POWERS = (
    "datum.label == '' ? '' : datum.value >= 1e-4 && datum.value < 1e5 ? format(datum.value, '~f') : "
    "replace(format(datum.value, '~e'), '+', '')"
)
"""The label of a tick on a logarithmic axis; empty where Vega leaves it out."""
UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def value_axis(
    field: str, limits: Limits, by: Metric, title: str, labels: bool = True, error: bool = False
) -> Json:
    """Values of a metric, better ones above; with `error` the parameter `measure` is obeyed.

    Without labels it is that of a panel to the right of another one.
    """
    words = f"measure == 'error' ? {ERROR} : {SCORE}" if error else SCORE
    axis: Json = {"format": "%", "labelExpr": words} if by.percent else {}
    if labels:
        axis |= {"title": title or None, "minExtent": 44}
    scale: Json = {"domain": sorted(limits), "reverse": by.sign < 0, "nice": False, "zero": False}
    return channel(f"{field}:Q", scale=scale, axis={"tickCount": 7, **_seen(labels), **axis})


def _seen(labels: bool) -> Json:
    return {} if labels else {"title": None, "labels": False}


def log_axis(field: str, limits: Sequence[float], title: str, labels: bool = True) -> Json:
    """Powers of ten."""
    scale = {"type": "log", "domain": list(limits), "nice": False}
    axis = {"title": title, "labelExpr": POWERS, "tickCount": 4, **_seen(labels)}
    return channel(f"{field}:Q", scale=scale, axis=axis)


def rate_axis(rates: Table, style: Style) -> Json:
    """Learning rates, logarithmic unless the style says otherwise."""
    low, high = rates.min(), rates.max()
    if style.linear:
        scale = {"domain": [-0.02 * high, 1.04 * high], "nice": False}
        axis = {"title": "learning rate", "tickCount": 4, "format": "~f"}
        return channel("learning_rate:Q", scale=scale, axis=axis)
    room = max((high / low) ** 0.04, 1.25)
    return log_axis("learning_rate", (low / room, high * room), "learning rate")


def whole(field: str, last: int, title: str) -> Json:
    """Whole numbers from 1, the last among them."""
    axis = {"title": title, "values": counts(last), "labelOverlap": True}
    return channel(f"{field}:Q", scale={"zero": False, "nice": False, "padding": 14}, axis=axis)


def counts(last: int) -> list[int]:
    """Round whole numbers, 1 and `last` among them."""
    step = next((s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500) if last / s <= 8), last)
    ticks = {1, last, *(tick for tick in range(step, last, step) if last - tick >= 0.6 * step)}
    return sorted(ticks)


def time_unit(seconds: float) -> tuple[str, float]:
    """The largest unit of which there are at least two, and its seconds."""
    return next((unit for unit in UNITS if seconds >= 2 * unit[1]), UNITS[-1])
