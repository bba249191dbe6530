import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from normsweep.errors import SweepError
from normsweep.sweep.checks import Catalog
from normsweep.sweep.loading import load_sweep

MISSING = object()
RULE = re.compile(
    r": (low |\w+: )?(expected|must|required key is missing: |unknown .*; available: )"
)
"""How a message begins: with what was expected."""

# id, the key edited, its value as TOML (or MISSING), the key that is named, what the line says
CASES: list[tuple[str, str, Any, str, str]] = [
    ("name-missing", "name", MISSING, "name", "required key is missing: Name of the Optuna study"),
    ("name-number", "name", "3", "name", "expected a string, got 3"),
    ("name-space", "name", '"a b"', "name", 'first one a letter or digit, got "a b"'),
    ("name-empty", "name", '""', "name", "expected a non-empty string"),
    ("name-absolute", "name", '"/tmp/up"', "name", 'first one a letter or digit, got "/tmp/up"'),
    ("name-dots", "name", '".."', "name", 'first one a letter or digit, got ".."'),
    ("name-hidden", "name", '".ssh"', "name", 'first one a letter or digit, got ".ssh"'),
    ("name-backslash", "name", "'a\\\\b'", "name", "must be letters, digits"),
    ("name-option", "name", '"--help"', "name", 'first one a letter or digit, got "--help"'),
    ("name-quote", "name", "\"a'b\"", "name", "must be letters, digits"),
    ("name-other-script", "name", '"é"', "name", "must be letters, digits"),
    ("name-long", "name", f'"{"a" * 101}"', "name", "must have at most 100 characters"),
    ("name-path", "name", '"../up"', "name", 'first one a letter or digit, got "../up"'),
    ("question-long", "question", f'"{"a" * 1001}"', "question", "must have at most 1000 characters"),
    ("question-number", "question", "3", "question", "expected a string, got 3"),
    ("compare-number", "compare", "3", "compare", "expected a string, got 3"),
    ("compare-typo", "compare", '"optimiser"', "compare", 'did you mean "optimizer"?'),
    ("compare-range", "compare", '"epochs"', "compare", 'must be one of "normalization", "optimizer"'),
    ("reference-missing", "reference", MISSING, "reference", "required key is missing: The arm that"),
    ("reference-typo", "reference", '"unt"', "reference", 'did you mean "unit"?'),
    ("reference-no-arm", "reference", '"zca"', "reference", 'must be one of "none", "unit"'),
    ("reference-list", "reference", '["unit"]', "reference", 'a string, got ["unit"]'),
    ("seed-negative", "seed", "-1", "seed", "must be at least 0, got -1"),
    ("seed-real", "seed", "1.5", "seed", "expected an integer, got 1.5"),
    ("seed-boolean", "seed", "true", "seed", "expected an integer, got true"),
    ("seed-large", "seed", "2147483648", "seed", "must be below 2147483648"),
    ("unknown-key", "sede", "1", "sede", '(did you mean "seed"?); available: name, question'),
    ("unknown-table", "confrim", "{ seeds = 3 }", "confrim", 'did you mean "confirm"?'),
    ("data-missing", "data", MISSING, "data", "required key is missing: a table [data]"),
    ("data-no-table", "data", '"digits"', "data", 'expected a table [data], got "digits"'),
    ("dataset-missing", "data.dataset", MISSING, "data.dataset", "required key is missing: A registered"),
    ("dataset-number", "data.dataset", "3", "data.dataset", "expected a string or a list"),
    ("dataset-empty", "data.dataset", "[]", "data.dataset", "a non-empty list"),
    ("dataset-typo", "data.dataset", '"minst"', "data.dataset", 'did you mean "mnist"?'),
    ("dataset-url", "data.dataset", '"http://me:pw@h/x.npz"', "data.dataset", "parquet, got an address"),
    ("dataset-csv", "data.dataset", '"x.csv"', "data.target_column", "required key is missing: the column of the table"),
    ("dataset-xls", "data.dataset", '"x.xls"', "data.dataset", "a path ending in .npz, .csv, .parquet"),
    ("kind", "data.kind", '"audio"', "data.kind", "signal"),
    ("full-scale", "data.full_scale", "0", "data.full_scale", "must be above 0"),
    ("second-dataset", "data.dataset", '["digits", "minst"]', "data.dataset", 'unknown dataset "minst"'),
    ("split-zero", "data.validation_split", "0", "data.validation_split", "must be above 0"),
    ("split-one", "data.validation_split", "1.0", "data.validation_split", "must be below 1"),
    ("split-text", "data.validation_split", '"a"', "data.validation_split", "expected a number"),
    ("split-nan", "data.validation_split", "nan", "data.validation_split", "got nan"),
    ("train-size", "data.train_size", "9", "data.train_size", "must be at least 10"),
    ("data-key", "data.trainsize", "50", "data.trainsize", 'did you mean "train_size"?'),
    ("model-path", "model.name", '"../lenet"', "model.name", 'unknown model "../lenet" (did you mean "lenet"?); available: lenet'),
    ("model-module", "model.name", '"os.system"', "model.name", 'unknown model "os.system"; available'),
    ("plug-ins", "plug-ins", '["os"]', "plug-ins", "unknown key (did you mean \"plugins\"?); avail"),
    ("model-typo", "model.name", '"lenett"', "model.name", 'did you mean "lenet"?'),
    ("model-no-table", "model", '"lenet"', "model", "expected a table [model]"),
    ("batch-zero", "model.batch_size", "0", "model.batch_size", "must be at least 1"),
    ("batch-real", "model.batch_size", "12.5", "model.batch_size", "expected an integer"),
    ("option-of-none", "model.options.units", "3", "model.options.units", 'lenet "units"; available: initializer'),
    ("option-list", "model.options.units", "[1]", "model.options.units", "or a table"),
    ("options-number", "model.options", "3", "model.options", "expected a table, got 3"),
    ("search-missing", "search", MISSING, "search", "required key is missing: a table [search]"),
    ("trials-missing", "search.trials", MISSING, "search.trials", "required key is missing: Total"),
    ("trials-zero", "search.trials", "0", "search.trials", "must be at least 1, got 0"),
    ("trials-many", "search.trials", "1000001", "search.trials", "must be at most 1000000"),
    ("seeds-many", "confirm.seeds", "10001", "confirm.seeds", "must be at most 10000"),
    ("trials-text", "search.trials", '"many"', "search.trials", "expected an integer"),
    ("sampler-typo", "search.sampler", '"tpee"', "search.sampler", 'did you mean "tpe"?'),
    ("pruner", "search.pruner", '"best"', "search.pruner", 'must be one of "none", "median", "halving", "asha"'),
    ("repeats", "search.repeats", "0", "search.repeats", "must be at least 1, got 0"),
    ("longest", "search.longest_every", "0", "search.longest_every", "must be at least 1"),
    ("timeout-past", "search.timeout", "-1", "search.timeout", "must be above 0, got -1"),
    ("timeout-inf", "search.timeout", "inf", "search.timeout", "expected a finite number"),
    ("sample-text", "search.space.epochs.sample", '"yes"', "search.space.epochs.sample", "expected true or false"),
    ("sample-rate", "search.space.learning_rate.sample", "true", "search.space.learning_rate.sample", "must be set for epochs only"),
    ("rules", "rules", "4", "rules", "must be at most 3, got 4"),
    ("space-missing", "search.space", MISSING, "search.space", "required key is missing: The parameters"),
    ("space-no-table", "search.space", "3", "search.space", "expected a table [search.space]"),
    ("seeds-one", "confirm.seeds", "1", "confirm.seeds", "must be at least 2, got 1"),
    ("seeds-real", "confirm.seeds", "7.5", "confirm.seeds", "expected an integer or a table { first = 5, most = 20 }, got 7.5"),
    ("seeds-first", "confirm.seeds", "{ first = 4 }", "confirm.seeds.first", "must be at least 5, got 4"),
    ("seeds-most", "confirm.seeds", "{ most = 101 }", "confirm.seeds.most", "must be at most 100, got 101"),
    ("seeds-order", "confirm.seeds", "{ first = 9, most = 8 }", "confirm.seeds.most", "must be at least 9, the first seeds, got 8"),
    ("seeds-typo", "confirm.seeds", "{ least = 5 }", "confirm.seeds.least", "unknown key; available: first, most"),
    ("confirm-epochs", "confirm.epochs", "0", "confirm.epochs", "must be at least 1"),
    ("margin-zero", "confirm.margin", "0", "confirm.margin", "must be above 0"),
    ("margin-percent", "confirm.margin", "2", "confirm.margin", "must be below 1, got 2"),
    ("margin-words", "confirm.margin", '"two"', "confirm.margin", 'expected a number, or a share of the reference such as "2 %", got "two"'),
    ("margin-share", "confirm.margin", '"100 %"', "confirm.margin", "must be below 100 %"),
    ("margin-infinite", "confirm.margin", "inf", "confirm.margin", "must be a finite number"),
    ("confidence", "confirm.confidence", "95", "confirm.confidence", "must be below 1"),
    ("confidence-low", "confirm.confidence", "0.5", "confirm.confidence", "must be above 0.5"),
    ("target-of-no-table", "data.target_column", '"label"', "data.target_column", "must not be set without a file that ends in .csv"),
    ("split-of-no-table", "data.test_split", "0.3", "data.test_split", "must not be set without a file that ends in .csv"),
    (
        "baseline-of-arms", "confirm.baseline.normalization", '"unit"', "confirm.baseline.normalization",
        "must not be set with arms that are normalizations",
    ),
    ("primary-typo", "confirm.primary", '"both_tunde"', "confirm.primary", 'mean "both_tuned"?'),
    ("primary-number", "confirm.primary", "3", "confirm.primary", 'must be one of "more_epochs", "equal_ep'),
    (
        "baseline-normalization", "confirm.baseline.normalization", '"unti"',
        "confirm.baseline.normalization", 'did you mean "unit"?',
    ),
    (
        "baseline-optimizer", "confirm.baseline.optimizer", '"adm"', "confirm.baseline.optimizer",
        'did you mean "adam"?',
    ),
    (
        "baseline-rate", "confirm.baseline.learning_rate", "nan", "confirm.baseline.learning_rate",
        "expected a finite number",
    ),
    (
        "baseline-epochs", "confirm.baseline.epochs", "13", "confirm.baseline.epochs",
        "must be at most 12, the epochs of the confirmation, got 13",
    ),
    (
        "baseline-key", "confirm.baseline.epoch", "3", "confirm.baseline.epoch",
        'did you mean "epochs"?',
    ),
    (
        "trial-timeout", "execution.trial_timeout", "0", "execution.trial_timeout",
        "must be above 0, got 0",
    ),
    ("stack-odd", "execution.stack", "12", "execution.stack", 'a power of two from 1 to 256, or "auto", got 12'),
    ("stack-wide", "execution.stack", "512", "execution.stack", 'a power of two from 1 to 256, or "auto"'),
    ("stack-word", "execution.stack", '"many"', "execution.stack", 'a power of two from 1 to 256, or "auto"'),
    ("stack-truth", "execution.stack", "true", "execution.stack", 'a power of two from 1 to 256, or "auto"'),
]  # fmt: skip

