"""How JAX computes the convolutions of a stack of networks: patches, and one batched product.

By itself JAX makes a grouped convolution of many convolutions with kernels of their own, whose gradients are
slow. The rule here is for every convolution that is mapped over inputs and kernels, so also for those of a user's own
network and for the gradients of both.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.interpreters import batching

__all__ = ["convolutions_as_products"]

RULES = batching.fancy_primitive_batchers


@contextmanager
def convolutions_as_products() -> Iterator[None]:
    """While a program is traced: convolutions mapped over inputs and kernels become products of patches."""
    primitive = lax.conv_general_dilated_p
    before = RULES[primitive]

    def rule(axis_data: Any, operands: Any, axes: Any, **how: Any) -> Any:
        grouped = how["feature_group_count"] > 1 or how["batch_group_count"] > 1
        if None in axes or grouped:
            return before(axis_data, operands, axes, **how)
        inputs, kernels = (jnp.moveaxis(x, a, 0) for x, a in zip(operands, axes, strict=True))
        return _convolved(inputs, kernels, **how), 0

    RULES[primitive] = rule
    try:
        yield
    finally:
        RULES[primitive] = before


def _convolved(
    inputs: Any,
    kernels: Any,
    *,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    dimension_numbers: Any,
    precision: Any,
    preferred_element_type: Any,
    **_: Any,
) -> Any:
    """Convolutions of inputs (stack, …) and kernels (stack, …), in the layout of `dimension_numbers`."""
    of_inputs, of_kernels, of_outputs = (_after_first(each) for each in dimension_numbers)
    x = inputs.transpose(
        0, of_inputs[0], *of_inputs[2:], of_inputs[1]
    )  # (stack, rows, …, features)
    w = kernels.transpose(
        0, *of_kernels[2:], of_kernels[1], of_kernels[0]
    )  # (stack, …, features, outputs)
    pads = [
        (low, high, dilation - 1)
        for (low, high), dilation in zip(padding, lhs_dilation, strict=True)
    ]

    def padded(values: Any) -> Any:
        around = [(0, 0, 0)] * 2 + pads + [(0, 0, 0)] * (values.ndim - 2 - len(pads))
        return lax.pad(values, jnp.zeros((), values.dtype), around)

    def product(
        left: Any, right: Any, contracting: Any, dtype: Any = preferred_element_type
    ) -> Any:
        return lax.dot_general(
            left,
            right,
            (contracting, ((0,), (0,))),
            precision=precision,
            preferred_element_type=dtype,
        )

    sizes, features, outputs = w.shape[1:-2], w.shape[-2], w.shape[-1]
    reach = [(k - 1) * d + 1 for k, d in zip(sizes, rhs_dilation, strict=True)]
    room = [_padded_size(n, *pad) for n, pad in zip(x.shape[2:-1], pads, strict=True)]
    places = [(n - r) // s + 1 for n, r, s in zip(room, reach, window_strides, strict=True)]

    def shifted(values: Any, at: Sequence[int], count: Sequence[int], step: Sequence[int]) -> Any:
        """The values at so many places, from one place on."""
        stops = [a + (n - 1) * s + 1 for a, n, s in zip(at, count, step, strict=True)]
        ends = values.shape[2 + len(at) :]
        return lax.slice(
            values,
            (0, 0, *at, *[0] * len(ends)),
            (*values.shape[:2], *stops, *ends),
            (1, 1, *step, *[1] * len(ends)),
        )

    def offsets(count: Sequence[int], step: Sequence[int]) -> Iterator[list[int]]:
        for each in itertools.product(*map(range, count)):
            yield [i * s for i, s in zip(each, step, strict=True)]

    spatial, last = tuple(range(1, len(sizes) + 1)), len(sizes) + 2
    if math.prod(places) < math.prod(sizes):
        # The gradient of a kernel: its outputs are few, and its windows are whole images.
        whole = padded(x).swapaxes(1, -1)  # (stack, features, …, rows)
        parts = [shifted(whole, at, sizes, rhs_dilation) for at in offsets(places, window_strides)]
        patches = jnp.concatenate(parts, axis=-1)
        mapped = tuple(range(1, last))
        y = product(patches, w, (mapped, (len(sizes) + 1, *spatial)))
        y = y.reshape(x.shape[0], *places, x.shape[1], outputs)
        y = jnp.moveaxis(y, -2, 1)
    elif features > outputs:
        # Rather the products of all places than the wider patches.
        w = jnp.moveaxis(w, -2, 1).reshape(x.shape[0], features, -1)
        # They are summed here, so those of 16 bits must not be rounded before.
        dtype = preferred_element_type or x.dtype
        z = product(x, w, ((last,), (1,)), jnp.promote_types(dtype, jnp.float32))
        z = padded(z.reshape(*x.shape[:-1], -1, outputs))
        steps = enumerate(offsets(sizes, rhs_dilation))
        parts = [shifted(z[..., i, :], at, places, window_strides) for i, at in steps]
        y = functools.reduce(jnp.add, parts).astype(dtype)
    else:
        whole = padded(x)
        parts = [shifted(whole, at, places, window_strides) for at in offsets(sizes, rhs_dilation)]
        patches = jnp.concatenate(parts, axis=-1)
        y = product(patches, w.reshape(x.shape[0], -1, outputs), ((last,), (1,)))
    order = [0] * y.ndim
    for axis, place in enumerate((of_outputs[0], *of_outputs[2:], of_outputs[1]), 1):
        order[place] = axis
    return y.transpose(order)


def _after_first(axes: Sequence[int]) -> list[int]:
    return [axis + 1 for axis in axes]


def _padded_size(size: int, low: int, high: int, between: int) -> int:
    return size + low + high + max(size - 1, 0) * between
