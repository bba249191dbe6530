from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from normsweep.errors import SweepError
from normsweep.search.plan import without
from normsweep.sweep.arms import bundles, dotted, equal_arms, relabelled
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.recorded import as_file, changes, from_plain, to_plain
from normsweep.sweep.schema import Sweep
from tests.conftest import make_trial

SHORT = """
name = "mine"
reference = "unit"
data.dataset = "digits"
search.trials = 8

[search.space]
normalization = ["none", "unit"]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
optimizer = ["sgd", "adam"]
epochs = { low = 1, high = 6 }
"""
LONG = """
name = "mine"
reference = "÷255"
data.dataset = "digits"
search.trials = 8

[arms]
"raw pixels" = { normalization = "none" }
"÷255" = { normalization = "unit" }

[search.space]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
optimizer = ["sgd", "adam"]
epochs = { low = 1, high = 6 }
"""
BUNDLES = """
name = "mine"
reference = "÷255"
data.dataset = "digits"
search.trials = 9

[arms]
"raw, small steps" = { normalization = "none", optimizer = "adam", learning_rate = 1e-4 }
"raw, SGD" = { optimizer = "sgd", momentum = 0.9, normalization = "none" }
"÷255" = { normalization = "unit", optimizer = "adam", batch_size = 32 }

[search.space]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
epochs = { low = 1, high = 6 }
"""
KEYS = [
    "none learning_rate=0.0001 optimizer=adam",
    "none momentum=0.9 optimizer=sgd",
    "unit batch_size=32 optimizer=adam",
]


def read(text: str, parts, *overrides: str) -> Sweep:
    return load_sweep(tomllib.loads(text), parts, overrides)


def lines(text: str, parts, *overrides: str) -> list[str]:
    with pytest.raises(SweepError) as caught:
        read(text, parts, *overrides)
    return caught.value.lines


def test_labels_of_one_parameter_are_the_short_form_with_other_names(parts):
    short, long = read(SHORT, parts), read(LONG, parts)
    assert [arm.key for arm in long.arms] == [arm.key for arm in short.arms] == ["none", "unit"]
    assert [arm.label for arm in long.arms] == ["raw pixels", "÷255"]
    assert [arm.label for arm in short.arms] == ["none", "unit"]
    assert (long.compare, long.reference) == (short.compare, short.reference)
    kept = {key: value for key, value in to_plain(long).items() if key != "labels"}
    assert kept == to_plain(short)
    assert to_plain(long)["labels"] == ["raw pixels", "÷255"]


def test_a_study_goes_on_with_other_labels(parts):
    short, long = read(SHORT, parts), read(LONG, parts)
    other = read(LONG.replace('"raw pixels"', '"as they are"').replace("÷255", "scaled"), parts)
    pairs = [
        (short, long),
        (long, short),
        (long, other),
        (json.loads(json.dumps(to_plain(short))), other),
    ]
    assert [changes(*pair) for pair in pairs] == [[]] * 4
    swapped = read(LONG.replace('"none"', '"zca"'), parts)
    assert changes(long, swapped) == [
        '  search.space.normalization: ["none", "unit"] -> ["zca", "unit"]'
    ]


def test_a_study_does_not_go_on_with_other_arms(parts):
    bundled = read(BUNDLES, parts)
    assert not changes(bundled, read(BUNDLES.replace('"raw, SGD"', '"raw, plain SGD"'), parts))
    (line,) = changes(bundled, read(BUNDLES.replace("momentum = 0.9", "momentum = 0.5"), parts))
    assert line.startswith('  arms: [{ normalization = "none"')


@pytest.mark.parametrize("text", [SHORT, LONG, BUNDLES], ids=["short", "long", "bundles"])
def test_arms_come_back_from_storage_and_from_python(parts, text):
    sweep = read(text, parts)
    stored = json.loads(json.dumps(to_plain(sweep)))
    assert from_plain(stored) == sweep
    assert load_sweep(as_file(from_plain(stored)), parts) == sweep
    assert load_sweep(sweep, parts) == sweep


