"""The parameters of every trainable network: what they may be, and who is told of them."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import pytest

from normsweep.console.overview import trial_lines
from normsweep.errors import SweepError
from normsweep.parts.catalog import resolve_trial, schedules_of_length
from normsweep.reporting.rows import trial_rows
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.parameters import PARAMETERS, own_parameters, shown_factor
from normsweep.sweep.recorded import as_file, from_plain, to_plain
from normsweep.sweep.schema import Sweep
from normsweep.sweep.trial import RARE, DataKey, Trial
from normsweep.tracking.runs import params
from tests.conftest import make_record, make_trial

ARMS = """
name = "mine"
reference = "÷255"
data.dataset = "digits"
search.trials = 9

[arms]
"÷255" = { normalization = "unit" }
"raw" = { normalization = "none" }
"small start" = { normalization = "none", input_weights = 0.00390625 }
"small steps" = { normalization = "none", input_rate = "matched" }
"slow" = { normalization = "none", input_rate = 0.5 }
"dose" = { normalization = "unit", input_scale = 10 }
"warm-up" = { normalization = "none", schedule = "warmup", warmup_epochs = 1 }
"clipped" = { normalization = "none", clip = 1 }
"zero output" = { normalization = "none", output_weights = 0 }
"shifted" = { normalization = "unit", input_shift = -0.5 }
"stops" = { normalization = "unit", stop = { patience = 2 } }

