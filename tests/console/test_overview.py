from typing import Any

import pytest

from normsweep.console.overview import plan_lines
from normsweep.search.plan import Plan, mean_epochs
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import DataFacts
from normsweep.text import duration
from normsweep.training import precision
from normsweep.training.preflight import Findings

SAMPLED = "search.space.epochs.sample=true"


@pytest.fixture
def planned(sweep_file, parts, monkeypatch, tmp_path):
    """The plan on a machine whose processor is not known."""
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "none")

    def lines(*overrides: str, **found: Any) -> list[str]:
        sweep = load_sweep(sweep_file, parts, overrides)
        return plan_lines(Plan(sweep, **found))

    return lines


def test_a_plan_says_what_will_be_tried(planned):
    assert planned() == [
        "study     base: Does raw input catch up?",
        "data      digits",
        "model     lenet",
        "precision float32",
        "arms      2 by normalization: none, unit; reference unit",
        "trials    2 arms × 6 = 12, the baseline first, then a ladder of learning rates, the same in every arm",
        "epochs    1 to 12: every trial trains for 12 and is read at every epoch",
        "confirm   up to 3 configurations of each arm × 5 fresh seeds, then one by one up to 20 until "
        "both_tuned is decided, 12 epochs; margin 0.2 percentage points",
    ]
    one = ("confirm.epochs=1", "confirm.margin=0.01", "confirm.baseline.epochs=1")
    assert planned(*one)[-1].endswith("1 epoch; margin 1 percentage point")
    assert planned("confirm.seeds=10")[-1] == (
        "confirm   up to 3 configurations of each arm × 10 fresh seeds, 12 epochs; margin 0.2 percentage points"
    )


def test_a_plan_of_a_table_counts_rows(planned):
    facts = DataFacts("wine", "a file", "0123456789abcdef", 120, 58, 3, sample="row")
    lines = planned(data=facts, findings=Findings({}, {"device": "", "threads": ""}, 9, 96, 24, empty=("x",)))  # fmt: skip
    assert (
        "data      wine (a file): 96 rows to train on, 24 to validate, digest 0123456789ab" in lines
    )
    assert any("all training rows are the same after x" in line for line in lines)


@pytest.mark.parametrize(("saved", "proposed"), [(None, False), (599.0, False), (7200.0, True)])
def test_a_plan_proposes_halving_where_it_saves_time(planned, saved, proposed):
    machine = {"device": "cpu", "threads": "2"}
    findings = Findings({}, machine, 1_256_080, 960, 240)
    lines = planned(findings=findings, seconds=12_000.0, halving_seconds=saved)
    line = (
        "halving   search.pruner=halving would try twice as many learning rates in the same time; with "
        "search.trials=6 as many, and save about 2.0 h of the search"
    )
    assert (line in lines) == proposed


def test_a_plan_says_what_was_found(planned):
    machine = {"device": "cpu", "threads": "2"}
    lines = planned(
        "question=",
        data=DataFacts("digits", "scikit-learn's digits", "0123456789abcdef", 1200, 597, 10),
        findings=Findings({"minmax": "unit"}, machine, 1_256_080, 960, 240),
        seconds=754.0,
        confirm_seconds=(3_240.0, 12_240.0),
        select_seconds=(60.0, 120.0),
    )
    assert lines[0] == "study     base"
    assert (
        "data      digits (scikit-learn's digits): 960 images to train on, 240 to validate, digest "
        "0123456789ab"
    ) in lines
    assert "model     lenet, 1,256,080 parameters" in lines
    assert "note      minmax is equivalent to unit on this data: run once, as unit" in lines
    assert lines[-2:] == [
        "device    cpu, 2 threads",
        "time      about 13 min for the search, 60 s to 2 min for the selection round and 54 min to 3.4 h "
        "for its confirmation, from one measured step",
    ]


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        pytest.param(
            ["search.trials=13"],
            "note      13 trials are not a multiple of 2 arms: rounded up to 14", id="rounded-up",
        ),
        pytest.param(
            ["search.trials=1000", "search.sampler=grid", "search.space.learning_rate=[0.001, 0.01]"],
            "note      the grid has 4 points per arm: 8 trials in total", id="small-grid",
        ),
        pytest.param(
            ["search.pruner=median", "search.sampler=tpe"],
            "trials    2 arms × 6 = 12, the baseline first, then sampler tpe, pruner median within each arm", id="pruner",
        ),
        pytest.param(
            ["search.longest_every=3", SAMPLED],
            "epochs    1 to 12, sampled; one trial in 3 of each arm trains for 12", id="longest",
        ),
        pytest.param(
            ["search.longest_every=3"],
            "note      search.longest_every has no effect: every trial trains for the largest number of epochs",
            id="longest-without-effect",
        ),
        pytest.param(
            ["search.space.epochs=[2, 8]"],
            "epochs    2, 8: every trial trains for 8 and is read at every epoch", id="epochs-list",
        ),
        pytest.param(["search.space.epochs=8"], "epochs    8", id="epochs-fixed"),
        pytest.param(
            ["rules=1"], "trials    2 arms × 6 = 12, sampler tpe", id="earlier-rules",
        ),
        pytest.param(
            ['data.dataset=["mnist", "digits"]'], "data      mnist or digits", id="data-list"
        ),
        pytest.param(
            ['search.space.normalization=["unit", "robust"]'],
            "note      robust takes the median and quartiles of the non-zero pixels, of all rows of a table", id="robust",
        ),
        pytest.param(
            ["confirm.seeds=4", "confirm.epochs=30", "confirm.margin=0.015"],
            "confirm   up to 3 configurations of each arm × 4 fresh seeds, 30 epochs; margin "
            "1.5 percentage points", id="confirmation",
        ),
        pytest.param(
            ["confirm.seeds=10", "confirm.baseline.epochs=12"],
            "confirm   up to 2 configurations of each arm × 10 fresh seeds, 12 epochs; margin 0.2 percentage points",
            id="one-budget",
        ),
        pytest.param(
            ["confirm.seeds=10", "search.trials=2"],
            "confirm   up to 1 configuration of each arm × 10 fresh seeds, 12 epochs; margin 0.2 percentage points",
            id="nothing-tuned",
        ),
        pytest.param(
            ["confirm.seeds=10", 'search.space.schedule="cosine"'],
            "confirm   up to 4 configurations of each arm × 10 fresh seeds, 12 epochs; margin 0.2 percentage points",
            id="lengths",
        ),
        pytest.param(
            ["compare=optimizer", "reference=adam"],
            "arms      2 by optimizer: sgd, adam; reference adam", id="other-arms",
        ),
    ],
)  # fmt: skip
def test_a_plan_tells_what_is_special(planned, overrides, line):
    assert line in planned(*overrides)


