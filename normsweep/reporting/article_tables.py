"""The tables of a study as an article prints them: the columns that matter, with heads, units and captions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from normsweep.analysis.outcomes import Outcome
from normsweep.analysis.stuck import Kind
from normsweep.analysis.verdicts import repeated_questions
from normsweep.parts.metrics import CLASSIFICATION, Metric, metric
from normsweep.reporting.ending_words import NAMES
from normsweep.reporting.latex import ArticleTable
from normsweep.reporting.words import (
    between,
    gap_number,
    margin_words,
    possible,
    question_of,
    rounded_down,
    rounded_up,
    unit_of_gaps,
)
from normsweep.sweep.study_record import StudyRecord
from normsweep.text import opening

__all__ = ["article_table"]

Row = Mapping[str, Any]
MINUS = "−"


@dataclass(frozen=True)
class Column:
    """A column of a printed table: its head, and its text for a row of the table."""

    head: str
    text: Callable[[Row], str]


def article_table(name: str, frame: pd.DataFrame, record: StudyRecord) -> ArticleTable:
    """A table of `reporting.tables` for an article; `name` is its name there.

    Columns without any text are left out, and a question that repeats another one.
    """
    by = metric(record.sweep.metric)
    rows = [
        {key: None if pd.isna(value) else value for key, value in row.items()}
        for row in frame.astype(object).to_dict(orient="records")
    ]
    if name == "verdict":
        asked = ((str(r["question"]), int(r["horizon"] or 0), bool(r["primary"])) for r in rows)
        repeated = repeated_questions(asked, record.sweep.confirm.baseline.epochs)
        rows = [row for row in rows if row["question"] not in repeated]
    columns = [(column.head, [column.text(row) for row in rows]) for column in COLUMNS[name](by)]
    shown = [(head, cells) for head, cells in columns if any(cells) or not rows]
    return ArticleTable(
        caption=CAPTIONS[name](record, by),
        label="tab:" + re.sub(r"[^A-Za-z0-9]+", "-", f"{record.name}-{name}").strip("-"),
        heads=tuple(head for head, _ in shown),
        rows=tuple(zip(*(cells for _, cells in shown), strict=True)),
    )


def _text(key: str) -> Callable[[Row], str]:
    return lambda row: "" if row.get(key) is None else str(row[key]).replace("_", " ")


def _named(key: str) -> Callable[[Row], str]:
    """A name, as it is."""
    return lambda row: "" if row.get(key) is None else str(row[key])


def _number(key: str, form: str) -> Callable[[Row], str]:
    return lambda row: "" if row.get(key) is None else f"{row[key]:{form}}".replace("-", MINUS)


def _rate(key: str) -> Callable[[Row], str]:
    return lambda row: "" if row.get(key) is None else f"{row[key]:.2g}"


def _score(key: str, by: Metric) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        if row.get(key) is None:
            return ""
        if by.percent:
            return f"{100 * row[key]:.2f}"
        return by.shown(row[key]).replace("-", MINUS).replace(",", "")

    return text


def _gap(key: str, by: Metric) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        return "" if row.get(key) is None else gap_number(row[key], by=by).replace(",", "")

    return text


def _both(first: Callable[[Row], str], between: str, last: Callable[[Row], str]) -> Callable[[Row], str]:  # fmt: skip
    def text(row: Row) -> str:
        cells = first(row), last(row)
        return f"{cells[0]} {between} {cells[1]}" if all(cells) else cells[0]

    return text


def _head(before: str, by: Metric) -> str:
    """The head of a score, with its unit."""
    short = {"accuracy": "acc."}.get(by.name, by.label)
    return f"{before} {short}\n(%)" if by.percent else f"{before}\n{short}"


def _best(by: Metric) -> list[Column]:
    return [
        Column("Arm", _named("arm")),
        Column(_head("Val.", by), _score(f"val_{by.name}", by)),
        Column("Val.\nloss", _number("val_loss", ".4f")),
        *_settings(),
        Column("Epochs", _number("epochs_run", "d")),
        Column("Trial", _number("trial", "d")),
        Column("Time\n(s)", _number("seconds", ".0f")),
    ]


def _settings() -> list[Column]:
    return [
        Column("Opti-\nmizer", _text("optimizer")),
        Column("Learning\nrate", _rate("learning_rate")),
        Column("Batch\nsize", _number("batch_size", "d")),
    ]


def _budgets(by: Metric) -> list[Column]:
    return [
        Column("Arm", _named("arm")),
        Column("Epochs", _number("epochs", "d")),
        Column(_head("Val.", by), _score(f"val_{by.name}", by)),
        Column("Val.\nloss", _number("val_loss", ".4f")),
        *_settings(),
        Column("Trial", _number("trial", "d")),
        Column("Chosen\namong", _both(_number("among", "d"), "of", _number("of", "d"))),
    ]


def _trials(by: Metric) -> list[Column]:
    return [
        Column("Trial", _number("trial", "d")),
        Column("Phase", _text("phase")),
        Column("Arm", _named("arm")),
        Column("Settings", lambda row: _configuration(row)),
        Column("Ended", lambda row: "" if row["status"] == "complete" else _text("status")(row)),
        Column("Opti-\nmizer", _text("optimizer")),
        Column("Learning\nrate", _rate("learning_rate")),
        Column("Epochs", _number("epochs_run", "d")),
        Column(_head("Val.", by), _score(f"val_{by.name}", by)),
        Column(_head("Test", by), _score(f"test_{by.name}", by)),
    ]


def _configuration(row: Row) -> str:
    """One name for configurations that are equal."""
    return str(row.get("configuration") or "").split(",")[0].strip().replace("_", " ")


def _epochs(by: Metric) -> list[Column]:
    accuracy, of_classes = metric("accuracy"), CLASSIFICATION in by.tasks
    return [
        Column("Trial", _number("trial", "d")),
        Column("Arm", _named("arm")),
        Column("Epoch", _number("epoch", "d")),
        Column("Train\nloss", _number("train_loss", ".4f")),
        *(
            [Column(_head("Train", accuracy), _score("train_accuracy", accuracy))]
            if of_classes
            else []
        ),
        Column("Val.\nloss", _number("val_loss", ".4f")),
        Column(_head("Val.", by), _score(f"val_{by.name}", by)),
        Column(_head("Test", by), _score(f"test_{by.name}", by)),
        Column("Time\n(s)", _number("seconds", ".2f")),
    ]


def _arms(by: Metric) -> list[Column]:
    return [
        Column("Arm", _named("arm")),
        Column("Trials", _number("trials", "d")),
        Column("Com-\nplete", _number("complete", "d")),
        Column("Di-\nverged", _number("diverged", "d")),
        Column("Failed", _number("failed", "d")),
        Column(_head("Best val.", by), _score(f"best_val_{by.name}", by)),
        Column(_head("Median", by), _score(f"median_val_{by.name}", by)),
        Column("Best\nrate", _rate("best_learning_rate")),
        Column("Best\nepochs", _number("best_epochs", "d")),
        Column("Time\n(s)", _number("seconds", ".0f")),
    ]


def _verdict(by: Metric) -> list[Column]:
    unit = "\n(pp)" if by.percent else f"\n({by.unit})" if by.unit else ""
    return [
        Column("Question", lambda row: question_of(row["question"]).brief),
        Column("Epochs", _number("horizon", "d")),
        Column("Arm", _named("arm")),
        Column("Outcome", _outcome),
        Column(f"Gap{unit}", _gap("gap", by)),
        Column(f"Interval{unit}", _interval(by)),
        Column(f"Last{unit}", _gap("gap_last_epoch", by)),
        Column("Seeds", _number("seeds", "d")),
    ]


def _interval(by: Metric) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        low, high = row["low"], row["high"]
        if low is None or high is None or not possible(low, high, by):
            return ""
        return between(low, high, by, row["margin"]).replace(",", "")

    return text


def _outcome(row: Row) -> str:
    late = (row.get("epoch") or 1) > 1 and row["outcome"] != Outcome.AHEAD
    return f"{row['outcome']} by epoch {row['epoch']}" if late else str(row["outcome"])


def _summary(by: Metric) -> list[Column]:
    tested = f"test_{by.name}"
    return [
        Column("Arm", _named("arm")),
        Column("Settings", _tuned),
        Column("Opti-\nmizer", _text("optimizer")),
        Column("Learning\nrate", _rate("learning_rate")),
        Column("Epochs", _number("epochs", "d")),
        Column(_head("Test", by), _both(_score(tested, by), "±", _score("sd", by))),
        Column("Lowest", _score("lowest", by)),
        Column("Highest", _score("highest", by)),
        Column("Trained", _both(_number("trained", "d"), "of", _number("seeds", "d"))),
    ]


def _tuned(row: Row) -> str:
    """A configuration where a column has its number of epochs."""
    return "tuned" if str(row["configuration"]).startswith("tuned") else _text("configuration")(row)


def _seeds(by: Metric) -> list[Column]:
    return [
        Column("Arm", _named("arm")),
        Column("Settings", _tuned),
        Column("Epochs", _number("epochs", "d")),
        Column("Seed", _number("slot", "d")),
        Column("Trial", _number("trial", "d")),
        Column("Opti-\nmizer", _text("optimizer")),
        Column("Learning\nrate", _rate("learning_rate")),
        Column(_head("Test", by), _score(f"test_{by.name}", by)),
        Column("Ended", lambda row: "" if row["ended"] == "trained" else _text("ended")(row)),
    ]


def _endings(by: Metric) -> list[Column]:
    return [
        Column("Arm", _named("arm")),
        Column("Phase", _text("phase")),
        Column("Settings", _text("configuration")),
        Column("Trained", _both(_number("trained", "d"), "of", _number("trials", "d"))),
        Column("Stuck", _number("stuck", "d")),
        Column("Diverged", _number("diverged", "d")),
        Column("Failed", _number("failed", "d")),
        Column("At most\n(%)", _most),
        Column("Why stuck", _why),
    ]


def _most(row: Row) -> str:
    """A bound is rounded up."""
    most = row["untrained_at_most"]
    return "" if most is None else f"{math.ceil(100 * most)}"


def _why(row: Row) -> str:
    kinds = ((kind, row[kind.replace(" ", "_")]) for kind in Kind)
    return ", ".join(f"{count} {NAMES[kind]}" for kind, count in kinds if count)


def _exchange(by: Metric) -> list[Column]:
    return [
        Column("Arm", _named("arm")),
        Column("Settings", _tuned),
        Column("Reference\nepochs", _number("reference_epochs", "d")),
        Column(_head("Reference", by), _score(by.name, by)),
        Column("Arm\nepochs", lambda row: _number("epochs", ".1f")(row) or f"> {row['longest']}"),
        Column("At\nleast", lambda row: _outwards(row["low"], rounded_down)),
        Column("At\nmost", lambda row: _outwards(row["high"], rounded_up)),
        Column("Seeds", _number("seeds", "d")),
    ]


def _outwards(bound: float | None, rounded: Callable[[float], float]) -> str:
    return "–" if bound is None or not math.isfinite(bound) else f"{rounded(bound):.1f}"


def _mechanism(by: Metric) -> list[Column]:
    unit = "\n(pp)" if by.percent else f"\n({by.unit})" if by.unit else ""
    return [
        Column("Settings", _tuned),
        Column("Epochs", _number("epochs", "d")),
        Column("Effect", lambda row: EFFECTS[row["effect"]]),
        Column("Arm", _named("arm")),
        Column("Minus", _named("other")),
        Column(f"Value{unit}", _gap("value", by)),
        Column(f"Interval{unit}", lambda row: _bounds(row, by)),
        Column("Trained", _number("trained", "d")),
        Column("Seeds", _number("seeds", "d")),
    ]


def _bounds(row: Row, by: Metric) -> str:
    """As on the page: a bound that is not 0 is not rounded to 0."""
    low, high = row["low"], row["high"]
    return "" if low is None or high is None else between(low, high, by).replace(",", "")


EFFECTS = {
    "gap": "gap",
    "start": "start alone",
    "step": "steps alone",
    "joint": "only both",
    "control": "control",
}
"""What goes with the gap and with each of its parts."""


def _of_study(record: StudyRecord) -> str:
    return f"study {record.name}"


def _compared(record: StudyRecord, by: Metric) -> str:
    confirm = record.sweep.confirm
    sample = record.data.sample if record.data else "image"
    images = f"{record.data.test_images:,} test {sample}s" if record.data else "the test data"
    return (
        f"Verdicts of {_of_study(record)}: gaps in {unit_of_gaps(by)} to the reference {record.sweep.reference}, with intervals "
        f"for new seeds and new {sample}s; equivalence margin {_margin(record, by)}, "
        f"confidence {100 * confirm.confidence:g} %, {images}. Last: the gap of the last epoch alone."
    )


def _margin(record: StudyRecord, by: Metric) -> str:
    confirm = record.sweep.confirm
    return margin_words(confirm.margin_at(math.nan), confirm.share, by)


CAPTIONS: Mapping[str, Callable[[StudyRecord, Metric], str]] = {
    "best": lambda record, by: (
        f"Best trials of the search of {_of_study(record)} by validation {by.label}; the best of several scores is "
        "an optimistic estimate."
    ),
    "budgets": lambda record, by: (
        f"Best trial of each arm of {_of_study(record)} after each number of epochs, by validation {by.label}, "
        "and the number of trials that it was chosen among."
    ),
    "trials": lambda record, by: (
        f"Trials of {_of_study(record)}: {by.label} after the last epoch; search and selection read no test data. All "
        "trials are complete where nothing else is said."
    ),
    "epochs": lambda record, by: f"Losses and {by.label} of {_of_study(record)} after each epoch.",
    "arms": lambda record, by: (
        f"Trials of the search of {_of_study(record)} by arm, with their validation {by.label}; in the median, diverged trials "
        "count as guessing."
    ),
    "verdict": _compared,
    "summary": lambda record, by: (
        f"{opening(by.label)} on the test data in {_of_study(record)}, mean ± standard deviation over the "
        "seeds that trained."
    ),
    "seeds": lambda record, by: (
        f"{opening(by.label)} on the test data of each seed of {_of_study(record)}."
    ),
    "endings": lambda record, by: (
        f"How trainings ended in {_of_study(record)}; stuck: no better than guessing; at most: 95 % upper bound of the share "
        "that does not train, where the trainings are independent draws."
    ),
    "exchange": lambda record, by: (
        f"Epochs in which an arm reaches the level of the reference {record.sweep.reference} after some of its epochs, in "
        f"{_of_study(record)}, "
        f"with the {100 * record.sweep.confirm.confidence:g} % interval for new seeds; – where the curves "
        "give no bound."
    ),
    "mechanism": lambda record, by: (
        f"The gap to the reference {record.sweep.reference} in {_of_study(record)}, in {unit_of_gaps(by)}, and what of it goes "
        "with the first layer's start alone, with its steps alone, and only with both together; controls are pairs of arms "
        "that train alike."
    ),
}
COLUMNS: Mapping[str, Callable[[Metric], list[Column]]] = {
    "best": _best,
    "budgets": _budgets,
    "trials": _trials,
    "epochs": _epochs,
    "arms": _arms,
    "endings": _endings,
    "verdict": _verdict,
    "summary": _summary,
    "seeds": _seeds,
    "exchange": _exchange,
    "mechanism": _mechanism,
}