# The same below search.space: id, the parameter, its value, where (below search.space), what.
SPACE: list[tuple[str, str, Any, str, str]] = [
    ("no-normalization", "normalization", MISSING, "normalization", "required key is missing: a value"),
    ("no-optimizer", "optimizer", MISSING, "optimizer", "required key is missing: a value"),
    ("no-learning-rate", "learning_rate", MISSING, "learning_rate", "required key is missing: a value"),
    ("no-epochs", "epochs", MISSING, "epochs", "required key is missing: a value"),
    ("empty-list", "normalization", "[]", "normalization", "a list of at least one value"),
    ("twice", "normalization", '["none", "unit", "unit"]', "normalization", '"unit" twice'),
    ("one-arm", "normalization", '["unit"]', "normalization", "at least two values to compare"),
    ("range-of-names", "normalization", "{ low = 1, high = 2 }", "normalization", "a list of none"),
    (
        "normalization-typo", "normalization", '["none", "unit", "standardise"]', "normalization",
        '"standardise" (did you mean "standardize"?); available: none, unit',
    ),
    *(
        (f"option-{value}", "normalization", f'["none", "unit", "{value}"]', "normalization", f"in the brackets, got {value}")
        for value in ("divide(0)", "divide(abc)", "quantile(foo)", "quantile(1)", "unit(-5)", "unit(nan)", "symmetric(inf)")
    ),
    ("optimizer-typo", "optimizer", '["sgd", "adamm"]', "optimizer", 'did you mean "adam"?'),
    ("optimizer-number", "optimizer", "[1]", "optimizer", "unknown optimizer 1; available: sgd, rmsprop"),
    ("rate-text", "learning_rate", '"fast"', "learning_rate", "must be numbers above 0"),
    ("rate-zero", "learning_rate", "0", "learning_rate", "must be numbers above 0"),
    ("rate-negative", "learning_rate", "[-0.1]", "learning_rate", "must be numbers above 0"),
    ("mixed", "learning_rate", '[0.1, "x"]', "learning_rate", "expected values of one type"),
    ("nan-choice", "learning_rate", "[0.1, nan]", "learning_rate", "expected finite numbers"),
    ("nested", "learning_rate", "[[0.1]]", "learning_rate", "strings, numbers or booleans"),
    ("date", "learning_rate", "2020-01-01", "learning_rate", "strings, numbers or booleans"),
    ("empty-table", "learning_rate", "{}", "learning_rate", "expected a value, a list of values"),
    ("no-high", "learning_rate", "{ low = 1e-4 }", "learning_rate", "a table { low, high,"),
    ("no-low", "learning_rate", "{ high = 1e-4 }", "learning_rate", "a table { low, high,"),
    (
        "high-typo", "learning_rate", "{ low = 1e-4, hihg = 1 }", "learning_rate.hihg",
        'did you mean "high"?',
    ),
    (
        "low-typo", "learning_rate", "{ lo = 1e-4, high = 1 }", "learning_rate.lo",
        'did you mean "low"?',
    ),
    (
        "low-above-high", "learning_rate", "{ low = 0.1, high = 1e-4 }", "learning_rate",
        "low must be at most high, got low = 0.1 and high = 0.0001",
    ),
    (
        "log-of-zero", "learning_rate", "{ low = 0.0, high = 1, log = true }", "learning_rate.low",
        "must be above 0 with log = true, got 0.0",
    ),
    (
        "log-text", "learning_rate", '{ low = 1e-4, high = 1, log = "yes" }', "learning_rate.log",
        'expected true or false, got "yes"',
    ),
    (
        "log-and-step", "learning_rate", "{ low = 0.1, high = 1, log = true, step = 0.1 }",
        "learning_rate.step", "must not be set with log = true",
    ),
    (
        "step-zero", "learning_rate", "{ low = 0.1, high = 1, step = 0 }", "learning_rate.step",
        "must be above 0, got 0",
    ),
    (
        "infinite-end", "learning_rate", "{ low = 0.1, high = inf }", "learning_rate.high",
        "expected a finite number, got inf",
    ),
    (
        "log-of-list", "learning_rate", "{ choices = [0.1], log = true }", "learning_rate.log",
        "must be used with a range",
    ),
    (
        "list-and-range", "learning_rate", "{ choices = [0.1], low = 1, high = 2 }",
        "learning_rate", "expected a value, a list of values",
    ),
    ("epochs-zero", "epochs", "0", "epochs", "must be integers of at least 1"),
    ("epochs-real", "epochs", "[1, 2.5]", "epochs", "must be integers of at least 1"),
    ("epochs-real-end", "epochs", "{ low = 1, high = 9.5 }", "epochs", "integers of at least 1"),
    ("epochs-step", "epochs", "{ low = 1, high = 9, step = 1.5 }", "epochs.step", "an integer"),
    (
        "epochs-condition", "epochs", '{ value = 4, when = { optimizer = "sgd" } }', "epochs.when",
        "must not be set, because every trial needs epochs",
    ),
    ("batch", "batch_size", "[32, 0]", "batch_size", "must be integers of at least 1"),
    ("unknown", "momentun", "0.9", "momentun", 'did you mean "momentum"?'),
    ("option-of-other-model", "units", "[8, 16]", "units", 'unknown parameter "units"; available: normaliz'),
    (
        "option-without-condition", "momentum", "0.9", "momentum",
        'must have when = { optimizer = ["sgd"] }; not an option of adam',
    ),
    (
        "option-of-other", "momentum", '{ value = 0.9, when = { optimizer = "adam" } }', "momentum",
        "not an option of adam",
    ),
    (
        "condition-value", "momentum", '{ value = 0.9, when = { optimizer = "sdg" } }',
        "momentum.when.optimizer", 'must be one of "sgd", "adam"; got "sdg"',
    ),
    (
        "condition-parent", "momentum", '{ value = 0.9, when = { optimiser = "sgd" } }',
        "momentum.when.optimiser", 'did you mean "optimizer"?',
    ),
    (
        "condition-on-range", "momentum", "{ value = 0.9, when = { epochs = 3 } }",
        "momentum.when.epochs", "expected a parameter that is a list",
    ),
    (
        "condition-on-itself", "momentum", "{ value = 0.9, when = { momentum = 0.9 } }",
        "momentum.when.momentum", 'must be one of "normalization", "optimizer"',
    ),
    (
        "condition-empty", "momentum", "{ value = 0.9, when = { optimizer = [] } }",
        "momentum.when.optimizer", 'expected one or more of "sgd", "adam"; got []',
    ),
    (
        "condition-no-table", "momentum", '{ value = 0.9, when = "sgd" }', "momentum.when",
        'got "sgd"',
    ),
]  # fmt: skip