MEASURED = {"float32": 0.045, "mixed_bfloat16": 0.0279, "mixed_float16": 0.3}


@pytest.mark.parametrize(
    ("own", "automatic", "line"),
    [
        ("float32", "mixed_bfloat16", "float32, 45 ms a step; auto would take mixed_bfloat16: 28 ms, 38 % less"),
        ("mixed_bfloat16", "mixed_bfloat16",
         "mixed_bfloat16, which auto takes here: 28 ms a step, 38 % less than the 45 ms of float32"),
        ("mixed_bfloat16", "float32", "mixed_bfloat16, 28 ms a step; auto would take float32: 45 ms, 61 % more"),
        ("mixed_float16", "float32", "mixed_float16, 300 ms a step; auto would take float32: 45 ms, 85 % less"),
        ("float32", "float32", "float32, 45 ms a step; auto would take it too"),
    ],
)  # fmt: skip
def test_a_measured_plan_says_in_one_line_what_auto_saves(planned, own, automatic, line):
    seconds = {own: MEASURED[own], **MEASURED}
    machine = {"device": "cpu", "threads": "2"}
    lines = planned(
        f"model.precision={own}",
        data=DataFacts("digits", "scikit-learn's digits", "0123456789abcdef", 1200, 597, 10),
        findings=Findings({}, machine, seconds=seconds, automatic=automatic),
    )
    assert [each for each in lines if each.startswith("precision")] == [f"precision {line}"]


@pytest.mark.parametrize(
    ("own", "flags", "line"),
    [
        ("float32", "sse avx512_bf16", "float32; auto would take mixed_bfloat16 on this processor"),
        ("float32", "sse avx512f", "float32"),
        ("auto", "amx_bf16", "auto: mixed_bfloat16 on this processor"),
        ("auto", "sse avx512f", "auto: float32 on this processor"),
        ("mixed_bfloat16", "sse", "mixed_bfloat16; auto would take float32 on this processor"),
    ],
)
def test_a_plan_that_measures_nothing_says_what_auto_would_be(
    planned, own, flags, line, tmp_path, monkeypatch
):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\n")
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
    assert f"precision {line}" in planned(f"model.precision={own}")


@pytest.mark.parametrize(
    ("trials", "trained"),
    [(24, 2 * 20), (2, 20), (4, 20 * (1 + 3 / 5))],
    ids=["whole", "one-an-arm", "two-an-arm"],
)
def test_of_a_grid_over_epochs_only_the_longest_count(sweep_file, parts, trials, trained):
    grid = [
        'search.sampler="grid"', f"search.trials={trials}",
        "search.space.epochs={ choices = [2, 8, 20], sample = true }",
        "search.space.learning_rate=[0.01, 0.1]", 'search.space.optimizer="adam"',
        "confirm.baseline.learning_rate=0.01",
    ]  # fmt: skip
    sweep: Sweep = load_sweep(sweep_file, parts, grid)
    assert mean_epochs(sweep) * sweep.trials_per_arm == pytest.approx(trained)


@pytest.mark.parametrize(
    ("overrides", "epochs"),
    [
        ([SAMPLED], 6.5),
        (["search.space.epochs={ choices = [2, 8, 20], sample = true }"], 10),
        (["search.space.epochs=4"], 4),
        (["search.space.epochs={ low = 1, high = 100, log = true, sample = true }"], 99 / 4.60517),
        ([SAMPLED, "search.longest_every=2"], (6.5 + 12) / 2),
        (["rules=1", "search.longest_every=2"], (6.5 + 12) / 2),
        (["search.longest_every=2"], 12),
        (["search.space.epochs=[2, 8]"], 8),
        (
            ["search.space.epochs=[2, 8]", "search.sampler=grid", "search.space.learning_rate=0.1"],
            8,
        ),
    ],
    ids=["range", "list", "fixed", "log", "longest-every", "rules-1", "read", "read-list", "grid"],
)
def test_the_mean_number_of_epochs_is_that_of_an_even_search(sweep_file, parts, overrides, epochs):
    """After the baseline, which is trained for the longest."""
    sweep: Sweep = load_sweep(sweep_file, parts, overrides)
    if sweep.rules > 1:
        epochs += (sweep.longest - epochs) / sweep.trials_per_arm
    assert mean_epochs(sweep) == pytest.approx(epochs, rel=1e-5)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"), (45, "45 s"), (99.4, "99 s"), (99.5, "2 min"), (720, "12 min"),
        (5969, "99 min"), (5970, "1.7 h"), (12240, "3.4 h"), (360000, "100.0 h"),
    ],
)  # fmt: skip
def test_durations_are_told_in_words(seconds, text):
    assert duration(seconds) == text
