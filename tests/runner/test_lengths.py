"""A study with a schedule over the whole training and with early stopping, from search to answer."""

from __future__ import annotations

from normsweep.analysis.evidence import evidence
from normsweep.reporting.answer import study_answer
from normsweep.reporting.page import report_tables
from normsweep.reporting.tables import trials_table
from normsweep.store.storage import read_study
from normsweep.sweep.study_record import BASELINE_SHORT, TUNED_LONG, TUNED_SHORT
from normsweep.sweep.trial import Status
from tests.runner.test_reuse import Place

SWEEP = """
name = "grid"
reference = "÷255"
[arms]
"÷255" = { normalization = "unit" }
"cosine" = { normalization = "unit", schedule = "cosine" }
"stops" = { normalization = "unit", stop = { patience = 1 } }
[data]
dataset = "digits"
train_size = 200
[model]
name = "synthetic"
options = { noise = 0.05 }
[search]
trials = 12
[search.space]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
optimizer = "adam"
epochs = { low = 1, high = 6 }
[select]
top = 1
seeds = 1
[confirm]
seeds = 5
margin = 0.05
baseline = { epochs = 3 }
"""


def test_a_study_of_lengths_and_of_trainings_that_stop(tmp_path):
    place = Place(tmp_path / "lengths", SWEEP)
    said = place.run()
    assert "the learning rates of cosine depend on the number of epochs" in said
    study = read_study(place.storage, "grid")
    lengths = {r.trial.epochs for r in study.searched}
    assert len(lengths) > 1, "lengths are sampled"
    cosine, stops = (
        next(a.key for a in study.sweep.arms if a.label == name) for name in ("cosine", "stops")
    )
    by_name = {(c.arm, c.name): c for c in study.analyses[-1].configurations}
    assert {arm for arm, name in by_name if name == BASELINE_SHORT} == {cosine}
    for name, most in ((TUNED_SHORT, 3), (TUNED_LONG, 6)):
        if (cosine, name) in by_name:
            chosen = by_name[cosine, name]
            trial = next(r.trial for r in study.searched if r.trial.number == chosen.trial)
            assert chosen.params["epochs"] == trial.epochs <= most
    ended = [r for r in study.trials if r.trial.arm == stops and r.stopped]
    assert ended, "some stopped early"
    for record in ended:
        assert record.result.status is Status.COMPLETE
        assert len(record.result.curve) == record.result.last.epoch + 1
        assert record.result.score == record.result.last.value
    found = evidence(study)
    assert any("(censored)" in line for line in found.warnings)
    assert {v.window for v in found.verdicts if v.arm == cosine} == {1}
    assert study_answer(found)
    assert report_tables(found)
    assert "restored_epoch" in trials_table(study.trials).columns
    before = [(r.trial.number, r.result) for r in study.trials]
    place.run()
    assert [(r.trial.number, r.result) for r in read_study(place.storage, "grid").trials] == before
