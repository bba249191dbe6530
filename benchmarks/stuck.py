"""How often a seed that is stuck is not seen, and an honest poor one taken for stuck.

A stuck seed has a training loss at or a little above that of guessing, and predicts one class for all images, or
a class at random. An honest poor one is right on a few points more of the images than guessing, in one of two
ways: it knows a little of every image (the smallest fall of the loss that goes with such a score), or all
of a few images and nothing of the others. Both are calibrated. All are read by the rule of the
verdicts, at one epoch.

    nice -n 10 python -m benchmarks.stuck
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from typing import Annotated

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray
from scipy.optimize import brentq

from normsweep.analysis.confirm_runs import Guess
from normsweep.parts.metrics import ACCURACY
from normsweep.shell import command, run
from normsweep.sweep.study_record import DataFacts
from normsweep.sweep.trial import Epoch, Tested

__all__ = ["channel", "missed", "taken"]

Floats = NDArray[np.float64]
IMAGES = (100, 360, 1000, 10_000)
CLASSES = (2, 10, 100)
MORE = (0.01, 0.02, 0.05, 0.10)
"""What an honest seed is above guessing."""
UNEVEN = 10.0
"""The largest class has so many times the images of the smallest one."""
TRAINED_ON = 6
"""Training images for each test image, as on MNIST."""
ABOVE = 0.01
"""Standard deviation of what the loss of a stuck seed is above that of guessing, relative to it."""
app = command(
    "python -m benchmarks.stuck",
    "Simulate how well stuck seeds are distinguished from honest poor ones.",
)


def shares(classes: int, even: bool, images: int) -> Floats:
    """The classes' shares of the test images, about equal or falling from the first to the last."""
    weights = np.ones(classes) if even else UNEVEN ** -np.linspace(0, 1, classes)
    counts = np.maximum(np.round(weights / weights.sum() * images), 1)
    return counts / counts.sum()


def channel(own: Floats, known: float) -> tuple[float, float, float]:
    """Of a network that knows a little of every image: accuracy, mean loss, and the deviation of an image's loss.

    It sees a signal for each image, the image's class with probability `known`, otherwise drawn from the
    shares, and its probabilities are those of the class given the signal.
    """
    right = known + (1 - known) * own  # that the class is the signal, by signal
    other = (1 - known) * own.max()  # the commonest other class
    accuracy = float(own @ np.maximum(right, other))
    joint = own * right, own[:, None] * (1 - known) * own * (1 - np.eye(len(own)))
    given = right, np.broadcast_to((1 - known) * own, joint[1].shape)
    losses = [-np.log(np.maximum(p, 1e-12)) for p in given]
    mean = sum(float((j * x).sum()) for j, x in zip(joint, losses, strict=True))
    square = sum(float((j * x**2).sum()) for j, x in zip(joint, losses, strict=True))
    return accuracy, mean, float(np.sqrt(max(square - mean**2, 0.0)))


def missed(own: Floats, images: int, seeds: int, kind: str) -> float:
    """The share of stuck seeds that are taken for trained; `kind` is "one class" or "random".

    `own` are the classes' shares.
    """
    rng = np.random.default_rng([images, len(own), 1])
    guess = _guess(own, images)
    loss = guess.loss * (1 + ABOVE * np.abs(rng.standard_normal(seeds)))
    accuracy = guess.score if kind == "one class" else float(own @ own)
    right = rng.binomial(images, accuracy, seeds)
    if kind == "one class":  # the score is the share of that class exactly
        right = np.full(seeds, round(guess.score * images))
    return 1 - _stuck(guess, right, loss, images)


def taken(own: Floats, images: int, more: float, seeds: int, kind: str) -> float:
    """The share of honest seeds that are taken for stuck; `kind` is "all images" or "few images"."""
    rng = np.random.default_rng([images, len(own), 2])
    guess, share = _guess(own, images), float(own.max())
    if share + more >= 1:
        return np.nan
    if kind == "all images":
        known = brentq(lambda k: channel(own, k)[0] - share - more, 0, 1)
        accuracy, mean, deviation = channel(own, float(known))
    else:  # nothing of the others
        known = more / (1 - share)
        accuracy, mean = share + more, (1 - known) * guess.loss
        deviation = float(np.sqrt((1 - known) * own @ np.log(own) ** 2 - mean**2))
    loss = mean + deviation / np.sqrt(TRAINED_ON * images) * rng.standard_normal(seeds)
    return _stuck(guess, rng.binomial(images, accuracy, seeds), loss, images)


def _guess(own: Floats, images: int) -> Guess:
    counts = tuple(np.round(1000 * own * images).astype(int).tolist())
    data = DataFacts("", "", "", sum(counts), sum(counts), len(own), (), counts, counts)
    return Guess.of(data, ACCURACY)


def _stuck(guess: Guess, right: NDArray[np.int64], loss: Floats, images: int) -> float:
    """The share of the seeds that the rule takes for stuck, with so many images right and these losses."""
    found = [
        guess.no_better(Epoch(0, 1, x, 0.0, x, 0.0, 0.0, _tested(int(r), images)))
        for r, x in zip(right, loss, strict=True)
    ]
    return float(np.mean(found))


def _tested(right: int, images: int) -> Tested:
    return Tested(images, np.packbits(np.arange(images) < right).tobytes())


def rows(seeds: int) -> Iterator[tuple[str, ...]]:
    """The rows of the table."""
    for images, classes, even in product(IMAGES, CLASSES, (True, False)):
        if images < classes:
            continue
        own = shares(classes, even, images)
        lost = (missed(own, images, seeds, kind) for kind in ("one class", "random"))
        both = (
            [taken(own, images, more, seeds, kind) for kind in ("all images", "few images")]
            for more in MORE
        )
        named = f"{images:,}", f"{classes}", "equal" if even else f"1 to {UNEVEN:.0f}"
        yield *named, _cell(*lost), *(_cell(*each) for each in both)


def _cell(*rates: float) -> str:
    if np.isnan(rates).any():
        return ""
    return " / ".join(f"{100 * rate:.1f}" for rate in rates) + " %"


@app.default
def stuck(*, seeds: Annotated[int, Parameter(help="Seeds of each cell.")] = 2000) -> int:
    """Print the table as Markdown."""
    head = (
        "test images",
        "classes",
        "shares",
        "stuck, not seen",
        *(f"+{100 * m:.0f} points" for m in MORE),
    )
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for row in rows(seeds):
        print(f"| {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run(app))
