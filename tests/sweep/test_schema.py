import pytest
from pydantic_core import PydanticCustomError

from normsweep.errors import SweepError
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.recorded import to_plain
from normsweep.sweep.schema import Sweep, seconds


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("45s", 45), ("90m", 5400), ("1h30m", 5400), ("1h 30m", 5400), ("1.5h", 5400),
        ("2d", 172_800), ("1d1h1m1.5s", 90_061.5), ("0s", 0), (90, 90), (0.5, 0.5), (True, True),
    ],
)  # fmt: skip
def test_a_text_is_read_as_people_mean_it_and_what_is_none_is_left(given, expected):
    assert seconds(given) == expected


@pytest.mark.parametrize(
    "text", ["", "m", "90", "90 min", "-1s", "30m1h", "1h1h", "1e3s", "∞s", "९m"]
)
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(PydanticCustomError, match="45s, 90m, 1h30m"):
        seconds(text)


def test_a_sweep_file_takes_them_and_records_seconds(sweep_file, parts):
    text = sweep_file.read_text().replace("trials = 12", 'trials = 12\ntimeout = "90m"')
    sweep_file.write_text(text + '[execution]\ntrial_timeout = "45s"\ncheckpoint_every = "2m"\n')
    sweep = load_sweep(sweep_file, parts)
    assert to_plain(sweep)["search.timeout"] == 5400.0
    assert (sweep.execution.trial_timeout, sweep.execution.checkpoint_every) == (45.0, 120.0)


@pytest.fixture
def sweep(sweep_file, parts):
    return lambda *overrides: load_sweep(sweep_file, parts, overrides)


def test_the_confirmations_seeds_are_fresh_and_differ(sweep):
    for seed in (0, 7):
        seeds = sweep(f"seed={seed}").confirm_seeds
        assert len(set(seeds)) == 20
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
    with pytest.raises(
        SweepError, match="must be at most 3, the epochs of the confirmation, got 4"
    ):
        sweep(*overrides, "confirm.baseline.epochs=4")


def test_epochs_are_no_arms_since_curves_hold_their_shorter_ones(sweep):
    with pytest.raises(SweepError) as caught:
        sweep("compare=epochs", "search.space.epochs=[2, 8]", "reference=2")
    (line,) = caught.value.lines
    assert "compare: must be another parameter than epochs" in line


def test_a_baseline_names_its_normalization_where_another_parameter_is_compared(sweep):
    made = sweep("compare=optimizer", "reference=adam", "confirm.baseline.normalization=unit")
    assert made.confirm.baseline.normalization == "unit"
    assert to_plain(made)["confirm.baseline.normalization"] == "unit"
    assert sweep().confirm.baseline.normalization is None


def test_a_baseline_has_to_take_what_is_compared(sweep):
    compared = (
        "compare=momentum", 'search.space.optimizer="sgd"', "search.space.momentum=[0.0, 0.9]",
        "reference=0.0",
    )  # fmt: skip
    with pytest.raises(SweepError) as caught:
        sweep(*compared, "confirm.baseline.optimizer=adam")
    (line,) = caught.value.lines
    assert (
        "confirm.baseline.optimizer: must be an optimizer with the compared option momentum" in line
    )
    assert 'got "adam"' in line
    arms = sweep(*compared).arms
    assert [arm.params for arm in arms] == [{"momentum": 0.0}, {"momentum": 0.9}]
