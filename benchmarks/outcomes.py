"""How often a sequential confirmation is wrong, and how many seeds it takes: the tables in docs/method.md.

Studies are drawn from worlds with a known gap (`benchmarks.worlds`) and read by the rules of a verdict
(`benchmarks.sequence`, which tests hold to normsweep's own functions). Each table is printed as Markdown:

    nice -n 10 python -m benchmarks.outcomes errors

Counts are kept in `benchmarks/outcomes.json`; only what is missing there is simulated.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray
from scipy.special import betaincinv
from scipy.stats import t

from benchmarks.sequence import (
    AHEAD,
    BEHIND,
    CLEARLY,
    DECIDED,
    FIRST,
    LEVEL,
    LITTLE,
    MOST,
    NAMES,
    Sums,
    bounds,
    ends,
    read,
    same_everywhere,
    sums,
)
from benchmarks.worlds import World, draw, pairs_of, seeds_of
from normsweep.analysis.sequential import levels
from normsweep.shell import command, run

__all__ = ["TABLES", "Cell", "at_most", "counted", "false_words"]

SAVED = Path(__file__).with_name("outcomes.json")
ALPHA = 0.05
STUDIES = 4_000
CHUNK = 1000
"""Studies that are held in memory at once; each chunk has a random stream of its own."""
LOOKS = (5, 10, 20)
Counts = Mapping[str, float]
app = command(
    "python -m benchmarks.outcomes",
    "Simulate confirmations with a known gap, and print how often the outcome is wrong.",
)


@dataclass(frozen=True)
class Cell:
    """Studies of one world. `shared`: whether the arms share the level, or each has all of it."""

    world: World
    studies: int
    shared: bool = True
    measure: str = "sequence"
    """What is counted: a key of `MEASURES`."""

    @property
    def key(self) -> str:
        """What differs from the defaults, as JSON."""
        plain, default = asdict(self), asdict(Cell(World(0, 0, 0, 0), 0))
        world = {k: v for k, v in plain.pop("world").items() if v != default["world"][k]}
        return json.dumps(world | {k: v for k, v in plain.items() if v != default[k]})

    @property
    def arms(self) -> int:
        """The number that the level is divided by."""
        return self.world.arms if self.shared else 1


def counted(cell: Cell) -> Counts:
    """Sums over the studies of a cell."""
    total: dict[str, float] = {}
    for chunk in range(0, cell.studies, CHUNK):
        rng = np.random.default_rng([zlib.crc32(cell.key.encode()), chunk])
        found = MEASURES[cell.measure](cell, min(CHUNK, cell.studies - chunk), rng)
        total = {name: total.get(name, 0.0) + value for name, value in found.items()}
    return total


def false_words(gap: float) -> tuple[int, ...]:
    """The outcomes that are false for a gap, in margins."""
    false = {
        AHEAD: gap <= 0,
        LEVEL: gap <= -1,
        LITTLE: gap <= -1 or gap >= 0,
        BEHIND: gap >= 0,
        CLEARLY: gap >= -1,
    }
    return tuple(word for word, is_false in false.items() if is_false)


def _drawn(world: World, studies: int, rng: np.random.Generator) -> Sums:
    """The sums of so many studies; with several arms, those of a study follow one another."""
    if not world.error:
        return same_everywhere(seeds_of(world, studies, rng), world.images)
    tables = [table for _ in range(studies) for table in pairs_of(*draw(world, rng))]
    return sums(tables, world.images)


def _sequence(cell: Cell, studies: int, rng: np.random.Generator) -> Counts:
    """Ends of the sequential confirmation, with and without stops, for any of the arms together."""
    world, tails = cell.world, np.array(levels(ALPHA / 2 / cell.arms, FIRST, MOST))
    found = _drawn(world, studies, rng)
    end = ends(found, tails, world.margin)
    never = ends(found, tails, world.margin, futility=False)
    false, judged = false_words(world.gap), end.outcome >= 0
    words = {name: float((end.outcome == i).sum()) for i, name in enumerate(NAMES)}
    return words | {
        "studies": studies,
        "arms": len(judged),
        "judged": judged.sum(),
        "pairs": end.pairs[judged].sum(),
        "false": _any(np.isin(end.outcome, false), world.arms),
        "false without a stop": _any(np.isin(end.last, false), world.arms),
        "covered": _inside(end.low, world.truth, end.high)[judged].sum(),
        "covered without a stop": _inside(end.low_last, world.truth, end.high_last)[judged].sum(),
        "decided": np.isin(end.outcome, DECIDED).sum(),
        "futile": end.futile.sum(),
        "decided without futility": np.isin(never.outcome, DECIDED).sum(),
        "pairs without futility": never.pairs[judged].sum(),
        "revoked": end.revoked.sum(),
    }


def _looks(cell: Cell, studies: int, rng: np.random.Generator) -> Counts:
    """One analysis after 5, 10 or 20 pairs: with one more image, without, and by Satterthwaite."""
    world = cell.world
    found = _drawn(world, studies, rng)
    tails = np.full(MOST - FIRST + 1, ALPHA / 2 / cell.arms)
    rules = {
        "": bounds(found, tails),
        " without the image": bounds(found, tails, image=0),
        " by Satterthwaite": _satterthwaite(found, tails),
    }
    counts: dict[str, float] = {"studies": studies, "arms": len(found.total)}
    for rule, (low, high) in rules.items():
        words = read(low, high, world.margin)
        for pairs in LOOKS:
            at, name = pairs - FIRST, f"{pairs}{rule}"
            given = ~np.isnan(low[:, at])
            counts[f"judged {name}"] = given.sum()
            counts[f"decided {name}"] = np.isin(words[given, at], DECIDED).sum()
            counts[f"above {name}"] = (low[:, at] > world.truth).sum()
            counts[f"below {name}"] = (high[:, at] < world.truth).sum()
            counts[f"width {name}"] = np.nansum(high[:, at] - low[:, at])
            wrong = np.isin(words[:, at], false_words(world.gap)) & given
            counts[f"false {name}"] = _any(wrong, world.arms)
    return counts


def _satterthwaite(found: Sums, tails: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """The interval of earlier versions: t with the degrees of freedom of Satterthwaite (1946)."""
    mean, seeds, images = found.parts()
    n, both = np.arange(FIRST, MOST + 1), seeds + images
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = (seeds / both) ** 2 / (n - 1) + (images / both) ** 2 / (found.images - 1)
        half = t.isf(tails, np.where(both > 0, 1 / parts, n - 1)) * np.sqrt(both)
    return mean - half, mean + half


def _stuck(cell: Cell, studies: int, rng: np.random.Generator) -> Counts:
    """One analysis of 5, 10 or 20 seeds: stuck networks counted as trained (right on a tenth), or left out."""
    world, tails = cell.world, np.full(MOST - FIRST + 1, ALPHA / 2)
    counted_in, pairs, tables = list[NDArray[np.int8]](), list[NDArray[np.bool_]](), []
    for _ in range(studies):
        wrong, trained = draw(world, rng)
        counted_in.append(next(_with_stuck(wrong, trained, world, rng)))
        pairs.append(trained.all(axis=0))
        tables += list(pairs_of(wrong, trained))
    found, both = sums(tables, world.images), np.array(pairs).cumsum(axis=1)
    words = read(*bounds(found, tails), world.margin)
    kept = read(*bounds(sums(counted_in, world.images), tails), world.margin)
    counts: dict[str, float] = {"studies": studies, "arms": studies}
    for seeds in LOOKS:
        place = both[:, seeds - 1] - FIRST
        apart = np.where(place >= 0, words[np.arange(studies), np.maximum(place, 0)], -1)
        counts[f"decided {seeds}"] = np.isin(apart, DECIDED).sum()
        counts[f"decided {seeds} counted in"] = np.isin(kept[:, seeds - FIRST], DECIDED).sum()
    return counts


def _with_stuck(
    wrong: list[NDArray[np.bool_]],
    trained: NDArray[np.bool_],
    world: World,
    rng: np.random.Generator,
) -> Iterator[NDArray[np.int8]]:
    """Differences of all seeds, whether they trained or not, with all images."""
    right = []
    for net, also in zip(wrong, trained, strict=True):
        full = np.ones((len(net), world.images), np.int8)
        full[:, : net.shape[1]] = ~net
        one_class = rng.random(world.images) < 0.1
        full[~also] = one_class
        right.append(full)
    for arm in right[1:]:
        yield arm - right[0]


def _any(wrong: NDArray[np.bool_], arms: int) -> float:
    """In how many studies any of the arms is wrong."""
    return float(wrong.reshape(-1, arms).any(axis=1).sum())


def _inside(low: NDArray[np.float64], truth: float, high: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (low <= truth) & (truth <= high)


MEASURES: Mapping[str, Callable[[Cell, int, np.random.Generator], Counts]] = {
    "sequence": _sequence,
    "looks": _looks,
    "stuck": _stuck,
}


def at_most(count: float, studies: float) -> float:
    """The upper 99 % bound of a share (Clopper & Pearson, Biometrika 26(4), 1934)."""
    return float(betaincinv(count + 1, studies - count, 0.99)) if count < studies else 1.0


# The tables

DIGITS = World(360, 0.02, 0.05, 0)
MNIST = World(10_000, 0.002, 0.011, 0)
SEEDS_ONLY = World(1_000_000, 0.002, 0, 0, seed=1 / 0.7 / 2**0.5)
"""The margin is 0.7 standard deviations of the difference of two networks."""
SIZES = (
    World(100, 0.02, 0.05, 0),
    DIGITS,
    World(1_000, 0.005, 0.025, 0),
    MNIST,
    replace(MNIST, seed=0.7),
)
KINDS = {0.0: "all hard images", 0.01: "1 % of the images", 0.05: "5 % of the images"}
EASY = 25
"""How many times as many studies there are of worlds without noise of images, where the shares are nominal."""
Row = tuple[str, ...]
Ask = Callable[[Cell], Counts]


def errors(ask: Ask, studies: int) -> Iterator[Row]:
    """False outcomes and coverage with seed noise that is normal / Student's t with 3 degrees of freedom."""
    yield ("test images", "margin", "seed deviation", "gap on", *CLAIMS)
    for size in SIZES:
        for rare, kind in KINDS.items():
            name = (f"{size.images:,}", _percent(size.margin), f"{size.seed:g} m", kind)
            yield (*name, *_both(ask, studies, replace(size, rare=rare)))
    name = ("no noise of images", "", f"{SEEDS_ONLY.seed:.2f} m", "")
    yield (*name, *_both(ask, studies, SEEDS_ONLY))


