"""Halving with networks that are trained: trials pause, and the best continue bit for bit."""

from __future__ import annotations

from collections import Counter

import pytest

from normsweep.analysis.evidence import evidence
from normsweep.analysis.trials import settled
from normsweep.reporting.methods import paragraph
from normsweep.reporting.tables import budgets_table
from normsweep.store.storage import read_study
from normsweep.sweep.rungs import epochs_of_halving
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Status
from tests.runner.test_reuse import Place

SWEEP = """
name = "grid"
reference = "unit"
[data]
dataset = "digits"
train_size = 200
[model]
name = "mlp"
options = { units = 4 }
[search]
trials = 8
pruner = "halving"
[search.space]
normalization = ["none", "unit"]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
optimizer = "adam"
epochs = { low = 1, high = 4 }
[select]
seeds = 1
[confirm]
seeds = 2
margin = 0.05
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(tmp_path_factory.mktemp("halved"), SWEEP)
    said = made.run()
    assert "2 arms × 8 = 16" in said
    assert "of each arm 4 go on after epoch 1 and 2 go on after epoch 2" in said
    return made


def curves(records: list[TrialRecord]) -> dict[tuple[str, int], list[tuple[float, float]]]:
    """The curve of each planned trial."""
    return {
        (r.trial.arm, r.trial.slot): [(e.train_loss, e.val_loss) for e in r.result.curve]
        for r in settled(records)
        if r.result is not None
    }


def test_the_best_continue_from_their_checkpoints(place):
    results = [r.result for r in place.records() if r.result is not None]
    assert Counter((r.status, len(r.curve), r.reused) for r in results) == {
        (Status.COMPLETE, 4, 0): 2,  # the baselines
        (Status.PRUNED, 1, 0): 2 * 7,
        (Status.PRUNED, 2, 1): 2 * 3,
        (Status.COMPLETE, 4, 2): 2,
    }
    trained = sum(len(r.curve) - r.reused for r in results)
    assert trained == 2 * epochs_of_halving(4, 4) == 2 * 4 * 4
    assert all(r.origin is not None for r in results if r.reused)


def test_another_study_reuses_trials_as_far_as_they_got(place):
    said = place.run("name=second", phase="search", reuse="grid")
    assert "trials that study grid has finished are reused" in said
    second = [r for r in read_study(place.storage, "second").trials if r.trial.phase == "search"]
    results = [r.result for r in second if r.result is not None]
    assert Counter((r.status, len(r.curve), r.reused) for r in results) == {
        (Status.COMPLETE, 4, 4): 2 + 2,
        (Status.PRUNED, 1, 1): 2 * 7,
        (Status.PRUNED, 2, 2): 2 * 3,
    }
    assert {r.origin_study for r in results} == {"grid"}
    assert curves(second) == curves(place.records())


def test_without_checkpoints_the_same_curves_are_trained_anew(place, tmp_path):
    other = Place(tmp_path / "without", SWEEP)
    other.run("execution.checkpoints=0", phase="search")
    assert {r.result.reused for r in other.records() if r.result} == {0}
    assert curves(other.records()) == curves(place.records())


def test_tables_page_and_methods_say_who_got_how_far(place):
    record = read_study(place.storage, "grid")
    table = budgets_table(record)
    own = table[table["arm"] == "unit"].set_index("epochs")
    assert own["among"].tolist() == [8, 4, 2, 2]
    assert own["reached_by"].tolist() == ["all", *["survivors"] * 3]
    tuned = [c for c in record.analyses[-1].configurations if c.name != "baseline"]
    assert {(c.among, c.of) for c in tuned} == {(2, 8)}
    said = paragraph(evidence(record))
    assert (
        "of each arm the best 4 after epoch 1 and the best 2 after epoch 2 were trained on" in said
    )
    page = (place.root / "reports" / "grid" / "index.html").read_text()
    assert "halving let only the best go on, 4 of an arm after epoch 1" in page


def test_a_finished_study_is_finished(place):
    assert "is done: 24 of 24 trials" in place.run()