def edited(raw: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    *tables, last = key.split(".")
    table = raw
    for name in tables:
        table = table.setdefault(name, {})
    table.pop(last, None)
    if value is not MISSING:
        table[last] = tomllib.loads(f"value = {value}")["value"]
    return raw


def as_toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case list():
            return f"[{', '.join(map(as_toml, value))}]"
        case dict():
            return f"{{ {', '.join(f'{k} = {as_toml(v)}' for k, v in value.items())} }}"
        case _:
            return str(value)


def mistakes(path: Path, parts: Catalog, key: str, value: Any) -> tuple[str, ...]:
    raw = edited(tomllib.loads(path.read_text()), key, value)
    path.write_text("\n".join(f"{k} = {as_toml(v)}" for k, v in raw.items()))
    with pytest.raises(SweepError) as caught:
        load_sweep(path, parts)
    return caught.value.lines


@pytest.mark.parametrize(
    ("key", "value", "named", "text"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_one_mistake_is_one_line(sweep_file, parts, key, value, named, text):
    (line,) = mistakes(sweep_file, parts, key, value)
    assert line.startswith(f"{sweep_file}: {named}: ")
    assert text in line
    assert RULE.search(line)


@pytest.mark.parametrize(
    ("key", "value", "named", "text"), [c[1:] for c in SPACE], ids=[c[0] for c in SPACE]
)
def test_one_mistake_in_the_space_is_one_line(sweep_file, parts, key, value, named, text):
    (line,) = mistakes(sweep_file, parts, f"search.space.{key}", value)
    assert line.startswith(f"{sweep_file}: search.space.{named}: ")
    assert text in line
    assert RULE.search(line)


BESIDE = {
    "confirm.seeds": "1",
    "search.space.batch_size": "{ low = 0, high = 8 }",
    "execution.retries": "-1",
    "colour": "1",
}
APART = [c for c in CASES if not c[1].startswith(("confirm", "search.space"))] + [
    (name, f"search.space.{key}", *rest) for name, key, *rest in SPACE if key != "batch_size"
]


@pytest.mark.parametrize(("key", "value"), [c[1:3] for c in APART], ids=[c[0] for c in APART])
def test_a_mistake_hides_no_other(sweep_file, parts, key, value):
    raw = edited(tomllib.loads(sweep_file.read_text()), key, value)
    with pytest.raises(SweepError) as alone:
        load_sweep(raw, parts)
    with pytest.raises(SweepError) as beside:
        load_sweep(raw, parts, [f"{k}={v}" for k, v in BESIDE.items()])
    told = {line.split(": ")[1] for line in beside.value.lines if line.startswith("--set: ")}
    assert told >= BESIDE.keys()
    if key != "search":  # what is set below it makes the table
        assert set(alone.value.lines) <= set(beside.value.lines)


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        pytest.param("name = ", "not valid TOML: Invalid value", id="no-value"),
        pytest.param(
            "name = 'a'\nname = 'b'", "not valid TOML: Cannot overwrite a value", id="twice"
        ),
        pytest.param("[data", "not valid TOML: Expected ']'", id="open-bracket"),
        pytest.param("name: base", "not valid TOML", id="yaml"),
    ],
)
def test_what_is_not_toml_is_told_with_its_place(sweep_file, parts, toml, text):
    sweep_file.write_text(toml)
    with pytest.raises(SweepError) as caught:
        load_sweep(sweep_file, parts)
    (line,) = caught.value.lines
    assert line.startswith(f"{sweep_file}: {text}")
    assert "line 1" in line or "line 2" in line or "end of document" in line


def test_what_is_not_text_cannot_be_read(sweep_file, parts):
    sweep_file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SweepError, match="expected text in UTF-8, got byte 0xff at 0"):
        load_sweep(sweep_file, parts)


