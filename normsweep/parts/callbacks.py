"""Callbacks: functions of keyword-only options that return a new `keras.callbacks.Callback` for each trial."""

from __future__ import annotations

from normsweep.parts.registry import Registry
from normsweep.sweep.parameters import NO_CALLBACK

__all__ = ["register", "registry"]

registry = Registry("callback")
register = registry.register


@register(NO_CALLBACK)
def none() -> None:
    """No callback."""
