"""The smaller tables of a page, every cell a string."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from normsweep.analysis.endings import ArmEndings
from normsweep.analysis.evidence import Evidence
from normsweep.analysis.exchange import budgets
from normsweep.analysis.factorial import PARTS, Factorial
from normsweep.analysis.seed_scores import Spread, spreads
from normsweep.parts.metrics import Metric
from normsweep.reporting.ending_words import NAMES, bound_words
from normsweep.reporting.mechanism import conditions, with_interval
from normsweep.reporting.words import percent, settings_words, worth_words
from normsweep.sweep.arms import fixed_by_all
from normsweep.sweep.study_record import BASELINE, BASELINES, TUNED_SHORT
from normsweep.sweep.trial import SEARCH
from normsweep.text import counted, duration, opening, quoted

__all__ = [
    "PageTable",
    "arms_of",
    "configurations_of",
    "endings_of",
    "exchange_of",
    "mechanism_of",
    "speed_of",
    "summary_of",
    "trials_of",
]

Cell = Callable[[Any], str]
MANY = 1000
"""Trials that a page lists; the CSV file beside it has all of them."""


@dataclass(frozen=True)
class PageTable:
    """Heads and rows of text; `kinds` says of each column whether it is number, short or long.

    `arms` are the arms of the rows; `links` are addresses by the text of the column `Trial`.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...]
    arms: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)


def configurations_of(frame: pd.DataFrame | None, found: Evidence) -> PageTable | None:
    """What each arm was trained with in the confirmation."""
    sweep = found.record.sweep
    shown = {"optimizer", "learning_rate", "epochs", *fixed_by_all(sweep.arms)}
    columns: dict[str, tuple[str, Cell]] = {
        "arm": ("Arm", _text),
        "configuration": ("Settings", _text),
        "optimizer": ("Optimizer", _text),
        "learning_rate": ("Learning rate", _short),
        "params": ("Others", lambda value: _others(_text(value), shown)),
        "selected_at": ("Chosen at epoch", _whole),
        "trials": ("Out of trials", lambda value: _whole(value or None)),
        "trial": ("Trial", _whole),
    }
    caption = "What each arm was trained with in the confirmation"
    return _table(_named(frame, found), columns, caption)


def speed_of(frame: pd.DataFrame | None, found: Evidence) -> PageTable | None:
    """What it takes to reach the reference: epochs, seconds, tuning."""
    longest, epochs = found.longest, found.record.sweep.confirm.baseline.epochs
    never = f"not within {counted(longest, 'epoch')}" if longest else "not reached"
    columns: dict[str, tuple[str, Cell]] = {
        "arm": ("Arm", _text),
        "configuration": ("Settings", _text),
        "epochs_to_level": ("Epochs to the level", lambda value: _whole(value) or never),
        "seconds_to_level": ("Time to the level", lambda value: _time(value) or "–"),
        "tuning_epochs": ("Epochs of tuning before", lambda value: _whole(value) or "–"),
        "tuning_seconds": ("Time of tuning before", lambda value: _time(value) or "–"),
    }
    caption = (
        f"What it takes to first reach the level that {found.reference} has with the baseline "
        f"settings after {counted(epochs, 'epoch')}: means over the seeds, no test"
    )
    return _table(_named(frame, found), columns, caption)


def summary_of(found: Evidence) -> PageTable | None:
    """Test scores: a row an arm, a column a configuration and number of epochs."""
    made = spreads(found.scores)
    columns = dict.fromkeys(map(_column, made))
    if not columns:
        return None
    cells = {(s.configuration.arm, *_column(s)): _spread(s, found) for s in made}
    arms = tuple(dict.fromkeys(s.configuration.arm for s in made))
    heads = (_settings(name, epochs) for name, epochs in columns)
    rows = tuple((arm, *(cells.get((arm, *column), "–") for column in columns)) for arm in arms)
    caption = (
        f"{opening(found.metric.label)} on the test data after so many epochs: mean ± standard deviation over "
        f"{counted(found.analysis.seeds, 'seed')} where nothing else is said, of those that trained"
    )
    return PageTable(caption, ("Arm", *heads), rows, ("short", *("number",) * len(columns)), arms)


def _column(spread: Spread) -> tuple[str, int]:
    """Configuration and epochs; a baseline of its own length is in the column of the others."""
    name = spread.configuration.name
    return BASELINE if name in BASELINES else name, spread.epochs


