"""Whatever a sweep file holds: it is a sweep, or lines that say what is wrong with it."""

from __future__ import annotations

import copy
import datetime
import re
import tomllib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from normsweep.errors import SweepError
from normsweep.parts.catalog import read_sweep
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.recorded import from_plain, to_plain
from normsweep.sweep.schema import Section, Sweep, inner_section
from normsweep.text import UNSEEN

BASE: dict[str, Any] = tomllib.loads("""
name = "base"
reference = "unit"
data = { dataset = "digits", validation_split = 0.2 }
model = { name = "mlp", options = { units = 8 } }
confirm = { seeds = 5, baseline = { epochs = 2 } }
execution = { retries = 1 }

[search]
trials = 12
space.normalization = ["none", "unit"]
space.learning_rate = { low = 1e-4, high = 1e-1, log = true }
space.optimizer = ["sgd", "adam"]
space.epochs = { low = 1, high = 12 }
space.momentum = { choices = [0.0, 0.9], when = { optimizer = "sgd" } }
""")


def keys(section: type[Section], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, field in section.model_fields.items():
        found.append((*prefix, name))
        if inner := inner_section(field):
            found += keys(inner, (*prefix, name))
    return found


def below(table: dict[str, Any], prefix: tuple[str, ...]) -> list[tuple[str, ...]]:
    found = []
    for name, value in table.items():
        found.append((*prefix, name))
        if isinstance(value, dict):
            found += below(value, (*prefix, name))
    return found


SPACE = ("search", "space")
PLACES = list(
    dict.fromkeys(
        [
            *keys(Sweep),
            *below(BASE, ()),
            ("model", "options", "layers"),
            *(
                (*SPACE, "epochs", key)
                for key in ("log", "step", "when", "choices", "value", "sample")
            ),
            (*SPACE, "momentum", "when", "epochs"),
            (*SPACE, "batch_size"),
            (*SPACE, "activation"),
        ]
    )
)
"""Every key that a sweep can have, and some of a space."""
WORDS = st.sampled_from(
    ["", "a", "unit", "none", "sgd", "adam", "epochs", "normalization", "learning_rate", "mlp", "bool",
     "int", "low", "high", "step", "log", "when", "choices", "value", "optimizer", "1h", "é\n", "a.b"]
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, 1, -1, 2**63 - 1, 2**63, -(2**63), 1e308, 5e-324, -0.0]),
)
SCALARS = st.one_of(
    st.booleans(),
    NUMBERS,
    WORDS,
    st.text(max_size=8),
    st.dates(),
    st.times(),
    st.datetimes(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=6,
)
DIMENSIONS = st.fixed_dictionaries(
    {},
    optional={
        "low": NUMBERS, "high": NUMBERS, "step": NUMBERS | WORDS, "log": st.booleans() | WORDS,
        "choices": VALUES, "value": VALUES, "when": st.dictionaries(WORDS, VALUES, max_size=2),
    },
)  # fmt: skip


FINITE = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)
RANGES = st.fixed_dictionaries(
    {"low": FINITE, "high": FINITE}, optional={"step": FINITE, "log": st.booleans()}
)


def placed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(BASE)
    *tables, last = path
    table = raw
    for name in tables:
        if not isinstance(table.get(name), dict):
            table[name] = {}
        table = table[name]
    table[last] = value
    return raw


def judge(raw: dict[str, Any], parts, overrides: tuple[str, ...] = ()) -> list[str]:
    """The lines that refuse it; none where it is a sweep."""
    lines: list[str] = []
    try:
        sweep = load_sweep(raw, parts, overrides)
    except SweepError as mistakes:
        lines += mistakes.lines or ["nothing said"]
    else:
        assert from_plain(to_plain(sweep)) == sweep
    for line in lines:
        assert not UNSEEN.search(line)
        assert "\n" not in line
        assert len(line) < 1000
        assert re.search(
            r"(?:: |^)(low )?(expected |must |required key |unknown |not valid TOML)", line
        ), line
    return lines