def test_an_empty_file_lacks_what_has_no_default(sweep_file, parts):
    sweep_file.write_text("")
    with pytest.raises(SweepError) as caught:
        load_sweep(sweep_file, parts)
    keys = [line.split(": ")[1] for line in caught.value.lines]
    assert keys == ["name", "reference", "data", "search"]


def test_all_of_a_dozen_mistakes_are_named_at_once(sweep_file, parts):
    sweep_file.write_text("""
name = "two words"
refrence = "unit"
seed = -1

[data]
dataset = "minst"
validation_split = 1.5

[model]
name = "lenett"

[search]
trials = 0
sampler = "tpee"
colour = "red"

[search.space]
normalization = ["none", "unti"]
learning_rate = { low = 1, high = 0.1 }
optimizer = ["sgd", "adam"]
momentum = 0.9

[confirm]
seeds = 1
""")
    with pytest.raises(SweepError) as caught:
        load_sweep(sweep_file, parts)
    keys = [line.split(": ")[1] for line in caught.value.lines]
    assert sorted(keys) == sorted(
        [
            "refrence",
            "name",
            "reference",
            "seed",
            "data.dataset",
            "data.validation_split",
            "model.name",
            "search.trials",
            "search.sampler",
            "search.colour",
            "search.space.normalization",
            "search.space.learning_rate",
            "search.space.epochs",
            "search.space.momentum",
            "confirm.seeds",
        ]
    )