def test_the_key_of_a_bundle_depends_on_nothing_but_its_parameters(parts):
    sweep = read(BUNDLES, parts)
    assert [arm.key for arm in sweep.arms] == KEYS
    assert str(sweep.reference) == KEYS[2]
    reordered = 'normalization = "none", momentum = 0.9, optimizer = "sgd"'
    again = BUNDLES.replace('optimizer = "sgd", momentum = 0.9, normalization = "none"', reordered)
    assert [arm.key for arm in read(again, parts).arms] == KEYS


def test_arms_say_what_they_do(parts):
    assert [arm.described for arm in read(LONG, parts).arms] == ["raw pixels (none)", "÷255 (unit)"]
    assert [arm.described for arm in read(SHORT, parts).arms] == ["none", "unit"]
    assert [arm.described for arm in read(BUNDLES, parts).arms] == [
        "raw, small steps (none, learning rate 0.0001, adam)",
        "raw, SGD (none, momentum 0.9, sgd)",
        "÷255 (unit, batch size 32, adam)",
    ]


def test_an_arm_fixes_its_parameters_and_searches_the_others(parts):
    sweep = read(BUNDLES, parts)
    small, sgd, unit = sweep.arms
    space = sweep.search.space
    assert {d.name: d.count for d in small.space(space)} == {
        "normalization": 1, "optimizer": 1, "learning_rate": 1, "epochs": 6,
    }  # fmt: skip
    assert sgd.space(space)["learning_rate"].count is None
    assert sweep.baseline(small, 6) == {
        "normalization": "none", "optimizer": "adam", "learning_rate": 1e-4, "epochs": 6,
    }  # fmt: skip
    assert sweep.baseline(sgd, 6) == {
        "normalization": "none", "optimizer": "sgd", "learning_rate": 1e-3, "epochs": 6,
        "momentum": 0.9,
    }  # fmt: skip
    assert sweep.baseline(unit, 6)["batch_size"] == 32
    assert sweep.space.choices("batch_size") == (32,)
    assert sweep.space.contains(sweep.baseline(unit, 6) | {"momentum": 0.9})


def test_some_arms_may_fix_what_the_others_search(parts):
    text = LONG.replace(
        '= { normalization = "unit" }', '= { normalization = "unit", optimizer = "rmsprop" }'
    )
    raw, unit = read(text, parts).arms
    space = read(text, parts).search.space
    assert raw.space(space).choices("optimizer") == ("sgd", "adam")
    assert unit.space(space).choices("optimizer") == ("rmsprop",)
    assert read(text, parts).space.choices("optimizer") == ("sgd", "adam", "rmsprop")


def test_options_of_the_model_may_name_arms_by_label(parts):
    model = '[model]\nname = "synthetic"\noptions = { noise = 0.1, ceiling = { "÷255" = 0.9, none = 0.5 } }\n'
    sweep = read(LONG + model, parts)
    assert sweep.model.options == {"noise": 0.1, "ceiling": {"unit": 0.9, "none": 0.5}}


def test_an_arm_may_be_set_on_the_command_line(parts):
    sweep = read(LONG, parts, 'arms."raw pixels".normalization=standardize', "reference=unit")
    assert [arm.key for arm in sweep.arms] == ["standardize", "unit"]
    more = read(LONG, parts, "arms.centred={ normalization = 'center' }")
    assert [arm.label for arm in more.arms] == ["raw pixels", "÷255", "centred"]


def test_an_arm_that_is_equal_on_the_data_is_not_run(parts):
    text = LONG + '[arms.smallest]\nnormalization = "minmax"\n'
    kept = without(read(text, parts), {"minmax": "unit"})
    assert [arm.label for arm in kept.arms] == ["raw pixels", "÷255"]
    assert kept.search.space.choices("normalization") == ("none", "unit")
    with pytest.raises(SweepError, match="÷255 is equivalent to raw pixels"):
        without(read(LONG, parts), {"unit": "none"})