def _settings(name: str, epochs: int) -> str:
    return f"{'Baseline' if name == BASELINE else 'Tuned'}, {counted(epochs, 'epoch')}"


def _spread(spread: Spread, found: Evidence) -> str:
    if not spread.trained:
        return "none trained"
    by = found.metric
    mean, deviation = percent(spread.mean, by=by), percent(spread.deviation, by=by)
    return f"{mean.removesuffix(' %')} ± {deviation}{_of_seeds(spread, found.analysis.seeds)}"


def _of_seeds(spread: Spread, most: int) -> str:
    """Over how many seeds, unless over all of the study."""
    if spread.trained < spread.seeds:
        return f" ({spread.trained} of {spread.seeds})"
    return "" if spread.seeds == most else f" ({counted(spread.seeds, 'seed')})"


def endings_of(found: Evidence) -> PageTable | None:
    """How trainings ended: a row an arm in the search, and a row an arm and configuration."""
    groups = found.endings.arms
    if not groups:
        return None
    rows = tuple(
        (group.arm, _trainings(group), *map(str, _ends(group)), bound_words(group), _kinds(group))
        for group in groups
    )
    return PageTable(
        caption="How trainings ended. Stuck: no better than guessing. At most: 95 % bound of the share that does not train",
        heads=(
            "Arm",
            "Trainings",
            "Trained",
            "Stuck",
            "Diverged",
            "Failed",
            "At most",
            "Why stuck",
        ),
        rows=rows,
        kinds=("short", "short", "number", "number", "number", "number", "short", "long"),
        arms=tuple(group.arm for group in groups),
    )


def _trainings(group: ArmEndings) -> str:
    if group.phase == SEARCH:
        return f"{counted(group.counts.seeds + group.failed, 'trial')} of the search"
    seeds = counted(group.counts.seeds + group.failed, "seed")
    return f"{seeds}, {group.configuration.replace('_', ' ')}"


def _ends(group: ArmEndings) -> tuple[int, int, int, int]:
    counts = group.counts
    return counts.trained, counts.stuck, counts.diverged, group.failed


def _kinds(group: ArmEndings) -> str:
    return ", ".join(f"{count} {NAMES[kind]}" for kind, count in group.kinds.items())


def exchange_of(found: Evidence) -> PageTable | None:
    """What the epochs of the reference are worth: a row an arm and configuration, a column a number of epochs."""
    groups: dict[tuple[str, str], list[str]] = {}
    for each in found.exchanges:
        cell = worth_words(each.worth, each.longest)
        groups.setdefault((each.arm, each.configuration), []).append(cell)
    longest = found.longest
    if not groups or longest is None:
        return None
    words = {name: settings_words(name, None, longest) for _, name in groups}
    heads = (counted(after, "epoch") for after in budgets(longest))
    caption = (
        f"Epochs in which an arm reaches what {quoted(found.reference)} has with the same kind of settings after so many, "
        f"with the {100 * found.record.sweep.confirm.confidence:g} % interval for new seeds"
    )
    return PageTable(
        caption=caption,
        heads=("Arm", "Settings", *heads),
        rows=tuple((arm, words[name], *cells) for (arm, name), cells in groups.items()),
        kinds=("short", "short", *("number",) * len(budgets(longest))),
        arms=tuple(arm for arm, _ in groups),
    )


def arms_of(frame: pd.DataFrame | None, by: Metric) -> PageTable | None:
    """How each arm's trials ended."""
    columns: dict[str, tuple[str, Cell]] = {
        "arm": ("Arm", _text),
        "trials": ("Trials", _whole),
        "complete": ("Complete", _whole),
        "diverged": ("Diverged", _whole),
        "pruned": ("Pruned", _whole),
        "failed": ("Failed", _whole),
        f"best_val_{by.name}": ("Best on validation", _value_of(by)),
        f"median_val_{by.name}": ("Median", _value_of(by)),
        "seconds": ("Compute", _time),
    }
    return _table(frame, columns, "The trials of each arm")