UNSEEN = {
    "escape": "\\u001b[2J", "null": "\\u0000", "return": "a\\rb", "bell": "\\u0007",
    "c1": "\\u009b31m", "turned-round": "\\u202etxt.exe", "isolate": "\\u2066",
}  # fmt: skip


@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN)
@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('question = "{}"', "question"),
        ('name = "{}"', "name"),
        ('data.dataset = ["digits", "{}.npz"]', "data.dataset"),
        ('model.options.ceiling = "{}"', "model.options.ceiling"),
        ('search.space.optimizer = ["adam", "{}"]', "search.space.optimizer"),
    ],
    ids=["question", "name", "dataset", "option", "arm"],
)
def test_characters_that_nobody_sees_are_refused_and_not_repeated(
    tmp_path, parts, line, named, text
):
    path = tmp_path / "bad.toml"
    path.write_text(line.format(text))
    with pytest.raises(SweepError) as caught:
        load_sweep(path, parts)
    (said,) = caught.value.lines
    assert said.startswith(f"{path}: {named}: expected ")
    assert " without control characters, got " in said
    assert said.isprintable()


def test_a_key_cannot_forge_a_line(sweep_file, parts):
    sweep_file.write_text('"a\\u001b[2J\\nnormsweep: all is well" = 1\n' + sweep_file.read_text())
    with pytest.raises(SweepError) as caught:
        load_sweep(sweep_file, parts)
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].isprintable()


