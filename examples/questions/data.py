"""Writes the data of the sweeps in this folder, by seeded formulas and from what scikit-learn brings.

    python examples/questions/data.py FOLDER

MNIST comes from the folder that NORMSWEEP_DATA names, from Keras's cache, or is downloaded by Keras. Without it
the files of the other sweeps are written.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split

from normsweep.errors import NormsweepError
from normsweep.parts import datasets

Parts = tuple[Any, Any, Any, Any]
"""x_train, y_train, x_test, y_test, before any normalization."""


def pixels(mnist: Any) -> Parts:
    """32,000 training images of MNIST in a fixed order, and the first 2,000 test images; 0 to 255."""
    order = np.random.default_rng(0).permutation(60000)[:32000]
    return mnist.x_train[order], mnist.y_train[order], mnist.x_test[:2000], mnist.y_test[:2000]


def twelve_bits(mnist: Any) -> Parts:
    """The digits 0 to 3 as a camera of 12 bits stores them: uint16, up to 4080, with a dark border."""
    order = np.random.default_rng(0).permutation(60000)[:20000]

    def camera(x: Any, y: Any, count: int) -> tuple[Any, Any]:
        few = np.flatnonzero(y <= 3)[:count]
        dark = np.pad(x[few].reshape(-1, 28, 28), ((0, 0), (2, 2), (2, 2)))
        return dark.astype(np.uint16) * 16, y[few]

    train = camera(mnist.x_train[order], mnist.y_train[order], 3000)
    return *train, *camera(mnist.x_test[:4000], mnist.y_test[:4000], 800)


def autoencoder(mnist: Any) -> Parts:
    """5,000 images as inputs, 0 to 255, and as targets, 0 to 1."""
    x, _, x_test, _ = pixels(mnist)

    def flat(images: Any) -> Any:
        return images.reshape(len(images), -1).astype(np.float32) / 255

    return x[:5000], flat(x[:5000]), x_test[:1000], flat(x_test[:1000])


def tumours() -> Parts:
    """Breast Cancer Wisconsin: 30 measures of very different sizes, 2 classes."""
    x, y = load_breast_cancer(return_X_y=True)
    return held_out(x, y)


def digit_sequences() -> Parts:
    """scikit-learn's 8×8 digits, rescaled to 0 to 255, pixel by pixel in time: (64, 1)."""
    x, y = load_digits(return_X_y=True)
    return held_out((x * 255 / 16).astype(np.float32)[..., None], y)


def held_out(x: Any, y: Any) -> Parts:
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.3, stratify=y, random_state=0)
    return x, y, x_test, y_test


def spectrograms() -> Parts:
    """Frequencies × time; the class is in two loud rows, and the quiet ones are noise."""

    def draw(n: int, seed: int) -> tuple[Any, Any]:
        loudness = (7 * np.exp(-np.arange(30) / 3) + 0.002)[:, None]
        x = loudness * np.random.default_rng(seed).lognormal(0, 1, (n, 30, 20))
        y = np.arange(n) % 4
        for row in (0, 1):
            x[np.arange(n), 2 * y + row] *= 1.35
        return x.astype(np.float32), y

    return *draw(800, 0), *draw(1000, 1)


def screenshots() -> Parts:
    """Gray images of 0 to 239; those of class 1 have a brighter square somewhere."""
    rng = np.random.default_rng(0)
    x = rng.integers(20, 120, (1000, 16, 16)).astype(np.uint8)
    y = np.arange(1000) % 2
    for i in np.flatnonzero(y):
        top, left = rng.integers(0, 12, 2)
        x[i, top : top + 4, left : left + 4] += 120
    return x[:700], y[:700], x[700:], y[700:]