CLAIMS = (
    "false: gap 0", "gap −m", "gap −1.5 m", "at most (99 %)", "covers at the stop", "with all 20 seeds",
)  # fmt: skip
"""The most of `at most` and the least coverage over the gaps 0, −m, −1.5 m and −5 m."""


def _both(ask: Ask, studies: int, world: World) -> Iterator[str]:
    """The claims with both kinds of noise between seeds."""
    normal, t3 = (_claims(ask, studies, replace(world, noise=n)) for n in ("normal", "t3"))
    for a, b in zip(normal, t3, strict=True):
        yield f"{a[:-2]} / {b}"


def _claims(ask: Ask, studies: int, world: World) -> Row:
    count = studies if world.error else EASY * studies
    cells = [
        ask(Cell(replace(world, gap=gap), count if gap != -5 else count // 4))
        for gap in (0, -1, -1.5, -5)
    ]
    false = [c["false"] / c["studies"] for c in cells[:3]]
    bound = max(
        at_most(c[f], c["studies"]) for c in cells for f in ("false", "false without a stop")
    )
    covers = [
        min(c[which] / c["judged"] for c in cells)
        for which in ("covered", "covered without a stop")
    ]
    return tuple(map(_percent, (*false, bound, *covers)))


def arms(ask: Ask, studies: int) -> Iterator[Row]:
    """False outcomes of any arm, and coverage, by the number of arms and the share of stuck seeds, noise t3."""
    yield ("test images", "arms", "stuck", "gap on", *CLAIMS)
    for size in (DIGITS, MNIST):
        for count, stuck, rare in (
            (1, 0.05, 0.0), (1, 0.05, 0.05), (2, 0.0, 0.05), (4, 0.05, 0.01), (7, 0.0, 0.0), (7, 0.0, 0.01),
        ):  # fmt: skip
            world = replace(size, rare=rare, noise="t3", arms=count, stuck=stuck)
            name = (f"{size.images:,}", str(count + 1), _percent(stuck), KINDS[rare])
            yield (*name, *_claims(ask, studies // 2, world))


def words(ask: Ask, studies: int) -> Iterator[Row]:
    """The share of each outcome by the true gap, and the seeds it takes."""
    yield ("test images", "true gap", *NAMES[1:6], "open", "given up as futile", "mean seeds")
    for size in (DIGITS, MNIST):
        for gap in (2, 1, 0.5, 0, -0.5, -1, -1.5, -2, -3, -5):
            c = ask(Cell(replace(size, gap=gap), studies // 4))
            shares = [c[name] / c["arms"] for name in (*NAMES[1:6], "open", "futile")]
            seeds = f"{c['pairs'] / c['judged']:.1f}"
            yield (f"{size.images:,}", f"{gap:g} m", *map(_percent, shares), seeds)


def image(ask: Ask, studies: int) -> Iterator[Row]:
    """The interval without and with one more image, in one analysis of 5 / 20 seeds."""
    yield (
        "test images", "margin", "gap on", "false “level” at −m: without", "with one more",
        "decided at gap 0: without", "with one more",
    )  # fmt: skip
    few = (World(100, 0.02, 0.05, 0), World(360, 0.01, 0.05, 0), DIGITS, World(1_000, 0.003, 0.025, 0),
           World(1_000, 0.01, 0.025, 0), MNIST)  # fmt: skip
    for size in few:
        for rare, kind in KINDS.items():
            at = ask(Cell(replace(size, rare=rare, gap=-1), studies, measure="looks"))
            level = ask(Cell(replace(size, rare=rare), studies // 4, measure="looks"))
            cells = (
                " / ".join(f"{100 * c[f'{what} {n}{rule}'] / c['arms']:.1f}" for n in (5, 20))
                + " %"
                for c, what in ((at, "above"), (level, "decided"))
                for rule in (" without the image", "")
            )
            yield (f"{size.images:,}", _percent(size.margin), kind, *cells)


def width(ask: Ask, studies: int) -> Iterator[Row]:
    """Half-width √(t²·V_s + z²·V_i) and Satterthwaite's, without the image, each bound by itself."""
    yield (
        "test images", "compared arms", "seeds", "nominal", "truth below the interval: Satterthwaite",
        "√(t²·V_s + z²·V_i)", "above it: Satterthwaite", "√(t²·V_s + z²·V_i)", "width, relative",
    )  # fmt: skip
    for size in (DIGITS, MNIST):
        for divided in (1, 7):
            # Independent studies, each read at the level that it has with so many arms.
            world = replace(size, gap=-1, arms=divided)
            c = ask(Cell(world, max(4 * studies // divided, 1), measure="looks"))
            for n in LOOKS:
                old, new = f"{n} by Satterthwaite", f"{n} without the image"
                shares = [
                    c[f"{end} {rule}"] / c["arms"]
                    for end in ("above", "below")
                    for rule in (old, new)
                ]
                ratio = c[f"width {new}"] / c[f"width {old}"]
                nominal = f"{100 * ALPHA / 2 / divided:.2f} %"
                cells = (f"{100 * share:.2f} %" for share in shares)
                yield (f"{size.images:,}", str(divided), str(n), nominal, *cells, f"{ratio:.2f}")


def stuck(ask: Ask, studies: int) -> Iterator[Row]:
    """5 % of the networks stuck at the level of guessing; decided at gap 0 in one analysis."""
    yield ("test images", "seeds", "decided: counted as trained", "left out")
    for size in (DIGITS, MNIST):
        c = ask(Cell(replace(size, stuck=0.05), studies // 8, measure="stuck"))
        for seeds in LOOKS:
            shares = [c[f"decided {seeds}{rule}"] / c["arms"] for rule in (" counted in", "")]
            yield (f"{size.images:,}", str(seeds), *map(_percent, shares))


def power(ask: Ask, studies: int) -> Iterator[Row]:
    """Shares of studies that are decided, and the mean number of seeds."""
    yield (
        "test images", "true gap", "5 to 20 seeds: decided", "mean seeds", "without futility: decided",
        "mean seeds", "5 seeds at once", "10", "20",
    )  # fmt: skip
    for size in (DIGITS, MNIST, SEEDS_ONLY):
        for gap in (0, -0.5, -1.5, -2, -3, -5):
            count = studies // 4 if size.error else EASY * studies
            c = ask(Cell(replace(size, gap=gap), count))
            one = ask(Cell(replace(size, gap=gap), count, measure="looks"))
            at_once = [_percent(one[f"decided {n}"] / one["arms"]) for n in LOOKS]
            yield (
                f"{size.images:,}" if size.error else "no noise of images", f"{gap:g} m",
                _percent(c["decided"] / c["arms"]), f"{c['pairs'] / c['judged']:.1f}",
                _percent(c["decided without futility"] / c["arms"]),
                f"{c['pairs without futility'] / c['judged']:.1f}", *at_once,
            )  # fmt: skip


def questions(ask: Ask, studies: int) -> Iterator[Row]:
    """Some false word among six questions that are read once, each at the full level."""
    yield ("test images", "gap", "questions", "false: 5 seeds", "10 seeds", "20 seeds")
    for size in (DIGITS, MNIST):
        for gap in (0, -1):
            for count in (1, 6):
                world = replace(size, gap=gap, arms=count)
                c = ask(Cell(world, studies // 2, shared=False, measure="looks"))
                shares = [_percent(c[f"false {n}"] / c["studies"]) for n in LOOKS]
                yield (f"{size.images:,}", f"{gap:g} m", str(count), *shares)


def unkind(ask: Ask, studies: int) -> Iterator[Row]:
    """What is not claimed: an arm, but not the reference, has an exponential tail of bad networks."""
    yield ("test images", "seed deviation", *CLAIMS)
    for size in (DIGITS, MNIST, SEEDS_ONLY):
        name = f"{size.images:,}" if size.error else "no noise of images"
        world = replace(size, noise="exponential")
        yield (name, f"{world.seed:.2f} m", *_claims(ask, studies, world))


TABLES = {
    "errors": errors, "arms": arms, "words": words, "image": image, "width": width,
    "stuck": stuck, "power": power, "questions": questions, "unkind": unkind,
}  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


@app.default
def outcomes(
    *tables: Annotated[str, Parameter(help=f"Of {', '.join(TABLES)}; all, if none is named.")],
    studies: Annotated[
        int, Parameter(help="Studies of each cell; some tables need fewer.")
    ] = STUDIES,
    saved: Annotated[Path, Parameter(help="The file of counts.")] = SAVED,
) -> int:
    """Simulate what is missing, and print the tables as Markdown."""
    known: dict[str, Counts] = json.loads(saved.read_text()) if saved.exists() else {}

    def ask(cell: Cell) -> Counts:
        if cell.key not in known:
            known[cell.key] = {
                k: int(v) if v == int(v) else float(f"{v:.6g}")
                for k, v in counted(cell).items()
                if v
            }
            lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in known.items())
            saved.write_text(f"{{\n{lines}\n}}\n")
        return defaultdict(float, known[cell.key])

    for name in tables or TABLES:
        print(f"\n{TABLES[name].__doc__}\n", flush=True)
        for place, row in enumerate(TABLES[name](ask, studies)):
            print(f"| {' | '.join(row)} |", flush=True)
            if not place:
                print("|---" * len(row) + "|")
    return 0


if __name__ == "__main__":
    sys.exit(run(app))
