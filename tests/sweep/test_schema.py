import pytest
from pydantic_core import PydanticCustomError

from normsweep.sweep.loading import load_sweep
from normsweep.sweep.schema import seconds


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
    assert sweep.plain()["search.timeout"] == 5400.0
    assert (sweep.execution.trial_timeout, sweep.execution.checkpoint_every) == (45.0, 120.0)
