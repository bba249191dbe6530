"""Trainings that hold no shorter one, and trainings that stop early, beside the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from normsweep.analysis.evidence import evidence
from normsweep.analysis.trials import read_at_epoch
from normsweep.sweep.schema import QUESTIONS
from normsweep.sweep.study_record import BASELINE, BASELINE_SHORT, TUNED_LONG, TUNED_SHORT
from normsweep.sweep.trial import Epoch, Result, Status, stops
from tests.analysis.conftest import LEVELS
from tests.analysis.test_questions import EXPECTED
from tests.conftest import make_record

OF_LENGTH = {
    **{key: levels for key, levels in LEVELS.items() if key[0] == "none"},
    ("unit", BASELINE): (0.3, 0.3, 0.3, 0.3, 0.3, 0.90),
    ("unit", BASELINE_SHORT): (0.4, 0.86),
    ("unit", TUNED_SHORT): (0.4, 0.88),
    ("unit", TUNED_LONG): (0.3, 0.3, 0.3, 0.93),
}
STOPPED = ("none", BASELINE)


def judged(found):
    return {v.question: v for v in found.verdicts}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_training_of_its_own_length_is_read_at_its_end(planted, sweep, recorded, question):
    study = planted(levels=OF_LENGTH)
    records = [
        replace(r, trial=replace(r.trial, of_length=r.trial.arm == "unit")) for r in study.records
    ]
    found = evidence(recorded(sweep(), records, [study.look]))
    verdict, (value, reference, horizon) = judged(found)[question], EXPECTED[question]
    assert (verdict.value, verdict.reference_value) == pytest.approx((value, reference))
    assert (verdict.horizon, verdict.window) == (horizon, 1)
    assert verdict.epoch in (None, horizon), "no earlier epoch is read"
    assert any("depend on the number of epochs" in line for line in verdict.warnings)
    assert not found.exchanges
    assert not found.speeds


def test_a_training_that_stopped_counts_with_what_it_restored(planted, sweep, recorded):
    study = planted(levels={**LEVELS, STOPPED: (0.5, 0.6, 0.7, 0.86, 0.84, 0.1)})

    def stopped(record):
        if (record.trial.arm, record.trial.configuration) != STOPPED:
            return record
        curve = tuple(replace(e, val_loss=abs(e.epoch - 4)) for e in record.result.curve[:5])
        result = replace(record.result, curve=curve, restores=True)
        return replace(record, trial=replace(record.trial, patience=1), result=result)

    records = [stopped(record) for record in study.records]
    found = evidence(recorded(sweep(), records, [study.look]))
    for question, (value, reference, horizon) in EXPECTED.items():
        verdict = judged(found)[question]
        assert (verdict.value, verdict.reference_value) == pytest.approx((value, reference))
        assert verdict.horizon == horizon
    (line,) = found.warnings
    assert line.startswith("none stops early: 5 of 15 confirmation runs ended before their last")
    assert "(censored)" in line
    (curve,) = (c for c in found.curves if (c.arm, c.configuration) == STOPPED)
    assert [e.value for e in curve.epochs] == pytest.approx([0.5, 0.6, 0.7, 0.86, 0.86, 0.86])


def losses(*values: float) -> tuple[Epoch, ...]:
    return tuple(Epoch(0, e, 1, 0.5, v, 1 - v, 0.1) for e, v in enumerate(values, start=1))


@pytest.mark.parametrize(
    ("values", "patience", "at"),
    [((0.3, 0.2, 0.3, 0.1, 0.2, 0.2, 0.05), 2, 6), ((0.3, 0.3, 0.2), 1, 2), ((0.3, 0.2), 1, None),
     ((0.3, 0.3), None, None)],
    ids=["after-the-best", "a-tie-is-no-better", "improves", "never"],
)  # fmt: skip
def test_a_training_stops_after_so_many_epochs_without_a_lower_loss(values, patience, at):
    ends = [n for n in range(1, len(values) + 1) if stops(losses(*values[:n]), patience)]
    assert (ends[0] if ends else None) == at


def test_losses_are_compared_as_they_are_stored():
    """So that a training that resumes stops at the same epoch."""
    close = losses(0.2, 0.2 - 1e-12)
    result = Result(0, Status.COMPLETE, close, 0.1, restores=True)
    assert result.last.epoch == result.as_read.last.epoch == 1
    assert stops(close, 1)
    assert stops(result.as_read.curve, 1)


def test_what_a_trial_holds_within_a_number_of_epochs():
    plain = make_record(epochs=4)
    plain = replace(plain, result=replace(plain.result, curve=losses(0.4, 0.3, 0.2, 0.1)))
    whole = replace(plain, trial=replace(plain.trial, number=1, slot=1, of_length=True))
    cut = replace(plain.result, curve=losses(0.1, 0.2), restores=True)
    early = replace(plain, trial=replace(plain.trial, number=2, slot=2, patience=1), result=cut)
    read = {n: {r.trial.number: len(r.result.curve) for r in read_at_epoch([plain, whole, early], n)}
            for n in (1, 3, 4, 6)}  # fmt: skip
    assert read == {1: {0: 1, 2: 1}, 3: {0: 3, 2: 2}, 4: {0: 4, 1: 4, 2: 2}, 6: {1: 4, 2: 2}}
