"""Runs that were made elsewhere, read from a table: a CSV file, parquet, JSON lines, or a data frame.

A table is a mapping of columns, each a list of cells. `given_runs` finds the columns of arm, seed, epoch
and score in it, and says how it read them.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from normsweep.analysis.given import ArmRuns, GivenRuns
from normsweep.errors import DataError
from normsweep.parts.metrics import ACCURACY, REGRESSION, Metric, metric, registry
from normsweep.sweep.problems import expected, shown, unknown
from normsweep.text import counted, reason

__all__ = ["Asked", "Table", "given_runs", "read_table", "table_of"]

Table = Mapping[str, Sequence[Any]]
"""Columns by name, of equal lengths; a cell is a text, a number or None."""

ROLES: Mapping[str, tuple[str, ...]] = {
    "arm": (
        "arm", "scheme", "normalization", "method", "variant", "treatment", "condition", "algorithm", "algo",
        "group", "model", "optimizer", "configuration", "config",
    ),
    "seed": (
        "seed", "random_seed", "random_state", "slot", "replicate", "replication", "repeat", "rep", "fold",
        "split",
    ),
    "epoch": ("epoch",),
    "run": ("run", "run_id", "trial", "trial_id", "number", "name", "run_name", "id"),
    "example": ("example", "image", "row", "index", "idx", "sample", "id", "item"),
    "label": ("label", "target", "y_true", "truth", "true"),
    "prediction": ("prediction", "predicted", "y_pred", "pred"),
    "correct": ("correct", "score", "loss", "error", "value"),
    "state": ("state", "status", "ended"),
}  # fmt: skip
"""The usual names of columns, the most certain one first."""
METRICS: Mapping[str, str] = {
    "accuracy": "accuracy", "acc": "accuracy", "balanced_accuracy": "balanced_accuracy", "f1_macro": "f1_macro",
    "roc_auc": "roc_auc", "auc": "roc_auc", "auroc": "roc_auc", "log_loss": "log_loss", "logloss": "log_loss",
    "cross_entropy": "log_loss", "nll": "log_loss", "r_squared": "r2",
}  # fmt: skip
"""Registered metrics under the names that columns have."""
OTHERS = (
    "f1", "precision", "recall", "score", "r2", "bleu", "iou", "map", "return", "reward", "rmse", "mse", "mae",
    "mape", "brier", "perplexity", "wer", "cer", "fid", "error", "loss", "value",
)  # fmt: skip
LOWER = (
    "loss", "error", "err", "rmse", "mse", "mae", "mape", "nll", "perplexity", "ppl", "brier", "wer", "cer",
    "fid", "deviance", "entropy", "regret", "logloss",
)  # fmt: skip
"""Words in the name of a score of which lower is better, unless it is negative, as scikit-learn's scorers are."""
FINAL, BARE, VALIDATION = ("test", "final"), ("",), ("val", "valid", "validation", "eval", "dev")
"""What a score's name begins with, the most certain one first."""
SETTINGS = (
    "learning_rate", "lr", "batch_size", "optimizer", "weight_decay", "momentum", "dropout", "epochs",
    "max_epochs", "architecture", "dataset", "data", "depth", "width", "layers", "hidden", "clip", "schedule",
)  # fmt: skip
"""Usual names of settings; those that begin with `params.` are settings, too."""
MISSING = ("", "na", "n/a", "nan", "<na>", "nat", "null", "none", "-")
LOST = ("diverged", "stuck")
FAILED = (
    "failed", "fail", "crashed", "killed", "running", "pruned", "waiting", "scheduled", "interrupted",
    "preempted", "preempting", "timed out", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What a user says about a table; None: found by the usual names.

    `seed` may be several columns, joined by commas. `where` are texts COLUMN=VALUE: only these rows are
    read. `lower`: whether lower scores are better.
    """

    arm: str | None = None
    seed: str | None = None
    score: str | None = None
    epoch: str | None = None
    where: tuple[str, ...] = ()
    lower: bool | None = None


def table_of(frame: Any, option: str = "RUNS") -> Table:
    """The columns of a pandas or Polars data frame, of a mapping of columns, or of a list of mappings.

    The named levels of a frame's index are columns, too.

    Raises:
        DataError: it is none of these, a column is there twice, or columns differ in length.
    """
    if isinstance(frame, Mapping):
        table = {str(name): _cells(str(name), column, option) for name, column in frame.items()}
    elif hasattr(frame, "to_dict") and hasattr(frame, "columns"):
        table = _of_frame(frame, option)
    elif isinstance(frame, Sequence) and all(isinstance(row, Mapping) for row in frame):
        table = _of_rows(frame)
    else:
        what = "a data frame, a mapping of columns or a list of mappings"
        raise DataError(f"{option}: expected {what}, got {type(frame).__name__}")
    if len({len(column) for column in table.values()}) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in table.items())
        raise DataError(f"{option}: columns must have the same length, got {lengths}")
    return table


def _cells(name: str, column: Any, option: str) -> list[Any]:
    if isinstance(column, str) or not isinstance(column, Iterable):
        raise DataError(f"{option}: column {shown(name)}: {expected('a list of cells', column)}")
    return list(column)


def _of_frame(frame: Any, option: str) -> dict[str, list[Any]]:
    levels = getattr(getattr(frame, "index", None), "names", ())  # Polars has no index
    if named := [name for name in levels if name is not None and name not in frame.columns]:
        frame = frame.reset_index(level=named)
    names = [str(name) for name in frame.columns]
    if twice := _twice(names):
        raise DataError(f"{option}: {twice}")
    return {name: list(frame[column]) for name, column in zip(names, frame.columns, strict=True)}


def _twice(names: Sequence[str]) -> str:
    """That a column is there twice; empty if none is."""
    found = next((name for name, count in Counter(names).items() if name and count > 1), None)
    return "" if found is None else f"column {shown(found)} is there twice"


def read_table(path: Path, option: str = "RUNS") -> tuple[Table, tuple[str, ...]]:
    """The table in a file by its ending (.parquet, .jsonl, .json, otherwise text), and how it was read.

    Of a text file separator, decimal comma, encoding and quotes are found by looking at it.

    Raises:
        DataError: it cannot be read, or has no rows.
    """
    try:
        ending = path.suffix.lower()
        if ending == ".parquet":
            import pyarrow.parquet

            found = pyarrow.parquet.read_table(path)
            table, notes = {str(name): found[name].to_pylist() for name in found.column_names}, ()
        elif ending in (".jsonl", ".ndjson", ".json"):
            table, notes = _of_json(path.read_bytes().decode("utf-8-sig")), ()
        else:
            table, notes = _of_text(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{option}: cannot read {path}: {error.strerror or reason(error)}"
        ) from None
    except (ValueError, csv.Error) as error:
        raise DataError(f"{option}: cannot read {path}: {reason(error)}") from None
    if not table or not len(next(iter(table.values()))):
        raise DataError(f"{option}: {path} has no rows; expected one row a run, with a header")
    return table, notes


def _of_json(text: str) -> dict[str, list[Any]]:
    whole = json.loads(text) if text.lstrip().startswith("[") else None
    rows = whole or [json.loads(line) for line in text.splitlines() if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("expected an object in each line")
    return _of_rows(rows)


def _of_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(str(name) for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _of_text(content: bytes) -> tuple[dict[str, list[Any]], tuple[str, ...]]:
    text, encoding = _decoded(content)
    first, _, rest = text.partition("\n")
    stated = first.strip().strip('"')
    if stated.lower().startswith("sep=") and len(stated) == 5:
        separator, text = stated[-1], rest  # a line for Excel
    else:
        separator = _separator(first)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if any(row)]
    header = [name.strip() for name in rows[0]] if rows else []
    widths = {len(row) for row in rows[1:]}
    if widths == {len(header) + 1}:
        header = ["row", *header]  # R's row names have no name
    wrong = next((i for i, row in enumerate(rows[1:], start=2) if len(row) != len(header)), None)
    if wrong is not None:
        raise ValueError(
            f"row {wrong} has {counted(len(rows[wrong - 1]), 'cell')}, the header {len(header)}"
        )
    if twice := _twice(header):
        raise ValueError(twice)
    table = {name or "row": [row[i].strip() for row in rows[1:]] for i, name in enumerate(header)}
    comma = separator != "," and any(_has_comma(cell) for cells in table.values() for cell in cells)
    read = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "spaces", "|": "bars"}[separator]
    notes = [f"text with {read} between columns{', decimal commas' if comma else ''}, {encoding}"]
    usual = separator == "," and encoding == "UTF-8"
    if comma:
        table = {name: [_with_point(cell) for cell in cells] for name, cells in table.items()}
    return table, () if usual else tuple(notes)


def _decoded(content: bytes) -> tuple[str, str]:
    """The text and its encoding: UTF-8, with or without a byte-order mark, UTF-16 with one, or cp1252."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16"), "UTF-16"
    try:
        return content.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), "Windows-1252"