def test_a_question_may_be_of_any_script_and_several_lines(sweep_file, parts):
    text = (
        sweep_file.read_text().replace('"Does raw', '"""سؤال\n?Does\traw').replace('up?"', 'up?"""')
    )
    sweep_file.write_text(text)
    assert load_sweep(sweep_file, parts).question.startswith("سؤال\n?Does\traw")


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        pytest.param("seed = 1" + "0" * 5000, "not valid TOML: ", id="digits"),
        pytest.param("seed = 9223372036854775808", "seed: expected a 64-bit integer, got 9223372036854775808", id="65-bits"),
        pytest.param(
            f"search.space.learning_rate = {{ low = 1{'0' * 400}, high = 1 }}",
            "search.space.learning_rate.low: expected a 64-bit integer, got 1000", id="beyond-floats",
        ),
        pytest.param("a = " + "[" * 9999, "not valid TOML: ", id="nested-lists"),
        pytest.param("a = " + "{a=" * 9999, "not valid TOML: ", id="nested-tables"),
        pytest.param("question." + ".".join("a" * 9999) + " = 1", "must not nest tables", id="dots"),
    ],
)  # fmt: skip
def test_what_is_beyond_all_measure_is_one_line(tmp_path, parts, toml, text):
    path = tmp_path / "bad.toml"
    path.write_text(toml)
    with pytest.raises(SweepError) as caught:
        load_sweep(path, parts)
    (line,) = caught.value.lines
    assert line.startswith(f"{path}: ")
    assert text in line
    assert len(line) < 300


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 9999, "\udcff", "\x1b[2J"])
def test_an_override_may_be_as_odd(sweep_file, parts, value):
    with pytest.raises(SweepError) as caught:
        load_sweep(sweep_file, parts, [f"seed={value}", f"{'a.' * 9999}a=1"])
    assert all(line.isprintable() and len(line) < 300 for line in caught.value.lines)


def test_a_grid_that_no_memory_holds_is_not_laid_out(sweep_file, parts):
    overrides = ["search.sampler=grid", "search.space.learning_rate=0.1"]
    with pytest.raises(SweepError) as caught:
        load_sweep(
            sweep_file, parts, [*overrides, "search.space.epochs={ low = 1, high = 1000000000000 }"]
        )
    (line,) = caught.value.lines
    assert 'must have at most 1,000,000 points with sampler = "grid", got 4,000,000,000,000' in line
