"""A sweep as its study's record holds it: the same keys for ever, and the same sweep from them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normsweep.errors import SweepError
from normsweep.sweep.loading import load_sweep, shipped_sweeps
from normsweep.sweep.recorded import (
    ADDED,
    as_begun,
    as_file,
    changes,
    from_plain,
    grown,
    to_plain,
)
from normsweep.sweep.schema import Sweep

WRITTEN = {
    "name": "old",
    "question": "Of all forms?",
    "compare": "learning_rate",
    "reference": 0.001,
    "metric": "accuracy",
    "seed": 3,
    "rules": 1,
    "plugins": [],
    "data.dataset": ["mnist", "digits"],
    "data.validation_split": 0.25,
    "data.train_size": 1000,
    "data.task": None,
    "data.class_weights": {},
    "data.target_column": None,
    "data.test_split": 0.2,
    "data.kind": None,
    "data.full_scale": None,
    "model.name": "mlp",
    "model.precision": "float32",
    "model.batch_size": 64,
    "model.steps_per_epoch": None,
    "model.options.units": 32,
    "model.options.ceiling.0.001": 1.0,
    "model.options.ceiling.a.b.c": 2.5,
    "search.trials": 10,
    "search.sampler": "random",
    "search.pruner": "none",
    "search.longest_every": None,
    "search.timeout": 3600.0,
    "search.repeats": 1,
    "search.space.normalization": ["unit"],
    "search.space.learning_rate": [0.001, 0.1],
    "search.space.optimizer": ["sgd", "adam"],
    "search.space.epochs.low": 2,
    "search.space.epochs.high": 20,
    "search.space.epochs.integer": True,
    "search.space.epochs.log": False,
    "search.space.epochs.step": 3,
    "search.space.epochs.when": {},
    "search.space.momentum.low": 0,
    "search.space.momentum.high": 0.9,
    "search.space.momentum.integer": False,
    "search.space.momentum.log": False,
    "search.space.momentum.when.optimizer": ["sgd"],
    "search.space.nesterov.values": [True, False],
    "search.space.nesterov.when.optimizer": ["sgd"],
    "select.top": 3,
    "select.seeds": None,
    "confirm.seeds": 4,
    "confirm.epochs": 30,
    "confirm.margin": 0.01,
    "confirm.confidence": 0.9,
    "confirm.primary": "both_tuned",
    "confirm.baseline.optimizer": "adam",
    "confirm.baseline.learning_rate": 0.001,
    "confirm.baseline.epochs": 4,
    "confirm.baseline.normalization": None,
    "execution.threads": None,
    "execution.trial_timeout": 60.0,
    "execution.trial_memory": None,
    "execution.num_cpus": None,
    "execution.num_gpus": None,
    "execution.checkpoints": 2.0,
    "execution.checkpoint_every": 30.0,
    "execution.retries": 1,
    "execution.stack": 1,
    "execution.system_metrics": False,
}
"""As a database holds it."""
OPTIONAL = (
    "data.train_size", "search.longest_every", "search.timeout", "confirm.epochs",
    "execution.trial_timeout",
)  # fmt: skip
SPACE = ("search.space.learning_rate", "search.space.momentum.low")


def read_back(sweep: Sweep, parts) -> Sweep:
    text = json.dumps(to_plain(sweep), allow_nan=False)
    again = from_plain(json.loads(text))
    assert again == sweep
    assert json.dumps(to_plain(again)) == text
    assert load_sweep(as_file(again), parts) == sweep
    return again


@pytest.mark.parametrize("path", shipped_sweeps().values(), ids=shipped_sweeps())
def test_a_shipped_sweep_comes_back_from_its_record(path, parts):
    read_back(load_sweep(path, parts), parts)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["plugins='mine'"],
        ["compare=optimizer", "reference=sgd", "confirm.baseline.normalization=none"],
        ["compare=learning_rate", "search.space.learning_rate=[1, 0.5]", "reference=1"],
        ["search.space.momentum={ choices = [0.0, 0.9], when = { optimizer = 'sgd' } }"],
        ["search.space.nesterov={ value = true, when = { optimizer = ['sgd'] } }"],
        ["search.space.epochs={ low = 4, high = 16, step = 4 }", "search.sampler=qmc"],
        ["confirm.epochs=2", "confirm.baseline.epochs=2"],
        ["confirm.seeds=7"],
        ["confirm.seeds={ first = 6, most = 9 }"],
        ["search.space.epochs=2"],
        ["search.space.epochs.sample=true", "rules=1"],
        ["search.space.epochs={ choices = [2, 8], sample = true }", "search.sampler=random"],
        ["execution.trial_timeout=90m", "execution.retries=0", "execution.num_gpus=0.5"],
        ["execution.stack=16"],
        ["execution.stack=auto"],
        ["data.class_weights={ 1 = 3.0, 'a.b' = 2.0, '.' = 1.5 }"],
    ],
    ids=lambda overrides: " ".join(overrides).partition("=")[0] or "plain",
)
def test_every_form_of_a_key_comes_back_from_its_record(sweep_file, parts, overrides):
    read_back(load_sweep(sweep_file, parts, overrides), parts)


@given(
    options=st.dictionaries(
        st.sampled_from(["units", "layers"]),
        st.one_of(
            st.booleans(),
            st.integers(-5, 5),
            st.floats(allow_nan=False, allow_infinity=False),
            st.text("a.0é ", max_size=5),
            st.dictionaries(st.text("a.0é ", max_size=5), st.floats(0, 1), max_size=3),
        ),
    ),
    question=st.text(st.characters(exclude_categories=("C", "Z")), max_size=20),
    rates=st.lists(st.floats(1e-6, 10), min_size=2, max_size=4, unique=True),
)
def test_whatever_options_hold_comes_back(parts, options, question, rates):
    raw = {
        "name": "any", "question": question, "compare": "learning_rate", "reference": rates[0],
        "data": {"dataset": "digits"}, "model": {"name": "mlp", "options": options},
        "search": {"trials": 3, "space": {
            "normalization": "unit", "optimizer": "adam", "epochs": 4, "learning_rate": rates,
        }},
    }  # fmt: skip
    assert read_back(load_sweep(raw, parts), parts).model.options == options


def test_a_record_stays_what_it_was_when_it_was_written():
    sweep = from_plain(WRITTEN)
    assert json.dumps(to_plain(sweep)) == json.dumps(WRITTEN)
    assert [arm.params for arm in sweep.arms] == [{"learning_rate": 0.001}, {"learning_rate": 0.1}]
    assert sweep.model.options == {"units": 32, "ceiling": {"0.001": 1.0, "a.b.c": 2.5}}
    assert sweep.data.candidates == ("mnist", "digits")
    assert sweep.confirm_epochs == 30
    assert [d.name for d in sweep.search.space.active({"optimizer": "adam"})] == [
        "normalization",
        "learning_rate",
        "optimizer",
        "epochs",
    ]


def test_keys_that_older_records_lack_mean_what_they_meant():
    older = {k: v for k, v in WRITTEN.items() if k not in ADDED and k not in OPTIONAL}
    sweep = from_plain(older)
    assert to_plain(sweep) == WRITTEN | dict.fromkeys(OPTIONAL)
    assert changes(older | {k: WRITTEN[k] for k in OPTIONAL}, from_plain(WRITTEN)) == []


NEEDED = [
    key
    for key, value in WRITTEN.items()
    if key not in ADDED and key not in OPTIONAL and value != {} and "options" not in key
]


@pytest.mark.parametrize("key", [key for key in NEEDED if "space" not in key or key in SPACE])
def test_a_record_that_lacks_a_key_is_damaged(key):
    with pytest.raises((KeyError, TypeError)):
        from_plain({k: v for k, v in WRITTEN.items() if k != key})


def test_what_has_its_default_counts_as_not_given(sweep_file, parts):
    """A short space goes with a baseline of more epochs, as long as no file asks for these."""
    sweep = load_sweep(sweep_file, parts, ["search.space.epochs=2"])
    given = as_file(from_plain(to_plain(sweep)))
    assert "confirm" not in given
    assert given.keys() == {"name", "question", "reference", "data", "search"}


@pytest.fixture
def base(sweep_file, parts):
    return lambda *overrides: load_sweep(sweep_file, parts, overrides)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("seed=9", "  seed: 0 -> 9"),
        ("search.space.learning_rate.high=1.0", "  search.space.learning_rate.high: 0.1 -> 1.0"),
        ("search.sampler=random", '  search.sampler: "auto" -> "random"'),
        ("data.train_size=500", "  data.train_size: (not set) -> 500"),
        ("search.space.batch_size=[32]", '  search.space.batch_size: (not set) -> [32]'),
        ("search.space.epochs.high=8", "  search.space.epochs.high: 12 -> 8"),
        ("search.space.epochs.low=2", "  search.space.epochs.low: 1 -> 2"),
        ("confirm.epochs=3", "  confirm.epochs: (not set) -> 3"),
        ("execution.threads=2", "  execution.threads: (not set) -> 2"),
        ("model.steps_per_epoch=5", "  model.steps_per_epoch: (not set) -> 5"),
        ("model.precision=auto", '  model.precision: "float32" -> "auto"'),
    ],
)  # fmt: skip
def test_a_key_that_decides_what_is_found_may_not_change(base, override, line):
    assert changes(base(), base(override)) == [line]
    assert changes(to_plain(base()), base(override)) == [line]


@pytest.mark.parametrize(
    "override",
    [
        "search.trials=30", "search.trials=2", "confirm.seeds=20", "search.timeout=5",
        'question="?"', "execution.retries=3", "execution.trial_timeout=1m",
        "search.space.epochs.high=20", "confirm.epochs=20",
    ],
)  # fmt: skip
def test_more_of_the_same_and_other_limits_are_no_change(base, override):
    assert changes(base(), base(override)) == []


def test_more_epochs_are_a_change_where_the_record_lists_them(base):
    more = base("search.space.epochs.high=20")
    assert changes(base(), more, more_epochs=False) == ["  search.space.epochs.high: 12 -> 20"]
    listed, longer = (base(f"search.space.epochs={e}") for e in ("[1, 2]", "[1, 2, 8]"))
    assert changes(listed, longer) == []
    assert changes(longer, listed) == ["  search.space.epochs: [1, 2, 8] -> [1, 2]"]


def test_a_study_is_continued_under_its_own_rules(base):
    before = base("rules=1", "search.sampler=tpe", "search.longest_every=3")
    now = as_begun(before, base("search.trials=30", "search.space.epochs.sample=true"))
    assert (now.rules, now.search.trials, changes(before, now)) == (1, 30, [])
    declared = as_begun(before, base("search.sampler=random", "search.longest_every=2"))
    assert changes(before, declared) == [
        "  search.longest_every: 3 -> 2",
        '  search.sampler: "tpe" -> "random"',
    ]
    assert changes(before, as_begun(before, base("rules=2")))[0] == "  rules: 1 -> 2"
    now = base("seed=1")
    assert as_begun(base(), now) is now
    second = as_begun(base("rules=2"), now)
    assert (second.rules, second.confirm.seeds.most) == (2, 10)
    assert changes(base("rules=2", "seed=1"), second) == []


def test_whether_epochs_are_sampled_may_not_change(base):
    sampled = base("search.space.epochs.sample=true")
    assert changes(base(), sampled) == ["  search.space.epochs.sample: (not set) -> true"]
    listed, longer = (
        base(f"search.space.epochs={{ choices = {e}, sample = true }}")
        for e in ("[1, 2]", "[1, 2, 8]")
    )
    assert changes(listed, longer) == []
    assert changes(longer, listed) == ["  search.space.epochs.values: [1, 2, 8] -> [1, 2]"]


def test_seeds_are_stored_as_a_number_or_as_its_ends(base):
    fixed, adaptive = to_plain(base("confirm.seeds=7")), to_plain(base("confirm.seeds.most=9"))
    assert {key: value for key, value in fixed.items() if ".seeds" in key} == {
        "select.seeds": None, "confirm.seeds": 7,
    }  # fmt: skip
    assert {key: value for key, value in adaptive.items() if ".seeds" in key} == {
        "select.seeds": None, "confirm.seeds.first": 5, "confirm.seeds.most": 9,
    }  # fmt: skip


def test_seeds_may_change_until_there_is_an_analysis(base):
    before, more = base("confirm.seeds=7"), base("confirm.seeds.most=30")
    assert changes(before, more) == []
    assert changes(before, more, analysed=True) == [
        "  confirm.seeds: 7 -> (not set)",
        "  confirm.seeds.first: (not set) -> 5",
        "  confirm.seeds.most: (not set) -> 30",
    ]
    assert changes(base(), base(), analysed=True) == []


def test_under_earlier_rules_a_number_of_seeds_may_grow_and_stays_a_number(base):
    before = base("rules=2", "confirm.seeds=7")
    assert changes(before, base("rules=2", "confirm.seeds=9"), analysed=True) == []
    adaptive = as_begun(before, base("confirm.seeds.most=30"))
    assert changes(before, adaptive)[0] == "  confirm.seeds: 7 -> (not set)"


def test_a_study_goes_on_with_its_seeds_if_no_more_are_declared(base):
    def seeds(before: str, *now: str) -> tuple[int, int]:
        found = as_begun(base(before), base(*now)).confirm.seeds
        return found.first, found.most

    assert seeds("confirm.seeds=7") == (7, 7)
    assert seeds("confirm.seeds=7", "confirm.seeds=5") == (7, 7)
    assert seeds("confirm.seeds=7", "confirm.seeds=9") == (9, 9)
    assert seeds("confirm.seeds.most=30", "confirm.seeds.most=12") == (5, 30)


FIXED = ("search.space.optimizer=sgd", "search.space.learning_rate=0.01")


def test_a_baseline_that_is_not_declared_is_what_the_space_fixes(base, sweep_file, parts):
    undeclared = "confirm.baseline={ epochs = 4 }"
    made = base(*FIXED, undeclared)
    assert made.baseline(made.arms[0], 4)["optimizer"] == "sgd"
    keys = to_plain(made)
    assert (keys["confirm.baseline.optimizer"], keys["confirm.baseline.learning_rate"]) == ("sgd", 0.01)  # fmt: skip
    assert from_plain(keys) == made
    assert as_begun(from_plain(keys), made) == made
    declared = base(*FIXED, "confirm.baseline={ optimizer = 'adam', learning_rate = 0.5 }")
    assert declared.confirm.baseline.optimizer == "adam"
    assert declared.baseline(declared.arms[0], 4)["learning_rate"] == 0.5


def test_a_study_with_another_baseline_goes_on_with_that(base):
    """As studies began in which an undeclared baseline was Adam's, whatever the space fixed."""
    now = base(*FIXED, "confirm.baseline={ epochs = 4 }")
    keys = to_plain(now) | {
        "confirm.baseline.optimizer": "adam",
        "confirm.baseline.learning_rate": 0.001,
    }
    begun = from_plain(keys)
    assert changes(keys, now) == [
        "  confirm.baseline.learning_rate: 0.001 -> 0.01",
        '  confirm.baseline.optimizer: "adam" -> "sgd"',
    ]
    resumed = as_begun(begun, now)
    assert changes(keys, resumed) == []
    assert to_plain(resumed) == keys
    for arm in resumed.arms:
        assert resumed.baseline(arm, 4) == begun.baseline(arm, 4)
        assert resumed.baseline(arm, 4)["optimizer"] == "adam"
    assert as_file(begun)["confirm"]["baseline"] | {"epochs": 4} == {
        "optimizer": "adam", "learning_rate": 0.001, "epochs": 4
    }  # fmt: skip
    other = base(*FIXED, "confirm.baseline={ epochs = 4, optimizer = 'sgd' }")
    assert changes(keys, as_begun(begun, other)) == [
        '  confirm.baseline.optimizer: "adam" -> "sgd"'
    ]