def _separator(header: str) -> str:
    """The character that gives the header the most columns."""
    counts = {
        s: len(next(csv.reader([header], delimiter=s), [])) for s in ("\t", ";", ",", "|", " ")
    }
    return max(counts, key=lambda s: counts[s] if s != " " else min(counts[s], 2) - 0.5)


def _has_comma(cell: str) -> bool:
    before, comma, after = cell.removesuffix("%").strip().lstrip("+-−").partition(",")
    return bool(comma) and after.isdigit() and before.isdigit()


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if _has_comma(cell) else cell


def given_runs(
    table: Table,
    name: str,
    asked: Asked,
    examples: Table | None = None,
    notes: Sequence[str] = (),
) -> GivenRuns:
    """The runs in a table; with `examples`, (run, example) rows, their scores are means over these.

    Args:
        table: one row a run, or a run and epoch.
        name: what the runs are called on a page.
        asked: which columns they are.
        examples: one row a run and example, with the columns of arm and seed, that of the example, and
            either `correct` (or another score of the example) or `label` and `prediction`.
        notes: how the table was read.

    Raises:
        DataError: a column is missing or unknown, a cell is no number, or rows are there twice.
    """
    _refuse_chart(table)
    chosen = _where(table, asked.where)
    read = _Reading(chosen, asked)
    arms = read.arms()
    if examples is not None:
        if asked.epoch:
            raise DataError("--epoch: must not be set with --examples, which have final scores")
        if not any(map(len, examples.values())):
            raise DataError("--examples: there are no rows; expected one a run and example")
        of_examples = _Reading(
            _where(examples, [w for w in asked.where if _column_of(w) in examples]), asked, read
        )
        arms, binary = of_examples.scored_examples(arms)
    else:
        binary = False
    by = _metric(read.score, arms, asked.lower, examples is not None, binary)
    epochs = arms[0].scores.shape[1] if read.epoch and examples is None else 0
    if asked.lower is None:
        better = "lower" if by.sign < 0 else "higher"
        read.notes.append(f"{better} {read.score} is better (by its name)")
    said = tuple(dict.fromkeys([*notes, *read.told(), *read.notes]))
    return GivenRuns(name, tuple(arms), by, epochs, said, read.varied())


