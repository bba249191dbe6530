"""The smaller tables of a page, every cell a string."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from normsweep.reporting.content import ReportContent
from normsweep.reporting.plan import duration
from normsweep.reporting.words import counted, percent, settings_words

__all__ = ["PageTable", "arms_of", "configurations_of", "speed_of", "trials_of"]

Cell = Callable[[Any], str]


@dataclass(frozen=True)
class PageTable:
    """Heads and rows of text; `numeric` says which columns stand right."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]


def configurations_of(content: ReportContent) -> PageTable | None:
    """What each arm was trained with in the confirmation."""
    frame = content.frames.configurations.copy()
    if frame.empty:
        return None
    frame["configuration"] = [
        settings_words(str(name), content.baseline_epochs, content.longest_epochs)
        for name in frame["configuration"]
    ]
    columns: dict[str, tuple[str, Cell]] = {
        "arm": ("Arm", _text),
        "configuration": ("Settings", _text),
        "optimizer": ("Optimizer", _text),
        "learning_rate": ("Learning rate", _short),
        "params": ("Others", _text),
        "selected_at": ("Chosen at epoch", _whole),
        "trials": ("Out of trials", _whole),
        "trial": ("Trial", _whole),
    }
    return _table(frame, columns, "What each arm was trained with in the confirmation")


def speed_of(content: ReportContent) -> PageTable | None:
    """What it takes to reach the reference: epochs, seconds, tuning."""
    frame = content.frames.speed.copy()
    if frame.empty:
        return None
    frame["configuration"] = [
        settings_words(str(name), content.baseline_epochs, content.longest_epochs)
        for name in frame["configuration"]
    ]
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
    caption = f"What it takes to reach the level of {content.reference}"
    return _table(frame, columns, caption)


def arms_of(content: ReportContent) -> PageTable | None:
    """How each arm's trials ended."""
    columns: dict[str, tuple[str, Cell]] = {
        "arm": ("Arm", _text),
        "trials": ("Trials", _whole),
        "complete": ("Complete", _whole),
        "diverged": ("Diverged", _whole),
        "pruned": ("Pruned", _whole),
        "failed": ("Failed", _whole),
        "best_val_accuracy": ("Best on validation", _accuracy),
        "median_val_accuracy": ("Median", _accuracy),
        "seconds": ("Compute", _time),
    }
    return _table(content.frames.arms, columns, "The trials of each arm")


def trials_of(content: ReportContent) -> PageTable | None:
    """All trials of the search, without what identifies them for machines."""
    columns: dict[str, tuple[str, Cell]] = {
        "trial": ("Trial", _whole),
        "arm": ("Arm", _text),
        "status": ("Ended", _text),
        "optimizer": ("Optimizer", _text),
        "learning_rate": ("Learning rate", _short),
        "epochs": ("Epochs", _whole),
        "val_accuracy": ("Validation accuracy", _accuracy),
        "seconds": ("Time", _time),
    }
    return _table(content.frames.trials, columns, "All trials of the search")


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
    return PageTable(caption, tuple(cells), rows, tuple(map(_numeric, cells.values())))


def _numeric(texts: Sequence[str]) -> bool:
    return (
        any(texts)
        and all(not text or text[0].isdigit() or text[0] in "–n" for text in texts)
        and (any(text[:1].isdigit() for text in texts))
    )


def _text(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())


def _whole(value: Any) -> str:
    return "" if value is None else f"{int(value):,}"


def _short(value: Any) -> str:
    return "" if value is None else f"{float(value):.2g}"


def _accuracy(value: Any) -> str:
    return "" if value is None else percent(float(value))


def _time(value: Any) -> str:
    return "" if value is None or not math.isfinite(value) else duration(float(value))