def trials_of(frame: pd.DataFrame | None, by: Metric, links: Mapping[int, str]) -> PageTable | None:
    """All trials, or the last ones of very many, without what identifies them for machines.

    `links` are the addresses of their runs in MLflow, by the trial's number.
    """
    columns: dict[str, tuple[str, Cell]] = {
        "trial": ("Trial", _whole),
        "phase": ("Phase", _text),
        "arm": ("Arm", _text),
        "configuration": ("Settings", lambda value: _text(value).replace("_", " ")),
        "status": ("Ended", _text),
        "optimizer": ("Optimizer", _text),
        "learning_rate": ("Learning rate", _short),
        "epochs": ("Epochs", _whole),
        f"val_{by.name}": (f"Validation {by.label}", _value_of(by)),
        "seconds": ("Time", _time),
    }
    if frame is None:
        return None
    count, shown = len(frame), frame.tail(MANY)
    caption = (
        f"The last {MANY:,} of {count:,} trials"
        if count > MANY
        else f"All {counted(count, 'trial')}"
    )
    table = _table(shown, columns, caption)
    return table and replace(table, links={_whole(number): link for number, link in links.items()})


def _named(frame: pd.DataFrame | None, found: Evidence) -> pd.DataFrame | None:
    """The frame with its configurations in words, one that says the same as another left out."""
    if frame is None:
        return None
    short, longest = found.record.sweep.confirm.baseline.epochs, found.longest
    kept = frame[frame["configuration"] != TUNED_SHORT] if short == longest else frame
    words = [settings_words(str(name), short, longest) for name in kept["configuration"]]
    return kept.assign(configuration=words)


def _others(text: str, shown: Container[str]) -> str:
    """Of parameters like `momentum = 0.9, epochs = 4` those that have no column of their own."""
    pairs = [pair for pair in text.split(", ") if pair.split("=")[0].strip() not in shown]
    return ", ".join(pairs)


def _table(
    frame: pd.DataFrame | None, columns: dict[str, tuple[str, Cell]], caption: str
) -> PageTable | None:
    """The columns that the frame has; those without any text are left out."""
    if frame is None:
        return None
    cells: dict[str, list[str]] = {}
    for name, (head, cell) in columns.items():
        if name in frame.columns:
            texts = [cell(None if pd.isna(v) else v) for v in frame[name].astype(object)]
            if any(texts):
                cells[head] = texts
    rows = tuple(zip(*cells.values(), strict=True))
    kinds = tuple(map(_kind, cells.values()))
    return PageTable(caption, tuple(cells), rows, kinds, tuple(map(str, frame["arm"])))


def _kind(texts: Sequence[str]) -> str:
    """How a column is set: numbers at the right, short texts on one line, long ones broken."""
    numbers = [text for text in texts if text[:1].isdigit()]
    others = {text for text in texts if text and not text[0].isdigit()}
    if numbers and len(others) <= 2 and all(text[0] in "–n" for text in others):
        return "number"
    return "short" if max(map(len, texts), default=0) <= 32 else "long"


def _text(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())


def _whole(value: Any) -> str:
    return "" if value is None else f"{int(value):,}"


def _short(value: Any) -> str:
    return "" if value is None else f"{float(value):.2g}"


def _value_of(by: Metric) -> Cell:
    return lambda value: "" if value is None else percent(float(value), by=by)


def _time(value: Any) -> str:
    return "" if value is None or not math.isfinite(value) else duration(float(value))


def mechanism_of(found: Evidence) -> PageTable | None:
    """The gap and its parts, a row a factorial; None without one."""
    if not found.factorials:
        return None
    unit = f" ({found.metric.unit})" if found.metric.unit else ""
    heads = (
        "Settings",
        f"Gap{unit}",
        "Start alone",
        "Steps alone",
        "Only both",
        "Controls",
        "Trained",
    )
    level = round(100 * found.factorials[0].level, 3)
    caption = (
        f"The gap to {found.reference} and what of it goes with each half, {level:g} % intervals; trained: seeds on raw "
        "inputs, with the start undone, with the steps undone, of the reference"
    )
    rows = tuple(_mechanism_row(each) for each in found.factorials)
    kinds = ("short", *("number",) * 5, "short")
    return PageTable(caption, heads, rows, kinds, tuple(f.cells.raw for f in found.factorials))


def _mechanism_row(factorial: Factorial) -> tuple[str, ...]:
    estimates = [factorial.effects.gap, *(factorial.effects.part(part) for part in PARTS)]
    cells = [with_interval(estimate, factorial) for estimate in estimates]
    controls = [with_interval(control.gap, factorial) for control in factorial.controls]
    counts = " · ".join(str(cell.trained) for cell in factorial.trained)
    settings = opening(conditions(factorial))
    return settings, *cells, "; ".join(controls) or "–", f"{counts} of {factorial.seeds}"
