"""Runs that were made elsewhere: tables as R, spreadsheets and trackers write them."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from scipy import stats

import normsweep
from normsweep.errors import DataError, StoreError, UserError
from normsweep.runner.given_runs import Asked, Table, read_table, table_of
from normsweep.runner.judging import judge_table, judge_trials

SCORES = {
    "none": (0.9712, 0.9722, 0.9702, 0.9718, 0.9711),
    "unit": (0.9812, 0.9802, 0.9810, 0.9805, 0.9818),
}
EXPECTED = stats.ttest_rel(SCORES["none"], SCORES["unit"]).confidence_interval(0.95)
ROWS = [
    {"scheme": arm, "seed": seed, "test_accuracy": score}
    for arm, scores in SCORES.items()
    for seed, score in enumerate(scores)
]


def text(separator: str = ",", point: str = ".", quote: str = "", names: bool = False) -> str:
    """The rows as CSV; with R's names of rows, which the header lacks."""
    lines = [separator.join(f"{quote}{name}{quote}" for name in ROWS[0])]
    for number, row in enumerate(ROWS, start=1):
        cells = [
            f"{quote}{row['scheme']}{quote}",
            str(row["seed"]),
            str(row["test_accuracy"]).replace(".", point),
        ]
        lines.append(separator.join([*([f"{quote}{number}{quote}"] if names else []), *cells]))
    return "\n".join(lines) + "\n"


def wandb() -> str:
    """The table of runs of Weights & Biases: a run failed, and one that crashed has a score."""
    head = "Name,State,Notes,User,Tags,Created,Runtime,Sweep,config.scheme,seed,learning_rate,test_accuracy\n"
    rows = [
        f'"run, {i}",finished,-,me,,2026-01-01T00:00:00.000Z,12,,{row["scheme"]},{row["seed"]},0.001,{row["test_accuracy"]}'
        for i, row in enumerate(ROWS)
    ]
    bad = [
        '"x",failed,-,me,,2026-01-01T00:00:00.000Z,12,,none,7,0.001,""',
        '"y",crashed,-,me,,,12,,unit,8,0.001,0.1',
    ]
    return head + "\n".join([*rows, *bad]) + "\n"


def excel() -> bytes:
    percents = [
        f"{row['scheme']};{row['seed']};{100 * row['test_accuracy']:.2f} %".replace(".", ",")
        for row in ROWS
    ]
    return ("sep=;\nscheme;seed;test_accuracy\n" + "\n".join(percents)).encode("utf-16")