@given(st.sampled_from(PLACES), VALUES)
@example(("reference",), {"a": 1})
@example(("reference",), {"bool": 1})
def test_a_key_with_any_value_is_a_sweep_or_says_so(parts, path, value):
    judge(placed(path, value), parts)


@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=2, max_size=5))
def test_several_keys_with_any_values_are_a_sweep_or_say_so(parts, given):
    raw = copy.deepcopy(BASE)
    for path, value in given:
        table = raw
        for name in path[:-1]:
            table = table.get(name) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[path[-1]] = value
    judge(raw, parts)


@given(
    st.dictionaries(
        st.sampled_from(["learning_rate", "epochs", "momentum", "normalization", "units", "odd"]),
        DIMENSIONS | RANGES,
        min_size=1,
    ),
    st.sampled_from(["tpe", "grid"]),
)
@example({"learning_rate": {"low": -1e308, "high": 1e308, "step": 1.0}}, "grid")
@example({"learning_rate": {"low": 1e-9, "high": 1e308, "step": 5e-324}}, "grid")
@example({str(i): {"low": 0.0, "high": 1e300, "step": 1.0} for i in range(20)}, "grid")
def test_parameters_of_any_form_are_a_sweep_or_say_so(parts, parameters, sampler):
    raw = copy.deepcopy(BASE)
    raw["search"]["space"] |= parameters
    raw["search"]["sampler"] = sampler
    judge(raw, parts)


@given(st.dictionaries(WORDS | st.sampled_from(list(BASE)), VALUES, max_size=5))
def test_any_table_is_refused(parts, raw):
    assert judge(raw, parts)


@given(
    st.sampled_from([".".join(path) for path in PLACES]) | st.text(max_size=10),
    st.text(max_size=10) | VALUES.map(str),
)
def test_any_override_is_taken_or_told(parts, key, value):
    judge(copy.deepcopy(BASE), parts, (f"{key}={value}", key))


WRONG = {
    "true": True, "number": -7, "text": "é\n", "list": [[1]], "table": {"a": 1}, "empty-list": [],
    "empty-table": {}, "date": datetime.date(2020, 1, 1), "nan": float("nan"), "mixed": [1, "a"],
}  # fmt: skip


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("path", keys(Sweep), ids=".".join)
def test_a_key_of_a_wrong_type_is_named(parts, path, value):
    lines = judge(placed(path, value), parts)
    if not any(value is WRONG[each] for each in LEGAL.get(".".join(path), ())):
        assert any(line.startswith(f"sweep: {'.'.join(path)}") for line in lines), lines


LEGAL: dict[str, list[str]] = {
    "question": ["text"],
    "plugins": ["empty-list", "text"],
    "data.class_weights": ["table", "empty-table"],
    "model.options": ["empty-table"],
    "confirm": ["empty-table"],
    "confirm.baseline": ["empty-table"],
    "confirm.seeds": ["empty-table"],
    "execution": ["empty-table"],
    "execution.system_metrics": ["true"],
    "model": ["empty-table"],
    "select": ["empty-table"],
}


@pytest.mark.parametrize("deep", [9, 300, 2000])
@pytest.mark.parametrize(
    "path", [*keys(Sweep), ("odd",), ("model", "options", "units")], ids=".".join
)
def test_tables_and_lists_without_end_are_a_line_each(parts, path, deep):
    table: Any = {"a": 1}
    nested: Any = [1]
    for _ in range(deep):
        table, nested = {"a": table}, [nested]
    for value in (table, nested, tuple(nested)):
        (line,) = judge(placed(path, value), parts)
        assert line.startswith(f"sweep: {'.'.join(path)}")
        assert "must not nest tables" in line
        with pytest.raises(SweepError):
            read_sweep(placed(path, value))


def test_a_table_that_holds_itself_is_a_line(parts):
    raw = copy.deepcopy(BASE)
    raw["data"]["again"] = raw
    lines = judge(raw, parts)
    assert any("must not nest tables" in line for line in lines)
    raw["data"]["again"] = loop = [1]
    loop.append(loop)
    (line,) = judge(raw, parts)
    assert "must not nest tables" in line