def test_the_larger_number_of_seeds_is_stored(base):
    few, many = base("confirm.seeds=7"), base("confirm.seeds.most=30")
    assert grown(to_plain(many), few) == to_plain(many)
    assert grown(to_plain(few), many) == to_plain(many)
    assert grown({}, few) == to_plain(few)


def test_all_changes_are_told_at_once_by_key(base):
    lines = changes(base(), base("seed=9", "confirm.margin=0.05", "confirm.seeds=20"))
    assert lines == ["  confirm.margin: 0.002 -> 0.05", "  seed: 0 -> 9"]


def test_a_key_of_a_later_version_is_a_change(base):
    later = {**to_plain(base()), "search.prior": 3}
    assert from_plain(later) == base()
    assert changes(later, base()) == ["  search.prior: 3 -> (not set)"]


def test_what_older_studies_call_halving_is_asha(sweep_file, parts):
    made = load_sweep(sweep_file, parts, ["search.pruner=halving"])
    keys = to_plain(made)
    assert from_plain(keys).rungs == made.rungs != ()
    older = {key: value for key, value in keys.items() if key != "search.repeats"}
    begun = from_plain(older)
    assert (begun.search.pruner, begun.rungs) == ("asha", ())
    resumed = as_begun(begun, made)
    assert resumed.search.pruner == "asha"
    assert changes(older, resumed) == []
    assert changes(older, made) == ['  search.pruner: "asha" -> "halving"']