def _refuse_chart(table: Table) -> None:
    """Raise for the export of a chart of Weights & Biases, whose columns are runs."""
    if any(name.endswith("__MIN") for name in table):
        raise DataError(
            "RUNS: this is the export of a chart (a column a run), which says neither seed nor settings; "
            "export the table of runs (a row a run) instead"
        )


def _column_of(where: str) -> str:
    return where.partition("=")[0].strip()


def _where(table: Table, conditions: Iterable[str]) -> Table:
    for condition in conditions:
        column, sign, value = (part.strip() for part in condition.partition("="))
        if not sign or column not in table:
            what = (
                unknown("column", column, table)
                if sign
                else f"expected COLUMN=VALUE, got {shown(condition)}"
            )
            raise DataError(f"--where: {what}")
        rows = [i for i, cell in enumerate(table[column]) if _label(cell) == _label(value)]
        if not rows:
            values = ", ".join(list(dict.fromkeys(_label(cell) for cell in table[column]))[:8])
            raise DataError(f"--where: no row has {column} = {value}; values: {values}")
        table = {name: [cells[i] for i in rows] for name, cells in table.items()}
    return table


class _Reading:
    """Finds the columns of a table and reads its runs; `notes` say what was done."""

    def __init__(self, table: Table, asked: Asked, of: _Reading | None = None) -> None:
        self.table = table
        self.notes: list[str] = []
        self.guessed: dict[str, str] = {}
        self.arm = self.column("arm", asked.arm) or self.missing("arm", "--arm")
        self.epoch = None if of else self.column("epoch", asked.epoch)
        self.seed = self.column("seed", asked.seed)
        self.score = (
            of.score
            if of
            else (asked.score and self.named(asked.score, "--score")) or self.scored()
        )
        self.state = None if of else self.column("state", None)
        self.rows = [i for i, cell in enumerate(table[self.arm]) if _label(cell)]
        if left := len(table[self.arm]) - len(self.rows):
            self.notes.append(f"{counted(left, 'row')} without {self.arm} left out")

    def column(self, role: str, given: str | None) -> str | None:
        """The column of a role: the one that is asked for, or the first with a usual name and a value."""
        if given is not None:
            return self.named(given, f"--{role}")
        usual = {_bare(name): name for name in reversed(list(self.table)) if self.filled(name)}
        found = next((usual[name] for name in ROLES[role] if name in usual), None)
        if found is not None:
            self.guessed[role] = found
        return found

    def named(self, name: str, option: str) -> str:
        """The name, after a check: of a column, or of several that make the seed."""
        one = name in self.table or option != "--seed"
        parts = [name] if one else [part.strip() for part in name.split(",")]
        for part in parts:
            if part not in self.table:
                raise DataError(f"{option}: {unknown('column', part, self.table)}")
        return name

    def missing(self, role: str, option: str) -> NoReturn:
        usual = ", ".join(ROLES[role][:6])
        raise DataError(
            f"{option}: no column has a usual name ({usual}, …); pass one of {', '.join(self.table)}"
        )

    def filled(self, name: str) -> bool:
        return any(_label(cell) for cell in self.table[name])

    def scored(self) -> str:
        """The column of the score: a test score before one without a prefix, before a validation score."""
        known = (*METRICS, *OTHERS)
        for prefixes in (FINAL, BARE, VALIDATION):
            names = {f"{prefix}_{each}".strip("_") for prefix in prefixes for each in known}
            found = [name for name in self.table if _bare(name) in names and self.filled(name)]
            if len(found) > 1:
                raise DataError(
                    f"--score: required, several columns may be meant: {', '.join(found)}"
                )
            if found:
                self.guessed["score"] = found[0]
                return found[0]
        raise DataError(
            f"--score: no column has a usual name (test_accuracy, accuracy, rmse, …); pass one of {', '.join(self.table)}"
        )

    def told(self) -> list[str]:
        """Which columns were found by their names."""
        names = [
            f"{role} = {self.guessed[role]}"
            for role in ("arm", "seed", "epoch", "score")
            if role in self.guessed
        ]
        return [f"columns found by their names: {', '.join(names)}"] if names else []

    def label(self, column: str, row: int) -> str:
        """The label of a row in a column, or in several that are joined by commas; empty if one is."""
        parts = [column] if column in self.table else column.split(",")
        labels = [_label(self.table[part.strip()][row]) for part in parts]
        return "/".join(labels) if all(labels) else ""

    def arms(self) -> list[ArmRuns]:
        """The runs of each arm, in the order of the table."""
        rows = list(self.ended())
        by_run = self.by_run(rows)
        if not by_run:
            raise DataError(f"RUNS: no run is left; {'; '.join(self.notes) or 'there are no rows'}")
        epochs = self.epochs(by_run)
        made = []
        for arm in dict.fromkeys(arm for arm, _ in by_run):
            runs = {key: scores for (name, key), scores in by_run.items() if name == arm}
            kept = {
                key: [scores.get(e, math.nan) for e in epochs]
                for key, scores in runs.items()
                if max(scores) >= epochs[-1]
            }
            if short := len(runs) - len(kept):
                self.notes.append(
                    f"{counted(short, 'run')} of {arm} ended before epoch {epochs[-1]:g}: left out"
                )
            scores = np.array(list(kept.values()), np.float64).reshape(len(kept), len(epochs))
            made.append(ArmRuns(arm, scores, tuple(kept) if self.seed else ()))
        return made

    def ended(self) -> Iterator[int]:
        """The rows of runs that did not fail."""
        failed: Counter[tuple[str, str]] = Counter()
        for row in self.rows:
            state = _label(self.table[self.state][row]).lower() if self.state else ""
            if state in FAILED:
                failed[_label(self.table[self.arm][row]), state] += 1
            else:
                yield row
        for (arm, state), count in failed.items():
            self.notes.append(f"{counted(count, 'row')} of {arm} left out: {state}")

    def by_run(self, rows: Sequence[int]) -> dict[tuple[str, str], dict[float, float]]:
        """By arm and run, the score of each epoch; 0 is the epoch of a final score."""
        run = self.seed or (self.column("run", None) if self.epoch else None)
        if self.epoch and run is None:
            raise DataError("--seed: required with epochs, to tell the runs of an arm apart")
        found: dict[tuple[str, str], dict[float, float]] = {}
        without: Counter[tuple[str, str]] = Counter()
        for row in rows:
            key = _label(self.table[self.arm][row]), self.label(run, row) if run else str(row)
            epoch = _number(self.table[self.epoch][row], self.epoch, row) if self.epoch else 0.0
            if self.epoch and not math.isfinite(epoch):
                without[key[0], self.epoch] += 1
                continue
            if run and not key[1]:  # two of them are no pair
                without[key[0], run] += 1
                continue
            scores = found.setdefault(key, {})
            if epoch in scores:
                self.refuse_twice(key, row, run or "", rows)
            scores[epoch] = self.value(row)
        for (arm, column), count in without.items():
            self.notes.append(f"{counted(count, 'row')} of {arm} left out: without {column}")
        if self.guessed.get("epoch") and all(len(scores) == 1 for scores in found.values()):
            del self.guessed["epoch"]  # a row a run: its number of epochs, not a curve
            self.epoch = None
            return {key: dict.fromkeys([0.0], *scores.values()) for key, scores in found.items()}
        return found

    def value(self, row: int) -> float:
        """The score of a row; NaN if its run did not train."""
        lost = self.state is not None and _label(self.table[self.state][row]).lower() in LOST
        return math.nan if lost else _number(self.table[self.score][row], self.score, row)

    def refuse_twice(self, key: tuple[str, str], row: int, run: str, rows: Sequence[int]) -> None:
        """Raise for a second score of a run, with the columns that tell the two apart."""
        same = [
            r
            for r in rows
            if (_label(self.table[self.arm][r]), self.label(run, r)) == key and r != row
        ]
        other = same[0]
        apart = [
            f"{name} ({_label(cells[other])}, {_label(cells[row])})"
            for name, cells in self.table.items()
            if name not in (self.score, "row") and _label(cells[other]) != _label(cells[row])
        ]
        hint = (
            f"; they differ in {', '.join(apart[:4])}: choose with --where COLUMN=VALUE, or name --epoch"
            if apart
            else ""
        )
        raise DataError(
            f"RUNS: rows {other + 2} and {row + 2} are both {self.arm} {key[0]}, {run} {key[1]}{hint}"
        )

    def epochs(self, by_run: Mapping[tuple[str, str], Mapping[float, float]]) -> list[float]:
        """The epochs that are compared: up to the one that at least half of each arm's runs reach."""
        if not self.epoch:
            return [0.0]
        ends: dict[str, list[float]] = {}
        for (arm, _), scores in by_run.items():
            ends.setdefault(arm, []).append(max(scores))
        last = min(sorted(of_arm)[(len(of_arm) - 1) // 2] for of_arm in ends.values())
        reaching = [
            {e for e in scores if e <= last} for scores in by_run.values() if max(scores) >= last
        ]
        every, known = sorted(set.intersection(*reaching)), len(set.union(*reaching))
        if not every:
            raise DataError(f"{self.epoch}: there is no epoch for which every run has a row")
        if len(every) < known:
            self.notes.append(
                f"{counted(known - len(every), 'epoch')} for which not every run has a row: left out"
            )
        if every != [float(e) for e in range(1, len(every) + 1)]:
            self.notes.append(
                f"{self.epoch} from {every[0]:g} to {every[-1]:g}: {counted(len(every), 'value')}, counted from 1 as epochs"
            )
        return every

    def varied(self) -> tuple[str, ...]:
        """Settings that differ between the rows of an arm."""
        own = {self.arm, self.score, self.epoch, self.state, *(self.seed or "").split(",")}
        names = [
            n
            for n in self.table
            if n not in own and (_bare(n) in SETTINGS or n.startswith("params."))
        ]
        return tuple(_bare(name) for name in names if self.differs(name))

    def differs(self, name: str) -> bool:
        seen: dict[str, str] = {}
        cells = ((_label(self.table[self.arm][r]), _label(self.table[name][r])) for r in self.rows)
        return any(cell != seen.setdefault(arm, cell) for arm, cell in cells if cell)

    def scored_examples(self, runs: Sequence[ArmRuns]) -> tuple[list[ArmRuns], bool]:
        """The runs with the scores of their examples, and whether these are 0 and 1."""
        if any(len(of.scores) > 1 for of in runs) and not (self.seed and runs[0].seeds):
            raise DataError(
                "--seed: required in the runs and in --examples, to tell the runs of an arm apart"
            )
        example = self.column("example", None) or self.missing("example", "--examples")
        score = self.of_example()
        table: dict[tuple[str, str], dict[str, float]] = {}
        for row in self.rows:
            key = _label(self.table[self.arm][row]), self.label(self.seed, row) if self.seed else ""
            if self.seed and not key[1]:
                continue
            of_run = table.setdefault(key, {})
            name = _label(self.table[example][row])
            if name in of_run:
                raise DataError(
                    f"--examples: row {row + 2}: {example} {name} is there twice in the run {' '.join(key)}"
                )
            of_run[name] = score(row)
        order = list(next(iter(table.values())))
        for (arm, seed), of_run in table.items():
            if of_run.keys() != set(order):
                raise DataError(
                    f"--examples: every run must have the same examples; {arm} {seed} has {len(of_run)}, the first run "
                    f"{len(order)}"
                )
        made = [self._with_examples(arm, table, order) for arm in runs]
        return made, all(np.isin(arm.scores, (0, 1)).all() for arm in made)

    def _with_examples(
        self,
        runs: ArmRuns,
        table: Mapping[tuple[str, str], Mapping[str, float]],
        order: Sequence[str],
    ) -> ArmRuns:
        keys = [(runs.arm, seed) for seed in (runs.seeds or [""])]
        lack = [key for key in keys if key not in table]
        if lack:
            raise DataError(
                f"--examples: no rows of the run {' '.join(lack[0])}; every run needs its examples"
            )
        scores = np.array([[[table[key][name] for name in order]] for key in keys])
        apart = np.abs(scores.mean(axis=(1, 2)) - runs.scores[:, -1])
        if np.nanmax(apart, initial=0.0) > 1e-6:
            raise DataError(
                f"--examples: their mean must be the score of their run; of {runs.arm} they differ by up to {np.nanmax(apart):.3g}"
            )
        return replace(
            runs, scores=np.where(np.isfinite(runs.scores)[:, -1:, None], scores, math.nan)
        )

    def of_example(self) -> Callable[[int], float]:
        label, prediction = self.column("label", None), self.column("prediction", None)
        if label and prediction:
            truth, said = self.table[label], self.table[prediction]
            return lambda row: float(_label(truth[row]) == _label(said[row]))
        correct = self.column("correct", None) or self.missing("correct", "--examples")
        return lambda row: _number(self.table[correct][row], correct, row)


def _bare(name: str) -> str:
    """A column's name in lower case, without the prefix of a tracker."""
    tail = name.rsplit("/", 1)[-1]
    for prefix in ("params.", "config.", "metrics.", "tags.", "summary.", "user_attrs_", "params_"):
        tail = tail.removeprefix(prefix)
    return "_".join(tail.strip().lower().replace("-", " ").replace(".", " ").split())


def _label(cell: Any) -> str:
    """A cell as a label: whole numbers without decimals; empty if there is none."""
    if cell is None or (isinstance(cell, float | np.floating) and math.isnan(cell)):
        return ""
    if isinstance(cell, bool | np.bool_):
        return str(bool(cell)).lower()
    text = str(cell).strip()
    if text.lower() in MISSING and text.lower() != "none":
        return ""
    if "_" in text:  # 64_32 are two sizes, and not the number that Python reads
        return text
    try:
        value = float(text)
    except ValueError:
        return text
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else text


def _number(cell: Any, column: str, row: int) -> float:
    """A cell as a number; NaN if there is none. A text with a percent sign is a share."""
    if cell is None:
        return math.nan
    if isinstance(cell, bool | np.bool_):
        return float(cell)
    text = str(cell).strip().replace("−", "-")
    if text.lower() in MISSING:
        return math.nan
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    share = text.endswith("%")
    try:
        return float(text.removesuffix("%")) / (100 if share else 1)
    except ValueError:
        raise DataError(
            f"{column}: row {row + 2}: expected a number, got {shown(str(cell))}"
        ) from None


def _metric(
    column: str, arms: Sequence[ArmRuns], lower: bool | None, examples: bool, binary: bool
) -> Metric:
    """The metric of a column: that which is registered by its name, if its values are in its range."""
    words = _bare(column).split("_")
    while len(words) > 1 and words[0] in (*FINAL, *VALIDATION, "mean"):
        words = words[1:]
    name = "_".join(words)
    if lower is None:
        lower = any(word in LOWER for word in words) and not {"neg", "negative"} & {*words}
    values = np.concatenate([arm.scores[list(arm.trained)].ravel() for arm in arms])
    within = bool(len(values)) and float(values.min()) >= 0 and float(values.max()) <= 1
    known = METRICS.get(name, name)
    if known in registry:
        of = metric(known)
        if (of.sign < 0) == lower and (within or not of.percent):
            if of is ACCURACY and binary:
                return of
            return replace(of, influence=_deviation if examples else None, bound=None)
    return Metric(
        name=name,
        function=lambda truth, scores: float(np.mean(scores)),
        direction="minimize" if lower else "maximize",
        range=(-math.inf, math.inf),
        chance=lambda counts: math.nan,
        influence=_deviation if examples else None,
        tasks=(REGRESSION,),  # numbers of any size
    )


def _deviation(truth: Any, scores: Any) -> Any:
    """The influence of an example on a mean over examples."""
    return scores - np.mean(scores)
