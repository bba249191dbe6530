"""What a sweep declares for its confirmation, and the values that a look is recorded as."""

import json
from dataclasses import replace

import pytest

from normsweep.errors import SweepError
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import BASELINE, TUNED_LONG, Analysis, Configuration


@pytest.fixture
def sweep(sweep_file, parts):
    return lambda *overrides: load_sweep(sweep_file, parts, overrides)


def test_the_confirmations_seeds_are_fresh_and_differ(sweep):
    for seed in (0, 7):
        seeds = sweep(f"seed={seed}").confirm_seeds
        assert len(set(seeds)) == 10
        assert seed not in seeds


def test_more_seeds_keep_those_that_there_were(sweep):
    few, many = (sweep(f"confirm.seeds={n}").confirm_seeds for n in (5, 20))
    assert (len(few), len(many)) == (5, 20)
    assert many[:5] == few


@pytest.mark.parametrize(
    ("overrides", "longest", "read_at"),
    [
        pytest.param([], 12, 4, id="the-spaces-longest"),
        pytest.param(["confirm.epochs=30"], 30, 4, id="longer"),
        pytest.param(["confirm.epochs=3"], 3, 3, id="shorter-than-the-baseline"),
        pytest.param(["search.space.epochs=2"], 2, 2, id="a-short-space"),
        pytest.param(["confirm.baseline.epochs=9"], 12, 9, id="given"),
        pytest.param(["search.space.epochs=[3, 8]"], 8, 4, id="a-list"),
    ],
)
def test_the_baseline_is_read_within_the_confirmations_epochs(sweep, overrides, longest, read_at):
    made: Sweep = sweep(*overrides)
    assert (made.confirm_epochs, made.baseline_epochs) == (longest, read_at)


@pytest.mark.parametrize("overrides", [["confirm.epochs=3"], ["search.space.epochs=3"]])
def test_more_epochs_for_the_baseline_than_for_the_confirmation_are_refused_only_where_given(
    sweep, overrides
):
    sweep(*overrides)
    with pytest.raises(SweepError, match=r"received 4; legal: at most the confirmation's 3 epochs"):
        sweep(*overrides, "confirm.baseline.epochs=4")


def test_epochs_are_no_arms_since_curves_hold_their_shorter_ones(sweep):
    with pytest.raises(SweepError) as caught:
        sweep("compare=epochs", "search.space.epochs=[2, 8]", "reference=2")
    (line,) = caught.value.lines
    assert "compare: received 'epochs'; legal: another parameter" in line


def test_a_baseline_names_its_normalization_where_another_parameter_is_compared(sweep):
    made = sweep("compare=optimizer", "reference=adam", "confirm.baseline.normalization=unit")
    assert made.confirm.baseline.normalization == "unit"
    assert made.plain()["confirm.baseline.normalization"] == "unit"
    assert sweep().confirm.baseline.normalization is None


def test_a_baseline_has_to_take_what_is_compared(sweep):
    compared = (
        "compare=momentum", 'search.space.optimizer="sgd"', "search.space.momentum=[0.0, 0.9]",
        "reference=0.0",
    )  # fmt: skip
    with pytest.raises(SweepError) as caught:
        sweep(*compared)
    (line,) = caught.value.lines
    assert 'confirm.baseline.optimizer: received "adam", which does not take momentum' in line
    assert sweep(*compared, "confirm.baseline.optimizer=sgd").arms == (0.0, 0.9)


def test_the_same_runs_seen_again_are_no_further_look():
    params = {"normalization": "none", "learning_rate": 0.1, "epochs": 8}
    look = Analysis(3, (Configuration("none", TUNED_LONG, params, 2, 8, 5, (5, 7, None)),))
    (only,) = look.configurations
    for same in ({"trial": 9}, {"among": 9}, {"selected_at": 4}):
        assert replace(look, configurations=(replace(only, **same),)).seen == look.seen
    assert replace(look, seeds=4).seen != look.seen
    other = replace(only, runs=(5, 7, 11))
    assert replace(look, configurations=(other,)).seen != look.seen


def test_a_look_survives_json():
    params = {"normalization": "none", "learning_rate": 1 / 3e4, "nesterov": True, "epochs": 8}
    look = Analysis(
        3,
        (
            Configuration("none", BASELINE, params, runs=(4, None, 9)),
            Configuration("none", TUNED_LONG, params, 2, 8, 5, (5, 7, 10)),
        ),
    )
    assert Analysis.from_plain(json.loads(json.dumps(look.plain()))) == look