[search.space]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
optimizer = ["sgd", "adam"]
epochs = { low = 1, high = 6 }
"""
DATA = DataKey("digits", "d" * 64, 0.2)


def read(parts, *overrides: str) -> Sweep:
    return load_sweep(tomllib.loads(ARMS), parts, overrides)


def trial_of(sweep: Sweep, label: str) -> Trial:
    arm = next(arm for arm in sweep.arms if arm.label == label)
    return resolve_trial(sweep, DATA, arm.key, sweep.baseline(arm, 6), number=0, slot=0)


def test_an_arm_fixes_them_and_its_trials_have_them(parts):
    sweep = read(parts)
    assert {arm.label: trial_of(sweep, arm.label).changed for arm in sweep.arms} == {
        "÷255": {},
        "raw": {},
        "small start": {"input_weights": 1 / 256},
        "small steps": {"input_rate": "matched", "reference_normalization": "unit"},
        "slow": {"input_rate": 0.5},
        "dose": {"input_scale": 10.0},
        "warm-up": {"schedule": "warmup", "warmup_epochs": 1},
        "clipped": {"clip": 1.0},
        "zero output": {"output_weights": 0.0},
        "shifted": {"input_shift": -0.5},
        "stops": {"patience": 2},
    }


def test_what_an_arm_does_is_said_in_words(parts):
    said = [arm.described for arm in read(parts).arms][2:]
    assert said == [
        "small start (none, first layer's initial weights × 1/256)",
        "small steps (none, first layer's step matched)",
        "slow (none, first layer's step × 0.5)",
        "dose (unit, input × 10)",
        "warm-up (none, schedule warmup, warmup epochs 1)",
        "clipped (none, gradient's norm at most 1)",
        "zero output (none, last layer's initial weights × 0)",
        "shifted (unit, input plus -0.5)",
        "stops (unit, stops early, patience 2)",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1 / 255, "1/255"), (0.00392156862745098, "1/255"), (1 / 25.5, "1/25.5"), (0.5, "0.5"),
     (0.3, "0.3"), (0, "0"), (1, "1"), (255.0, "255"), (1e-7, "1/1e+07")],
)  # fmt: skip
def test_a_factor_is_written_as_people_write_it(value, text):
    assert shown_factor(value) == text


def test_they_come_back_from_storage(parts):
    sweep = read(parts)
    assert from_plain(json.loads(json.dumps(to_plain(sweep)))) == sweep
    assert load_sweep(as_file(sweep), parts) == sweep
    for arm in sweep.arms:
        trial = trial_of(sweep, arm.label)
        assert Trial.from_json(trial.to_json()) == trial


def test_the_matched_step_is_that_of_the_reference_arm(parts):
    scaled = read(parts, 'arms."÷255".input_scale=0.5')
    trial = trial_of(scaled, "small steps")
    assert (trial.reference_normalization, trial.reference_scale) == ("unit", 0.5)
    assert trial.lineage != trial_of(read(parts), "small steps").lineage


def test_a_trial_with_defaults_is_the_one_of_earlier_versions():
    earlier = "c871e9ce67093bd52d0d2e1e9e4c34beea351dafd482c65e63e3c87be25e9295"
    assert make_trial().fingerprint == earlier
    assert not RARE.keys() & json.loads(make_trial().to_json()).keys()
    given = own_parameters({"input_weights": 1, "input_rate": 1.0, "input_shift": 0})
    assert make_trial(**given).fingerprint == earlier


@pytest.mark.parametrize("name", RARE)
def test_each_of_them_decides_the_curve(name):
    other = {"schedule_options": {"warmup_steps": 5}}.get(
        name, "matched" if name == "input_rate" else 0.25
    )
    assert replace(make_trial(), **{name: other}).lineage != make_trial().lineage


def test_tables_mlflow_and_console_have_them_only_where_they_differ():
    plain = make_record()
    names = {"clip": 0.5, "schedule": "warmup", "warmup_steps": 7}
    record = make_record(
        clip=0.5, schedule="warmup", schedule_options={"warmup_steps": 7}, params=names
    )
    for name, value in names.items():
        assert str(value) in {p.value for p in params(record.trial) if p.key == name}
        assert name in dict(trial_lines(record))
        assert name not in {p.key for p in params(plain.trial)}
        assert name not in dict(trial_lines(plain))
    assert set(names) <= set(trial_rows([record]).columns)
    assert not set(names) & set(trial_rows([plain]).columns)


def test_an_option_of_a_component_may_have_the_name_of_a_parameter():
    assert own_parameters({"clip": 1, "input_scale": 2}, taken=["clip"]) == {"input_scale": 2.0}


CASES = {
    "clip": (["arms.raw.clip=0"], "arms.raw.clip: must be a number above 0, got 0"),
    "rate": (["arms.raw.input_rate=-1"], 'arms.raw.input_rate: must be a number of at least 0 or "matched", got -1'),
    "word": (["arms.raw.input_rate=matchd"], 'must be a number of at least 0 or "matched", got "matchd"'),
    "scale": (["arms.raw.input_scale=0"], "arms.raw.input_scale: must be a number above 0, got 0"),
    "range": (["search.space.input_weights={ low = -1.0, high = 2.0 }"],
              "search.space.input_weights: must be a number of at least 0, got -1.0"),
    "schedule": (["arms.raw.schedule=warmupp"], 'arms.raw.schedule: unknown schedule "warmupp" (did you mean "warmup"?)'),
    "no-schedule": (["arms.raw.warmup_epochs=2"],
                    "arms.raw.warmup_epochs: must be an option of the arm's schedules; not an option of constant"),
    "option": (['search.space.schedule=["constant", "warmup"]', "search.space.warmup_steps=5"],
               'search.space.warmup_steps: must have when = { schedule = ["warmup", "cosine", "exponential", "step"] }; not an option of constant'),
    "several-scales": (["search.space.input_scale=[1.0, 2.0]"],
                       '"matched" needs one input_scale of the arm "small steps", got [1.0, 2.0]; fix it in arms."small steps"'),
    "no-patience": (["arms.raw.stop=5"], "arms.raw.stop: expected a table such as { patience = 5 }, got 5"),
    "stop-key": (["arms.raw.stop={ patience = 5, delta = 1 }"], "arms.raw.stop.delta: unknown key"),
    "half": (["arms.raw.patience=2.5"], "arms.raw.patience: must be an integer of at least 1, got 2.5"),
    "typo": (["search.space.input_weigths=1.0"], 'unknown parameter "input_weigths" (did you mean "input_weights"?)'),
}  # fmt: skip


@pytest.mark.parametrize(("overrides", "text"), CASES.values(), ids=CASES)
def test_a_mistake_names_key_and_remedy(parts, overrides, text):
    with pytest.raises(SweepError) as caught:
        read(parts, *overrides)
    assert any(text in line for line in caught.value.lines), caught.value.lines


def test_a_matched_step_needs_an_optimizer_with_a_known_one(parts):
    known = replace(parts, matched=("sgd",))
    with pytest.raises(SweepError) as caught:
        read(known)
    (line,) = caught.value.lines
    assert line.endswith(
        'arms."small steps".input_rate: "matched" is known for the optimizers sgd; not for adam'
    )


COSINE = ("arms.raw.schedule=cosine",)
FIXED = (*COSINE, "arms.raw.decay_epochs=3")


@pytest.mark.parametrize(
    ("overrides", "sampled", "of_length"),
    [((), False, False), (COSINE, True, True), (FIXED, False, False),
     ((*COSINE, "search.space.epochs=6"), False, True)],
    ids=["constant", "cosine", "of-a-length-of-its-own", "one-length"],
)  # fmt: skip
def test_lengths_are_sampled_if_a_schedule_depends_on_them(parts, overrides, sampled, of_length):
    sweep = read(parts, *overrides)
    assert sweep.samples_epochs == sampled
    assert bool(schedules_of_length(sweep)) == of_length
    assert load_sweep(as_file(sweep), parts) == sweep
    trial = trial_of(sweep, "raw")
    assert trial.of_length == of_length
    same = replace(trial, epochs=3).lineage == trial.lineage
    assert same == (not of_length), "the number of epochs belongs to the lineage"


def test_at_most_twelve_arms(parts):
    more = [f'arms.more{i}={{ normalization = "none", clip = {i + 2} }}' for i in range(2)]
    assert len(read(parts, *more[:1]).arms) == 12
    with pytest.raises(SweepError, match="arms: must have at most 12 arms, got 13"):
        read(parts, *more)


def test_every_parameter_has_a_word_for_what_it_does():
    assert all(parameter.described(2.0) for parameter in PARAMETERS.values())