def test_under_earlier_rules_there_are_ten_seeds_by_default(sweep_file, parts):
    made = load_sweep(sweep_file, parts, ["rules=2"])
    assert to_plain(made)["confirm.seeds"] == 10
    assert "seeds" not in made.confirm.model_fields_set
    fewer = load_sweep(sweep_file, parts, ["rules=2", "confirm.seeds=7"])
    assert as_begun(fewer, made).confirm.seeds.most == 7
    assert load_sweep(sweep_file, parts).confirm.seeds.most == 20


def test_repeats_may_be_added_under_todays_rules(sweep_file, parts):
    once, thrice = (load_sweep(sweep_file, parts, more) for more in ([], ["search.repeats=3"]))
    assert changes(once, thrice, analysed=True) == []
    assert grown(to_plain(thrice), once)["search.repeats"] == 3
    for more, why in (
        (["confirm.primary=equal_epochs"], "compares nothing tuned"),
        (["rules=2"], "rules = 2"),
    ):
        with pytest.raises(SweepError, match=f"search.repeats: must be 1 with .*{why}"):
            load_sweep(sweep_file, parts, ["search.repeats=3", *more])
    begun = load_sweep(sweep_file, parts, ["rules=2"])
    assert changes(begun, as_begun(begun, thrice)) == ["  search.repeats: 1 -> 3"]