def test_arms_with_other_parameters_are_run_although_the_data_makes_no_difference():
    arms = bundles([
        {"normalization": "unit"}, {"normalization": "minmax"},
        {"normalization": "minmax", "optimizer": "sgd"},
    ])  # fmt: skip
    assert equal_arms(arms, {"minmax": "unit"}) == {"minmax": "unit"}


def test_a_label_is_no_part_of_what_a_trial_is_known_by():
    one, other = make_trial(arm="unit"), make_trial(arm="÷255", normalization="unit")
    assert (one.fingerprint, one.lineage) == (other.fingerprint, other.lineage)


CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "no-table": (("arms=3",), "arms: expected a table of arms such as"),
    "one-arm": (('arms={ raw = { normalization = "none" } }', "reference=raw"),
                'arms: must have at least two arms to compare, got only "raw"'),
    "none": (("arms={}",), "arms: must have at least two arms to compare, got none"),
    "no-parameters": (("arms.raw={}",), "arms.raw: expected a table of parameters such as"),
    "a-value": (("arms.raw=none",), 'arms.raw: expected a table of parameters such as { normalization = "none" }, got "none"'),
    "spaces": (('arms." raw"={ normalization = "zca" }',), "printable characters, without spaces at its ends"),
    "long": ((f'arms.{"a" * 61}={{ normalization = "zca" }}',), "must have at most 60 characters, got 61"),
    "epochs": (("arms.raw={ epochs = 3 }",), "arms.raw.epochs: must not be fixed: a curve contains"),
    "a-list": (('arms.raw={ normalization = ["none"] }',), 'arms.raw.normalization: expected a string, a number or a boolean, got ["none"]'),
    "infinite": (("arms.raw={ learning_rate = inf }",), "arms.raw.learning_rate: expected a finite number"),
    "unknown-parameter": (('arms.raw={ normalization = "zca", optimiser = "sgd" }',),
                          'arms.raw.optimiser: unknown parameter "optimiser" (did you mean "optimizer"?)'),
    "unknown-column-scheme": (('arms.raw={ normalization = { age = "nune", default = "unit" } }',),
                              'arms.raw.normalization: unknown normalization "nune" (did you mean "none"?)'),
    "column-without-scheme": (('arms.raw={ normalization = { age = 3 } }',),
                              'arms.raw.normalization: expected a table such as { age = "standardize", default = "unit" }'),
    "unknown-step": (('arms.raw={ normalization = "log1p then standardise" }',),
                     'arms.raw.normalization: unknown normalization "standardise" (did you mean "standardize"?)'),
    "no-option-of-scheme": (('arms.raw={ normalization = "minmax(3)" }',), "arms.raw.normalization: minmax has no option, got minmax(3.0)"),
    "empty-option": (('arms.raw={ normalization = "divide()" }',), "arms.raw.normalization: divide needs a value in its brackets"),
    "unknown-value": (('arms.raw={ normalization = "nune" }',),
                      'arms.raw.normalization: unknown normalization "nune" (did you mean "none"?)'),
    "wrong-rate": (('arms.raw={ normalization = "zca", learning_rate = 0 }',),
                   "arms.raw.learning_rate: must be numbers above 0, got 0"),
    "no-option": (('arms.raw={ normalization = "zca", momentum = 0.9 }', "confirm.baseline.optimizer=sgd"),
                  "arms.raw.momentum: must be an option of the arm's optimizers; not an option of adam"),
    "of-two-types": (('arms.raw={ normalization = 3 }',),
                     "arms.raw.normalization: expected values of one type in all arms, got 3"),
    "twice": (('arms.raw={ normalization = "none" }',),
              'arms.raw: must differ from "raw pixels", got the same parameters { normalization = "none" }'),
    "key-of-another": (('arms.unit={ normalization = "zca" }',), 'arms.unit: must be another label, as "÷255" is stored by this name, got "unit"'),
    "compare": (("compare=normalization",), 'compare: must not be set with [arms], got "normalization"'),
    "searched": (('search.space.normalization=["none", "unit"]',),
                 "search.space.normalization: must not be searched, because every arm of [arms] fixes it"),
    "reference": (("reference=÷25",), 'reference: must be one of "raw pixels", "÷255"; got "÷25" (did you mean "÷255"?)'),
    "not-of-all": (('arms.raw={ optimizer = "sgd" }',),
                   'search.space.normalization: required key is missing: a value, a list or a range, which the arm "raw" does not fix'),
    "baseline": (('arms={ a = { normalization = "none", momentum = 0.1 }, b = { normalization = "none", momentum = 0.2 } }',
                  "reference=a", "search.space.optimizer=sgd", "confirm.baseline.optimizer=adam"),
                 "confirm.baseline.optimizer: must be an optimizer with the compared option momentum"),
    "control": (('arms."a\\u0007b"={ normalization = "zca" }',), "without control characters"),
    "open-quote": (('arms."raw={ normalization = "zca" }',), "expected KEY=VALUE with a dotted key"),
}  # fmt: skip


