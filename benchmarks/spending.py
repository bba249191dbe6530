"""How the levels of a sequential confirmation share the error: equal but for the ends, and other shapes.

    python -m benchmarks.spending

One arm and its reference, an analysis after each of 5 to 20 seeds. The gap of a seed has the standard
deviation 1, all images together an error of their own. Prints for each shape false outcomes on a side,
in percent, with a true gap at that side's boundary; and for margins in standard deviations, with a true
gap of 0, the share of studies that are decided, and their mean number of seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from normsweep.analysis.sequential import FINE, levels, spent

Values = NDArray[np.float64]

SIDE, FIRST, MOST, PATHS = 0.025, 5, 20, 100_000
MARGINS = (0.5, 0.7, 1.0, 1.5, 3.0)
FALLING = (113, 56, 39, 33, 31, 30, 31, 33, 35, 36, 38, 40, 43, 45, 47, 50)
NOISES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Values]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t with 3 df": lambda rng, shape: rng.standard_t(3, shape) / math.sqrt(3),
    "exponential": lambda rng, shape: 1 - rng.exponential(1, shape),
}
IMAGES = (0.0, 0.3)


def shapes() -> dict[str, Values]:
    """The levels by shape; all spend the same error."""
    return {
        "ends 2.5": np.array(levels(SIDE, FIRST, MOST)),
        "last 2.5": scaled([1.0] * (MOST - FIRST) + [2.5]),
        "equal": scaled([1.0] * (MOST - FIRST + 1)),
        "falling first": scaled(FALLING),
    }


def scaled(shape: list[float] | tuple[int, ...]) -> Values:
    """Levels of a shape that together spend the side."""
    at = np.array(shape, float)
    at *= SIDE / at.sum()
    for _ in range(6):
        at *= SIDE / spent(at, FIRST, FINE)
    return at


def measured(at: Values, gaps: Values, images: Values, error: float) -> str:
    """A row of the table: false outcomes low and high, then decided and seeds for each margin."""
    n = np.arange(FIRST, MOST + 1)
    total, squares = np.cumsum(gaps, 1)[:, FIRST - 1 :], np.cumsum(gaps**2, 1)[:, FIRST - 1 :]
    variance = (squares - total**2 / n) / (n - 1) / n
    half = np.sqrt(stdtrit(n - 1, 1 - at) ** 2 * variance + ndtri(1 - at) ** 2 * error**2)
    mean = total / n + error * images
    false = [float(wrong.any(axis=1).mean()) for wrong in (mean - half > 0, mean + half < 0)]
    cells = [f"{100 * share:.2f}" for share in false]
    for margin in MARGINS:
        found = mean - half > -margin
        decided = found.any(axis=1)
        seeds = np.where(decided, n[found.argmax(axis=1)], MOST)
        cells.append(f"{100 * decided.mean():.0f} % / {seeds.mean():.1f}")
    return " | ".join(cells)


def main() -> None:
    """Print the table."""
    margins = " | ".join(f"margin {margin:g}" for margin in MARGINS)
    print(f"| noise | images | levels | false low | false high | {margins} |")
    print("|---" * (5 + len(MARGINS)) + "|")
    every = shapes()
    for noise, draw in NOISES.items():
        rng = np.random.default_rng(17)
        gaps, images = draw(rng, (PATHS, MOST)), rng.standard_normal((PATHS, 1))
        for error in IMAGES:
            for name, at in every.items():
                print(f"| {noise} | {error:g} | {name} | {measured(at, gaps, images, error)} |")


if __name__ == "__main__":
    main()
