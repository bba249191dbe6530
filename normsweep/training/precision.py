"""The precision that Keras's layers are made with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["precision"]


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """While entered, layers are made with this dtype policy of Keras's."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