@pytest.mark.parametrize(("overrides", "text"), CASES.values(), ids=CASES)
def test_a_mistake_is_one_line_that_names_key_and_remedy(parts, overrides, text):
    (line,) = lines(LONG, parts, *overrides)
    assert text in line
    assert line.startswith(("--set: ", "sweep: "))
    assert line.isprintable()


def test_labels_are_quoted_as_toml_quotes_them():
    assert dotted("arms", "raw", "normalization") == "arms.raw.normalization"
    assert dotted("arms", 'a "b"', "x") == 'arms."a \\"b\\"".x'
    key = dotted("arms", '1/2.55 "÷"')
    assert tomllib.loads(f"{key} = 1") == {"arms": {'1/2.55 "÷"': 1}}


WRONG = [None, 3, "zca", [], [1], {"a": 1}, {"normalization": {"a": {"b": 1}}}, float("nan")]


@pytest.mark.parametrize("value", WRONG, ids=str)
@pytest.mark.parametrize("place", [("arms",), ("arms", "÷255"), ("arms", "÷255", "optimizer")])
def test_other_values_in_the_table_of_arms_are_refused(parts, value, place):
    raw = tomllib.loads(LONG)
    table: Any = raw
    for name in place[:-1]:
        table = table[name]
    table[place[-1]] = value
    with pytest.raises(SweepError) as caught:
        load_sweep(raw, parts)
    assert any(line.startswith("sweep: arms") for line in caught.value.lines)
    assert len(caught.value.lines) <= 2
    assert all(line.isprintable() for line in caught.value.lines)


def test_what_an_arm_does_is_said_whatever_its_key_is():
    arms = bundles([{"normalization": "none"}, {"normalization": "unit"}], ["raw pixels", "unit"])
    assert [arm.described for arm in arms] == ["raw pixels (none)", "unit"]
    assert [arm.described for arm in relabelled(arms)] == ["raw pixels (none)", "unit"]


MIXED = 'arms.mixed={ normalization = { income = "log1p then standardize", age = "unit(99)", default = "none" } }'


def test_an_arm_may_have_a_scheme_by_column(parts):
    sweep = read(LONG, parts, MIXED)
    text = '{"age": "unit(99)", "default": "none", "income": "log1p then standardize"}'
    arm = sweep.arms[-1]
    assert (arm.key, arm.params["normalization"]) == (text, text)
    assert arm.described == "mixed (age unit(99), default none, income log1p then standardize)"
    again = from_plain(json.loads(json.dumps(to_plain(sweep))))
    assert changes(again, sweep) == []
    assert as_file(again)["arms"]["mixed"] == {"normalization": json.loads(text)}
    assert read(LONG, parts, f"arms.mixed={{ normalization = '{text}' }}").arms[-1] == arm