FILES: dict[str, bytes] = {
    "plain": text().encode(),
    "spreadsheet": b"\xef\xbb\xbf" + text(";", ",", '"').replace("\n", "\r\n").encode(),
    "write.csv2": text(";", ",", '"', names=True).encode(),
    "write.table": text(" ", ".", '"', names=True).encode(),
    "tabs": text("\t", ",").encode(),
    "excel": excel(),
    "wandb": wandb().encode(),
    "accents": text().replace("none", "rohé").encode("cp1252"),
    "lines.jsonl": "\n".join(map(json.dumps, ROWS)).encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_a_table_is_read_as_its_program_writes_it(tmp_path: Path, name: str):
    file = tmp_path / (name if "." in name and name.endswith("jsonl") else f"{name}.csv")
    file.write_bytes(FILES[name])
    (verdict,) = judge_table(file, Asked(), "unit", 0.002).verdicts
    assert (verdict.gap.low, verdict.gap.high) == pytest.approx(tuple(EXPECTED))
    assert verdict.paired


def test_parquet_and_data_frames_are_read_alike(tmp_path: Path):
    frame = pd.DataFrame(ROWS).astype({"seed": float})
    frame.to_parquet(tmp_path / "runs.parquet")
    for source in (tmp_path / "runs.parquet", frame, frame.to_dict("list"), ROWS):
        (verdict,) = judge_table(source, Asked(), "unit", 0.002).verdicts
        assert verdict.gap.low == pytest.approx(EXPECTED.low)


def test_it_says_how_a_table_was_read(tmp_path: Path):
    (tmp_path / "r.csv").write_bytes(FILES["wandb"])
    notes = judge_table(tmp_path / "r.csv", Asked(), "unit", 0.002).runs.notes
    assert (
        "columns found by their names: arm = config.scheme, seed = seed, score = test_accuracy"
        in notes
    )
    assert {"1 row of none left out: failed", "1 row of unit left out: crashed"} <= set(notes)


def test_an_epoch_of_each_run_gives_curves_that_end_at_a_common_one():
    rows = [
        {**row, "epoch": epoch, "test_accuracy": row["test_accuracy"] - 0.1 / epoch}
        for row in ROWS
        for epoch in range(1, 5 if (row["scheme"], row["seed"]) == ("none", 0) else 13)
    ]
    found = judge_table(rows, Asked(), "unit", 0.002)
    assert found.verdicts[0].horizon == 12
    assert found.verdicts[0].seeds == 4
    assert "1 run of none ended before epoch 12: left out" in found.runs.notes
    # A column of epochs with one row a run is the number of epochs, not a curve.
    assert (
        judge_table([{**r, "epoch": 9} for r in ROWS], Asked(), "unit", 0.002).verdicts[0].horizon
        == 0
    )


def test_arms_that_were_logged_at_other_epochs_are_compared_at_those_in_common():
    rows = [
        {**row, "epoch": epoch, "test_accuracy": row["test_accuracy"] - 0.1 / epoch}
        for row in ROWS
        for epoch in range(1, 13)
        if row["scheme"] == "unit" or epoch % 3 == 0
    ]
    found = judge_table(rows, Asked(), "unit", 0.002)
    (verdict,) = found.verdicts
    assert (verdict.horizon, verdict.seeds) == (4, 5)
    assert verdict.gap.value == pytest.approx(np.mean(SCORES["none"]) - np.mean(SCORES["unit"]))
    assert "8 epochs for which not every run has a row: left out" in found.runs.notes
    apart = [{**row, "epoch": 1 + (row["scheme"] == "unit")} for row in ROWS]
    twice = apart + [{**row, "epoch": row["epoch"] + 2} for row in apart]
    with pytest.raises(DataError, match="no epoch for which every run has a row"):
        judge_table(twice, Asked(), "unit", 0.002)


@pytest.mark.parametrize(
    ("column", "lower", "name"),
    [
        ("test_loss", True, "loss"),
        ("rmse", True, "rmse"),
        ("test_acc", False, "accuracy"),
        ("reward", False, "reward"),
        ("test_neg_log_loss", False, "neg_log_loss"),
    ],
)
def test_the_better_direction_is_guessed_by_name_and_said(column: str, lower: bool, name: str):
    rows = [{"arm": r["scheme"], "seed": r["seed"], column: r["test_accuracy"]} for r in ROWS]
    found = judge_table(rows, Asked(score=column), "unit", 0.002)
    assert (found.metric.sign < 0, found.metric.name) == (lower, name)
    assert f"{'lower' if lower else 'higher'} {column} is better (by its name)" in found.runs.notes
    assert judge_table(rows, Asked(score=column, lower=not lower), "unit", 0.002).metric.sign == (
        1 if lower else -1
    )


def examples(table: Table) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    runs = zip(table["scheme"], table["seed"], strict=True)
    return [
        {
            "scheme": arm,
            "seed": seed,
            "example": i,
            "label": i % 3,
            "prediction": i % 3 if rng.random() < 0.9 else 3,
        }
        for arm, seed in runs
        for i in range(50)
    ]


def test_predictions_give_an_interval_for_new_examples_and_must_be_those_of_the_runs():
    rows = examples(table_of(ROWS))
    right = pd.DataFrame(rows).assign(hit=lambda t: t["label"] == t["prediction"])
    means = right.groupby(["scheme", "seed"])["hit"].mean().rename("test_accuracy").reset_index()
    (verdict,) = judge_table(means, Asked(), "unit", 0.002, examples=rows).verdicts
    assert verdict.images == 50
    assert verdict.gap.low < verdict.on_these_images.low
    with pytest.raises(DataError, match="their mean must be the score"):
        judge_table(ROWS, Asked(), "unit", 0.002, examples=rows)
    with pytest.raises(DataError, match="every run must have the same examples"):
        judge_table(means, Asked(), "unit", 0.002, examples=rows[1:])


MISTAKES: list[tuple[Any, dict[str, Any], str]] = [
    (ROWS, {"reference": "units"}, r'--reference: .*did you mean "unit"'),
    (ROWS, {"margin": 0.0}, "--margin: must be above 0"),
    (
        ROWS,
        {"asked": Asked(score="accuracy")},
        r'--score: unknown column "accuracy" \(did you mean "test_accuracy"',
    ),
    ([*ROWS, ROWS[0]], {}, "rows 2 and 12 are both scheme none, seed 0"),
    (
        [{**r, "learning_rate": lr} for r in ROWS for lr in (0.1, 0.01)],
        {},
        r"learning_rate \(0.1, 0.01\): choose with --where",
    ),
    ([{**r, "test_accuracy": "high"} for r in ROWS], {}, "test_accuracy: row 2: expected a number"),
    ([{"a": 1, "b": 2}], {}, "--arm: no column has a usual name"),
    (
        [{"arm": "x", "loss": 2, "accuracy": 1}],
        {},
        "--score: required, several columns may be meant: loss, accuracy",
    ),
    ([{"Step": 1, "a - acc": 1, "a - acc__MIN": 1}], {}, "export of a chart"),
    (ROWS[:5], {"reference": "none"}, "at least two arms"),
    (7, {}, "expected a data frame"),
    (pd.DataFrame(ROWS)["seed"], {}, "expected a data frame, .* got Series"),
    (pd.DataFrame(ROWS).iloc[:0], {}, "RUNS: runs has no runs"),
    (pd.DataFrame(ROWS)[["scheme", "seed", "seed"]], {}, 'column "seed" is there twice'),
    (ROWS[0], {}, 'column "scheme": expected a list of cells, got "none"'),
    (ROWS, {"examples": ROWS[:0]}, "--examples: there are no rows"),
    (ROWS, {"examples": [{"scheme": "none", "example": 1, "correct": 1}]}, "--seed: required in"),
    (ROWS, {"margin": "0.002"}, '--margin: expected a finite number, got "0.002"'),
    (ROWS, {"confidence": "0.9"}, "--confidence: expected a finite number"),
    (ROWS, {"chance": math.nan}, "--chance: expected a finite number, got nan"),
    (ROWS, {"asked": Asked(arm="scheme,seed")}, '--arm: unknown column "scheme,seed"'),
    (ROWS, {"asked": Asked(score="seed,test_accuracy")}, '--score: unknown column "seed,test'),
    ({"arm": ["a"], "seed": [1, 2]}, {}, "columns must have the same length"),
    (
        ROWS,
        {"asked": Asked(where=("seed=99",))},
        "--where: no row has seed = 99; values: 0, 1, 2, 3, 4",
    ),
]


@pytest.mark.parametrize(("runs", "changed", "message"), MISTAKES)
def test_a_mistake_names_what_is_expected(runs: Any, changed: dict[str, Any], message: str):
    with pytest.raises(DataError, match=message):
        judge_table(runs, **{"asked": Asked(), "reference": "unit", "margin": 0.002, **changed})


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "has no rows"), ("a,b\n1\n", "row 2 has 1 cell, the header 2"), ("a,a\n1,2\n", "twice")],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, content: str, message: str):
    (tmp_path / "runs.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "runs.csv")
    with pytest.raises(DataError, match="cannot read"):
        read_table(tmp_path / "other.csv")


def test_runs_of_which_none_has_ended_are_refused_with_what_they_are():
    rows = [{**row, "status": "failed"} for row in ROWS]
    with pytest.raises(DataError, match="no run is left; 5 rows of none left out: failed"):
        judge_table(rows, Asked(), "unit", 0.002)


@pytest.mark.parametrize("at", [0, 1, 3])
def test_rows_without_an_epoch_are_left_out_and_told(at: int):
    """As of an evaluation before or after the training."""
    rows: list[dict[str, Any]] = [
        {**row, "epoch": epoch, "test_accuracy": row["test_accuracy"] - 0.1 / epoch}
        for row in ROWS
        for epoch in (1, 2, 3)
    ]
    known = judge_table(rows, Asked(), "unit", 0.002)
    for arm in SCORES:
        first = next(n for n, row in enumerate(rows) if row["scheme"] == arm)
        rows.insert(first + at, {**rows[first], "epoch": math.nan, "test_accuracy": 0.5})
    found = judge_table(rows, Asked(), "unit", 0.002)
    assert found.verdicts == known.verdicts
    assert "1 row of none left out: without epoch" in found.runs.notes


def test_the_mean_of_which_epochs_a_gap_is_is_printed():
    rows = [
        {**row, "epoch": epoch, "test_accuracy": row["test_accuracy"] - 0.001 * (epoch == 12)}
        for row in ROWS
        for epoch in range(1, 13)
    ]
    lines = str(normsweep.judge(rows, reference="unit", margin=0.002)).splitlines()
    assert any("none: gap: mean of epochs 10 to 12, −" in line for line in lines)
    assert "mean of epochs" not in str(normsweep.judge(ROWS, reference="unit", margin=0.002))


def test_settings_that_differ_within_an_arm_are_named_first():
    rows = [{**row, "learning_rate": 0.1 / (1 + row["seed"])} for row in ROWS]
    found = normsweep.judge(rows, reference="unit", margin=0.002)
    assert found.judgement.runs.varied == ("learning_rate",)
    assert str(found).splitlines()[0].endswith("what these runs do not say")
    assert any("differ in learning_rate" in text for text in found.unknowns)
    assert found.sentence.startswith("In the given runs, “none” is clearly behind “unit” by")
    assert found.table.loc[0, "outcome"] == "clearly behind"


def test_arms_and_conditions_may_be_numbers_and_truth_values():
    def lead(arm: Any, reference: Any) -> Any:
        rows = [{**row, "scheme": arm[row["scheme"]], "fast": True} for row in ROWS]
        return normsweep.judge(rows, reference=reference, margin=0.002, where={"fast": True}).table

    for arm in ({"none": 0, "unit": 1}, {"none": False, "unit": True}, {"none": 0.5, "unit": 0.25}):
        assert lead(arm, arm["unit"]).loc[0, "outcome"] == "clearly behind"
    with pytest.raises(
        DataError, match="where: expected a mapping of columns to values, .* got list"
    ):
        normsweep.judge(ROWS, reference="unit", margin=0.002, where=["fast=true"])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("nothing", [None, math.nan, pd.NA, "", "<NA>"])
def test_a_run_without_a_seed_is_left_out_and_no_pair(nothing: Any):
    frame = pd.DataFrame(ROWS).astype({"seed": object})
    spare = [{"scheme": arm, "seed": nothing, "test_accuracy": 0.5} for arm in SCORES] * 2
    found = normsweep.judge(
        pd.concat([frame, pd.DataFrame(spare)]), reference="unit", margin=0.002
    ).judgement
    assert found.verdicts[0].gap.low == pytest.approx(EXPECTED.low)
    assert "2 rows of none left out: without seed" in found.runs.notes


def test_missing_cells_of_pandas_are_missing():
    frame = pd.DataFrame([*ROWS, {"scheme": None, "seed": 5, "test_accuracy": 1.0}])
    frame = frame.astype({"scheme": "string", "test_accuracy": "Float64"})
    frame.loc[0, "test_accuracy"] = pd.NA
    runs = normsweep.judge(frame, reference="unit", margin=0.002).judgement.runs
    assert [arm.arm for arm in runs.arms] == ["none", "unit"]
    assert runs.arm("none").count.lost == 1


def test_the_named_levels_of_an_index_are_columns():
    frame = pd.DataFrame(ROWS).groupby(["scheme", "seed"]).mean()
    found = normsweep.judge(frame, reference="unit", margin=0.002).judgement
    assert found.verdicts[0].gap.low == pytest.approx(EXPECTED.low)


def test_digits_with_an_underscore_are_a_text():
    arms = {"none": "3_264", "unit": "32_64"}
    rows = [{**row, "scheme": arms[row["scheme"]]} for row in ROWS]
    table = normsweep.judge(rows, reference="32_64", margin=0.002).table
    assert list(table["arm"]) == ["3_264"]


def test_from_python_columns_may_be_numbers_or_a_list_and_a_mistake_names_the_argument():
    frame = pd.DataFrame(ROWS).set_axis([0, 1, 2], axis=1).assign(fold=1)
    of: dict[str, Any] = {"arm": 0, "seed": [1, "fold"], "score": 2}
    found = normsweep.judge(frame, reference="unit", margin=0.002, **of).judgement
    assert found.verdicts[0].gap.low == pytest.approx(EXPECTED.low)
    for runs, changed, said in (
        (ROWS, {"arm": "x"}, 'arm: unknown column "x"'),
        (ROWS, {"lower": "False"}, "lower: expected True or False, got 'False'"),
        ("no--thing.csv", {}, "runs: cannot read no--thing.csv"),
    ):
        with pytest.raises(DataError, match=f"^{said}"):
            normsweep.judge(runs, **{"reference": "unit", "margin": 0.002, **changed})


def test_trials_of_any_optuna_study_are_read_with_its_direction(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/o.db"
    study = optuna.create_study(storage=url, study_name="mine", direction="minimize")
    for row in ROWS:
        params: dict[str, Any] = {"scheme": row["scheme"], "lr": 0.1}
        kinds = {
            name: optuna.distributions.CategoricalDistribution([value])
            for name, value in params.items()
            if name == "lr"
        }
        kinds["scheme"] = optuna.distributions.CategoricalDistribution(["none", "unit"])
        trial = optuna.create_trial(
            params=params, distributions=kinds, value=1 - row["test_accuracy"], user_attrs={"seed": row["seed"]},
            intermediate_values={1: 0.5, 2: 1 - row["test_accuracy"]},
        )  # fmt: skip
        study.add_trial(trial)
    study.add_trial(
        optuna.create_trial(
            params={"lr": 0.1, "scheme": "none"},
            distributions=kinds,
            state=optuna.trial.TrialState.PRUNED,
        )
    )
    (verdict,) = judge_trials(url, "mine", Asked(arm="scheme"), "unit", 0.002).verdicts
    assert (verdict.gap.low, verdict.gap.high) == pytest.approx((-EXPECTED.high, -EXPECTED.low))
    assert verdict.falls_short
    curves = judge_trials(url, None, Asked(arm="scheme", epoch="epoch"), "unit", 0.002)
    assert curves.verdicts[0].horizon == 2
    with pytest.raises(StoreError, match='unknown study "mined"'):
        judge_trials(url, "mined", Asked(), "unit", 0.002)


RECORD = Path(__file__).parents[2] / "docs/studies/mnist.db.gz"


@pytest.mark.parametrize(
    ("question", "configuration"), [("equal_epochs", "baseline"), ("both_tuned", "tuned_long")]
)
def test_of_the_study_of_mnist_it_gives_the_interval_over_seeds_of_the_study(
    tmp_path: Path, question: str, configuration: str
):
    """What it cannot have is the part of the interval that is due to other test images."""
    (tmp_path / "optuna.db").write_bytes(gzip.decompress(RECORD.read_bytes()))
    answer = normsweep.load("mnist", storage=f"sqlite:///{tmp_path}/optuna.db").answer
    given = normsweep.judge(
        answer.seeds, reference="÷255", margin=0.002, score="mean_test_accuracy",
        where={"configuration": configuration, "epochs": 12},
    )  # fmt: skip
    columns = ["gap", "seeds_low", "seeds_high"]
    theirs = answer.table.query("question == @question").set_index("arm")[columns]
    ours = given.table.set_index("arm")[["gap", "low", "high"]].set_axis(columns, axis=1)
    assert len(theirs) == 2
    pd.testing.assert_frame_equal(ours, theirs, check_like=True, rtol=1e-9)


def test_a_page_has_figures_and_tables_and_says_first_what_is_unknown(tmp_path: Path):
    folder = tmp_path / "page"
    page = normsweep.judge(ROWS, reference="unit", margin=0.002).report(folder).read_text()
    assert page.index("What these runs do not say") < page.index("clearly behind")
    assert page.count("<svg") >= 4
    assert {file.name for file in (folder / "tables").iterdir()} == {
        "runs.csv",
        "summary.csv",
        "verdicts.csv",
    }
    with pytest.raises(UserError, match="--output: cannot write"):
        normsweep.judge(ROWS, reference="unit", margin=0.002).report(folder / "index.html" / "x")
