"""A study whose confirmation adds seeds by itself, by its commands: stopped, killed, in parallel, finished."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from pathlib import Path

import pytest

from normsweep import study
from normsweep.analysis.evidence import evidence
from normsweep.shell import run
from normsweep.store.storage import read_study
from normsweep.sweep.study_record import TUNED_LONG, StudyRecord
from normsweep.sweep.trial import CONFIRM, SEARCH
from tests import shared
from tests.runner.test_confirmation import interrupt

# `standardize` is 40 points behind; `center` is as good, but its noise takes more than 5 seeds.
SWEEP = """
name = "sequential"
reference = "unit"
[data]
dataset = "digits"
[model]
name = "synthetic"
[model.options]
ceiling = { standardize = 0.5, default = 0.9 }
speed = 3.0
noise = 0.02
[search]
trials = 3
[search.space]
normalization = ["unit", "standardize", "center"]
learning_rate = 0.001
optimizer = "adam"
epochs = 2
[confirm]
seeds = { first = 5, most = 9 }
margin = 0.033
baseline = { epochs = 1 }
"""


class Place:
    """A folder with a sweep, and the study that is run there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shared.place_stores(folder / "mlruns")
        (folder / "sequential.toml").write_text(SWEEP)

    def study(self, *arguments: str, status: int = 0, executor: str = "inline") -> str:
        """Run the command in this process; what it says."""
        said = io.StringIO()
        given = ["sequential.toml", "--executor", executor, *arguments]
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            assert run(study.app, given) == status, said.getvalue()
        return said.getvalue()

    def read(self) -> StudyRecord:
        return read_study(f"sqlite:///{self.folder}/mlruns/optuna.db", "sequential")


def outcomes(record: StudyRecord) -> dict[str, tuple[str, float, int]]:
    return {v.arm: (str(v.outcome), v.gap.low, v.seeds) for v in evidence(record).primary}


def seeds(record: StudyRecord) -> list[tuple[int, list[tuple[int | None, ...]]]]:
    """The analyses, with the seeds of their runs."""
    of = {r.trial.number: r.trial.seed for r in record.trials}
    return [
        (a.seeds, [tuple(map(of.get, c.runs)) for c in a.configurations]) for a in record.analyses
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A study that was run by one worker, after its confirmation ran out of time once."""
    made = Place(tmp_path_factory.mktemp("whole"))
    made.study("--phase", "search")
    said = made.study("--phase", "confirm", "--timeout", "1e-9")
    assert "the confirmation is not finished; run the command again to resume" in said
    assert Counter(r.trial.phase for r in made.read().trials) == {SEARCH: 3}
    said = made.study("--phase", "confirm")
    assert "standardize: " in said
    assert "about" in said
    assert "is not finished" not in said
    return made


def test_only_what_is_open_gets_more_seeds(place):
    record = place.read()
    found = outcomes(record)
    last = record.analyses[-1].seeds
    assert found["standardize"][2] == 5 < found["center"][2] == last <= 9
    count = Counter(r.trial.arm for r in record.confirmed)
    assert count == {"unit": last, "center": last, "standardize": 5}
    assert [a.seeds for a in record.analyses] == [*range(5, last + 1)]
    assert record.planned[CONFIRM] == len(record.confirmed)


def test_it_is_finished_where_it_stopped_by_itself(place):
    before = place.read()
    assert "the search of sequential is done: 3 of 3 trials" in place.study()
    assert "not finished" not in place.study("--set", "confirm.seeds=5")  # fewer change nothing
    assert place.read() == before


def test_more_seeds_after_an_analysis_are_refused_with_what_to_write(place):
    said = place.study("--set", "confirm.seeds.most=30", status=2)
    assert "--study-name sequential-2 --reuse sequential" in said
    assert "confirm.seeds.most: 9 -> 30" in said


def test_other_configurations_are_not_confirmed_after_an_analysis(tmp_path):
    place = Place(tmp_path)
    rates = ("--set", "search.space.learning_rate=[0.001, 0.0011, 0.0012]", "search.trials=3")
    place.study(*rates)
    before = place.read().analyses[-1]
    said = place.study(*rates[:2], "search.trials=9")
    record = place.read()
    assert len(record.searched) == 9
    chosen = {c.arm: c.params for c in record.analyses[-1].configurations if c.name == TUNED_LONG}
    assert chosen == {c.arm: c.params for c in before.configurations if c.name == TUNED_LONG}
    assert record.analyses[-1] == before
    if "keeps the configurations" in said:
        assert "--reuse sequential" in said


def test_killed_and_resumed_by_two_workers_it_is_the_same(place, tmp_path):
    other = Place(tmp_path)
    arguments = ("--n-jobs", "2", "--set", "model.options.seconds=0.05")
    interrupt(other, 3 + 16, "sequential.toml", *arguments)
    killed = other.read()
    other.study(*arguments, executor="processes")
    record, whole = other.read(), place.read()
    assert record.analyses[: len(killed.analyses)] == killed.analyses
    assert seeds(record) == seeds(whole)
    assert outcomes(record) == outcomes(whole)


def test_a_real_network_is_trained_on_no_more_seeds_than_are_needed(tmp_path):
    place = Place(tmp_path)
    given = (
        "--set", "model={ name = 'mlp', batch_size = 383, options = { units = 8, layers = 1 } }",
        "search.space.normalization=['unit', 'none']", "search.trials=2", "search.space.epochs=1",
        "confirm.seeds={ first = 5, most = 6 }", "confirm.margin=0.5",
    )  # fmt: skip
    place.study(*given)
    record = place.read()
    last = record.analyses[-1].seeds
    assert [a.seeds for a in record.analyses] == [*range(5, last + 1)]
    assert len(record.confirmed) == 2 * last
    assert all(e.tested.images == 360 for r in record.confirmed for e in r.result.curve)
    place.study(*given)
    assert place.read() == record
