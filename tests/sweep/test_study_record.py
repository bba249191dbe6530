"""What a study's record holds, and that all of it comes back from JSON."""

import json
import math
from dataclasses import replace

import pytest

from normsweep.sweep.loading import load_sweep
from normsweep.sweep.study_record import (
    BASELINE,
    TUNED_LONG,
    Analysis,
    Configuration,
    DataFacts,
    Diagnosis,
    LoggedModel,
    Publication,
    Stage,
    StudyRecord,
)
from normsweep.sweep.trial import CONFIRM

DATA = DataFacts(
    "digits",
    "scikit-learn",
    "d" * 64,
    1437,
    360,
    3,
    ("a", "b", "c"),
    (500, 500, 437),
    (120,) * 3,
    sample="row",
)
STAGE = Stage(33.0, math.inf, 41.5, 0.25, (("conv2d_1", 1 / 3), ("dense_1", math.inf)))


def test_the_same_runs_seen_again_are_no_further_analysis():
    params = {"normalization": "none", "learning_rate": 0.1, "epochs": 8}
    analysis = Analysis(3, (Configuration("none", TUNED_LONG, params, 2, 8, 5, (5, 7, None)),))
    (only,) = analysis.configurations
    for same in ({"trial": 9}, {"among": 9}, {"selected_at": 4}):
        assert replace(analysis, configurations=(replace(only, **same),)).seen == analysis.seen
    assert replace(analysis, seeds=4).seen != analysis.seen
    other = replace(only, runs=(5, 7, 11))
    assert replace(analysis, configurations=(other,)).seen != analysis.seen


def test_an_analysis_survives_json():
    params = {"normalization": "none", "learning_rate": 1 / 3e4, "nesterov": True, "epochs": 8}
    analysis = Analysis(
        3,
        (
            Configuration("none", BASELINE, params, runs=(4, None, 9)),
            Configuration("none", TUNED_LONG, params, 2, 8, 5, (5, 7, 10)),
        ),
    )
    assert Analysis.from_plain(json.loads(json.dumps(analysis.to_plain()))) == analysis


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(DATA, id="data"),
        pytest.param(replace(DATA, labels=()), id="data-without-labels"),
        pytest.param(Diagnosis(STAGE, replace(STAGE, loss=-math.inf)), id="diagnosis"),
        pytest.param(Diagnosis(STAGE, None), id="diagnosis-of-a-diverging-arm"),
        pytest.param(
            Diagnosis(STAGE, STAGE, (replace(STAGE, step=10, stable_rate=1e-3),), "adam"),
            id="diagnosis-with-steps",
        ),
        pytest.param(LoggedModel(7, "m-1", registered=True), id="model"),
        pytest.param(Publication("0" * 64, "", False), id="publication"),
    ],
)
def test_what_a_record_holds_survives_strict_json(value):
    text = json.dumps(value.to_plain(), allow_nan=False)
    assert type(value).from_plain(json.loads(text)) == value
    assert json.dumps(type(value).from_plain(json.loads(text)).to_plain()) == text


def test_a_network_without_relus_comes_back_without():
    plain = Diagnosis(replace(STAGE, dead_relus=math.nan), None).to_plain()
    assert plain["initialization"]["dead_relus"] == "nan"
    assert math.isnan(Diagnosis.from_plain(plain).initialization.dead_relus)


def test_a_diagnosis_of_an_older_record_is_read_without_its_condition_number():
    plain = Diagnosis(STAGE, None).to_plain()
    kept = ("input_mean", "input_std", "loss", "dead_relus", "gradients")
    stage = {name: plain["initialization"][name] for name in kept} | {"condition_number": 7.04e6}
    assert Diagnosis.from_plain({"initialization": stage, "after_epoch_1": stage}) == Diagnosis(
        STAGE, STAGE
    )


def test_stages_are_in_the_order_of_training():
    later = tuple(replace(STAGE, step=step) for step in (10, 100))
    stages = Diagnosis(STAGE, replace(STAGE, step=36), later).stages
    assert list(stages) == ["initialization", "after 10 steps", "after epoch 1", "after 100 steps"]


def test_data_of_older_records_has_no_counts():
    kept = ("name", "source", "digest", "train_images", "test_images", "classes")
    older = {key: value for key, value in DATA.to_plain().items() if key in kept}
    assert DataFacts.from_plain(older) == replace(
        DATA, labels=(), class_counts=(), test_class_counts=(), sample="image"
    )
    for key in kept:
        with pytest.raises(KeyError, match=key):
            DataFacts.from_plain({k: v for k, v in older.items() if k != key})


def test_a_record_answers_which_arms_run_and_which_trials_are_whose(sweep_file, parts, record):
    sweep = load_sweep(
        sweep_file, parts, ['search.space.normalization=["none", "unit", "symmetric"]']
    )
    trials = tuple(record(i, phase=CONFIRM) if i > 1 else record(i) for i in range(4))
    study = StudyRecord("base", "abc", sweep, DATA, {"symmetric": "unit"}, trials=trials)
    assert study.arms == ("none", "unit")
    assert [r.trial.number for r in study.searched] == [0, 1]
    assert [r.trial.number for r in study.confirmed] == [2, 3]
    assert study.begun
    assert not replace(study, data=None).begun


def test_a_model_of_an_earlier_version_is_not_known_to_be_registered():
    assert LoggedModel.from_plain({"trial": 7, "model_id": "m-1"}) == LoggedModel(7, "m-1")