def skewed() -> Parts:
    """Ten columns: 0 to 4 lognormal, 5 to 9 with two heavy tails; two classes."""

    def draw(n: int, seed: int) -> tuple[Any, Any]:
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(n, 10))
        wide = z * ([1, 1.5, 2, 2.5, 3] * 2)
        x = np.c_[np.exp(wide[:, :5]), np.sinh(wide[:, 5:])]
        y = z @ (-1.0) ** np.arange(10) + 0.8 * z[:, 0] * z[:, 5] + 0.7 * rng.normal(size=n) > 0
        return x.astype(np.float32), y.astype(int)

    return *draw(3000, 0), *draw(2000, 1)


def incomes() -> Parts:
    """A household's income and what it spends on food: 235 rows like Engel's, which are not used here.

    Income lognormal around 880, from 377 to 4958; food 147 + 0.485 · income, with a spread of 12 %. Scored on the
    rows that are trained on, as in the question.
    """
    rng = np.random.default_rng(0)
    income = np.clip(rng.lognormal(np.log(880), 0.45, 235), 377, 4958)
    food = (147 + 0.485 * income) * (1 + rng.normal(0, 0.12, 235))
    x, y = income[:, None].astype(np.float32), food.astype(np.float32)
    return x, y, x, y


def fourth_power() -> Parts:
    """y = x⁴ on [−100, 100]: up to 10⁸. Test points lie between training points."""
    x = np.linspace(-100, 100, 4000)
    between = (x[:-1:20] + x[1::20]) / 2
    return x[:, None], x**4, between[:, None], between**4


def houses() -> pd.DataFrame:
    """Prices in dollars, by area, lot, year, quality, baths and one of eight neighbourhoods (one-hot)."""

    def draw(n: int, seed: int) -> pd.DataFrame:
        r = np.random.default_rng(seed)
        area, lot = r.lognormal(7.25, 0.33, n), r.lognormal(9.1, 0.5, n)
        year, quality, baths = r.integers(1900, 2011, n), r.integers(1, 11, n), r.integers(1, 5, n)
        hood = r.integers(0, 8, n)
        price = 6.2 + 0.62 * np.log(area) + 0.07 * np.log(lot) + 0.003 * (year - 1960)
        price += 0.09 * quality + 0.04 * baths + 0.05 * (hood - 4) + r.normal(0, 0.12, n)
        table = {"area": area, "lot": lot, "year": year, "quality": quality, "baths": baths}
        table |= {f"hood{i}": (hood == i).astype(int) for i in range(8)}
        return pd.DataFrame(table).assign(price=np.exp(price))

    return pd.concat([draw(1500, 0), draw(700, 1)], ignore_index=True)


OF_MNIST = {"pixels": pixels, "twelve_bits": twelve_bits, "autoencoder": autoencoder}
OTHERS = {
    "tumours": tumours,
    "digit_sequences": digit_sequences,
    "spectrograms": spectrograms,
    "screenshots": screenshots,
    "skewed": skewed,
    "incomes": incomes,
    "fourth_power": fourth_power,
}


def write(folder: Path, mnist: Any = None) -> None:
    """Write all files into a folder; those of MNIST only if that is given."""
    folder.mkdir(parents=True, exist_ok=True)
    houses().to_csv(folder / "houses.csv", index=False)
    made = {name: function() for name, function in OTHERS.items()}
    if mnist:
        made |= {name: function(mnist) for name, function in OF_MNIST.items()}
    for name, (x_train, y_train, x_test, y_test) in made.items():
        arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
        np.savez_compressed(folder / f"{name}.npz", **arrays)


def main(folder: Path) -> None:
    data_dir, mnist = os.environ.get("NORMSWEEP_DATA"), None
    try:
        mnist = datasets.load("mnist", Path(data_dir) if data_dir else None)
    except NormsweepError as error:
        print(f"without the files of MNIST ({', '.join(OF_MNIST)}): {error}", file=sys.stderr)
    write(folder, mnist)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python examples/questions/data.py FOLDER")
    main(Path(sys.argv[1]))
