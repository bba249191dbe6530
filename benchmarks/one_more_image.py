"""What the largest influence of one more image should be, for metrics other than the accuracy.

Two networks differ on a rare kind of image only, which an arm gets wrong. The interval of the gap of each
metric is compared with the gap on a very large test set: with no more image, with one whose difference is
the largest seen, and with one whose difference is the largest that the shares of the classes allow.

    nice -n 10 python -m benchmarks.one_more_image
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from benchmarks.sequence import FIRST, MOST, bounds, sums
from normsweep.parts.metrics import metric
from normsweep.shell import command, run

__all__ = ["METRICS", "Images", "largest", "misses"]

Floats = NDArray[np.float64]
METRICS = ("balanced_accuracy", "f1_macro", "roc_auc", "log_loss")
POPULATION = 200_000
TAIL = 0.025
RULES = ("none", "seen", "largest")
"""What the difference of one more image is."""
RARE = 0.01
"""Share of the images that an arm gets wrong."""
app = command(
    "python -m benchmarks.one_more_image",
    "Simulate intervals of other metrics than the accuracy, with one more image.",
)


@dataclass(frozen=True)
class Images:
    """Kinds of images. `shares` of the classes; on a share `rare` of all, the arm is wrong.

    These are of the last class. `margin` is how much more probable the right class is to a network, as
    a logit; `noise` the standard deviation of an image's logits, `seed` that of one network's.
    """

    shares: tuple[float, ...]
    rare: float
    margin: float = 4.0
    noise: float = 1.0
    seed: float = 0.7

    def networks(
        self, count: int, seeds: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Labels (images,), probabilities of arm and reference (seeds, images, classes)."""
        classes = len(self.shares)
        labels = rng.choice(classes, count, p=self.shares)
        own = self.noise * rng.standard_normal((count, classes))
        own[np.arange(count), labels] += self.margin
        hit = (labels == classes - 1) & (rng.random(count) < self.rare / self.shares[-1])
        moved = np.where(hit[:, None], np.roll(own, 1, axis=1), own)
        shape = seeds, count, classes
        nets = (logits + self.seed * rng.standard_normal(shape) for logits in (moved, own))
        arm, reference = (_softmax(logits) for logits in nets)
        return labels, arm, reference


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def truth(images: Images, name: str) -> float:
    """The gap on a very large test set, higher is better."""
    rng, by = np.random.default_rng(7), metric(name)
    labels, arm, reference = images.networks(POPULATION, 2, rng)
    gaps = [
        by.function(labels, a) - by.function(labels, b) for a, b in zip(arm, reference, strict=True)
    ]
    return by.sign * float(np.mean(gaps))


def largest(name: str, labels: NDArray[np.int64], classes: int) -> float:
    """The largest difference of two networks in the influence of one image; NaN if there is none.

    Of balanced accuracy and macro F1 1/(K·π) of the rarest class; of the AUC an image that is ranked
    below instead of above all of the other side, 1/π of its side, as a mean over classes.
    """
    shares = np.bincount(labels, minlength=classes) / len(labels)
    if name in ("balanced_accuracy", "f1_macro"):
        return float(1 / (classes * shares.min()))
    if name == "roc_auc":
        own, other = 1 / shares, 1 / (1 - shares)
        of_two = float(own.max())
        return of_two if classes == 2 else float((own - other).max() + other.sum()) / classes
    return np.nan


def misses(
    images: Images, name: str, count: int, studies: int
) -> Mapping[str, tuple[float, float, float]]:
    """By rule: how often the truth is below and above the interval of 5 pairs, and its mean width."""
    by, right = metric(name), truth(images, name)
    tails = np.full(MOST - FIRST + 1, TAIL)
    found: dict[str, list[tuple[bool, bool, float]]] = {}
    for seed in range(studies):
        rng = np.random.default_rng([seed, count])
        labels, arm, reference = images.networks(count, FIRST, rng)
        if by.every_class and len(np.unique(labels)) < len(images.shares):
            continue
        table = by.sign * (_values(by, labels, arm) - _values(by, labels, reference))
        rules = {"none": 0.0, "seen": float(np.abs(table).max())}
        if not np.isnan(limit := largest(name, labels, len(images.shares))):
            rules["largest"] = limit
        for rule, image in rules.items():
            low, high = (float(b[0, 0]) for b in bounds(sums([table], count), tails, image))
            found.setdefault(rule, []).append((low > right, high < right, high - low))
    return {rule: tuple(map(float, np.mean(rows, axis=0))) for rule, rows in found.items()}  # type: ignore[misc]


def _values(by: Any, labels: NDArray[np.int64], networks: Floats) -> Floats:
    """The metric plus the influence of each image, (seeds, images)."""
    return np.array([by.function(labels, p) + by.influence(labels, p) for p in networks])


WORLDS = {
    "2 classes, 90 and 10 %": (0.9, 0.1),
    "4 classes, 40, 30, 20 and 10 %": (0.4, 0.3, 0.2, 0.1),
}


def rows(studies: int) -> Iterator[tuple[str, ...]]:
    """The rows of the table."""
    for name, (world, shares), count in product(METRICS, WORLDS.items(), (100, 360)):
        found = misses(Images(shares, RARE), name, count, studies)
        base = found["none"][2]
        cells = (_cell(found[rule], base) if rule in found else "" for rule in RULES)
        yield (name, world, f"{count}", *cells)


def _cell(found: tuple[float, float, float], width: float) -> str:
    below, above, own = found
    return f"{100 * below:.1f} / {100 * above:.1f} % (× {own / width:.2f})"


@app.default
def one_more_image(
    *, studies: Annotated[int, Parameter(help="Studies of each cell.")] = 120
) -> int:
    """Print the table as Markdown."""
    head = ("metric", "classes", "test images", "without", "largest seen", "largest possible")
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for row in rows(studies):
        print(f"| {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run(app))
