"""The smaller tables of a page, every cell a string."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from normsweep.parts.metrics import Metric
from normsweep.reporting.content import ReportContent
from normsweep.reporting.words import percent, settings_words
from normsweep.text import counted, duration

__all__ = ["PageTable", "arms_of", "configurations_of", "speed_of", "trials_of"]

Cell = Callable[[Any], str]


@dataclass(frozen=True)
class PageTable:
    """Heads and rows of text; `kinds` says of each column whether it is number, short or long."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...]


def configurations_of(content: ReportContent) -> PageTable | None:
    """What each arm was trained with in the confirmation."""
    frame = _named(content.frames.configurations, content)
    shown = {"optimizer", "learning_rate", "epochs", content.compare}
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
    return _table(frame, columns, "What each arm was trained with in the confirmation")


def speed_of(content: ReportContent) -> PageTable | None:
    """What it takes to reach the reference: epochs, seconds, tuning."""
    frame = _named(content.frames.speed, content)
    longest = content.longest_epochs
    never = f"not within {counted(longest, 'epoch')}" if longest else "not reached"
    columns: dict[str, tuple[str, Cell]] = {
        "arm": ("Arm", _text),
        "configuration": ("Settings", _text),
        "epochs_to_level": ("Epochs to the level", lambda value: _whole(value) or never),
        "seconds_to_level": ("Time to the level", lambda value: _time(value) or "–"),
        "tuning_epochs": ("Epochs of tuning before", lambda value: _whole(value) or "–"),
        "tuning_seconds": ("Time of tuning before", lambda value: _time(value) or "–"),
    }
    epochs = content.baseline_epochs
    when = f" after {counted(epochs, 'epoch')}" if epochs else ""
    caption = (
        f"What it takes to first reach the level that {content.reference} has with the baseline "
        f"settings{when}: means over the seeds, no test"
    )
    return _table(frame, columns, caption)


def arms_of(content: ReportContent) -> PageTable | None:
    """How each arm's trials ended."""
    by = content.metric
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
    return _table(content.frames.arms, columns, "The trials of each arm")


def trials_of(content: ReportContent) -> PageTable | None:
    """All trials, without what identifies them for machines."""
    by = content.metric
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
    return _table(content.frames.trials, columns, "All trials")


def _named(frame: pd.DataFrame, content: ReportContent) -> pd.DataFrame:
    """The frame with its configurations in words, one that says the same as another left out."""
    if frame.empty:
        return frame
    same = content.baseline_epochs is not None and content.baseline_epochs == content.longest_epochs
    kept = frame[frame["configuration"] != "tuned_short"] if same else frame
    words = [
        settings_words(str(name), content.baseline_epochs, content.longest_epochs)
        for name in kept["configuration"]
    ]
    return kept.assign(configuration=words)


def _others(text: str, shown: Container[str]) -> str:
    """Of parameters like `momentum = 0.9, epochs = 4` those that have no column of their own."""
    pairs = [pair for pair in text.split(", ") if pair.split("=")[0].strip() not in shown]
    return ", ".join(pairs)


def _table(
    frame: pd.DataFrame, columns: dict[str, tuple[str, Cell]], caption: str
) -> PageTable | None:
    """The columns that the frame has; those without any text are left out."""
    if frame.empty:
        return None
    cells: dict[str, list[str]] = {}
    for name, (head, cell) in columns.items():
        if name in frame.columns:
            texts = [cell(None if pd.isna(v) else v) for v in frame[name].astype(object)]
            if any(texts):
                cells[head] = texts
    rows = tuple(zip(*cells.values(), strict=True))
    return PageTable(caption, tuple(cells), rows, tuple(map(_kind, cells.values())))


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
