import tomllib

import pytest

from normsweep.errors import SweepError
from normsweep.sweep.loading import find_sweep, load_sweep, shipped_sweeps
from normsweep.sweep.recorded import from_plain, to_plain
from normsweep.sweep.schema import Baseline, Confirm
from normsweep.sweep.space import Choice, Condition, Range

FULL = """
name = "full"
question = "All keys"
compare = "optimizer"
reference = "adam"
seed = 7
plugins = ["my_parts"]
metric = "f1_macro"

[data]
dataset = ["mnist", "folder/own.npz", "digits"]
validation_split = 0.25
train_size = 1000

[model]
name = "mlp"
batch_size = 64
options = { units = 32, layers = 1 }

[search]
trials = 10
sampler = "random"
pruner = "median"
longest_every = 4
timeout = 3600

[search.space]
normalization = "unit"
optimizer = ["sgd", "adam", "adamw"]
learning_rate = { low = 1e-5, high = 1, log = true }
epochs = { low = 2, high = 20, step = 3 }
batch_size = { choices = [32, 64] }
units = { value = 16 }
momentum = { low = 0, high = 0.9, step = 0.3, when = { optimizer = "sgd" } }
weight_decay = { choices = [0.004, 0.01], when = { optimizer = ["adamw"] } }

[confirm]
seeds = 4
epochs = 30
margin = 0.01
confidence = 0.9
baseline = { optimizer = "sgd", learning_rate = 0.01, epochs = 5 }

[execution]
trial_timeout = 60
"""


@pytest.fixture
def full(tmp_path, parts):
    path = tmp_path / "full.toml"
    path.write_text(FULL)
    return load_sweep(path, parts)


def test_every_key_of_a_full_file_arrives(full):
    assert (full.name, full.question, full.compare) == ("full", "All keys", "optimizer")
    assert (full.reference, full.seed) == ("adam", 7)
    assert [arm.key for arm in full.arms] == ["sgd", "adam", "adamw"]
    assert full.data.candidates == ("mnist", "folder/own.npz", "digits")
    assert (full.data.validation_split, full.data.train_size) == (0.25, 1000)
    assert (full.model.name, full.model.batch_size) == ("mlp", 64)
    assert full.model.options == {"units": 32, "layers": 1}
    search = full.search
    assert (search.trials, search.sampler, search.pruner) == (10, "random", "median")
    assert (search.longest_every, search.timeout) == (4, 3600.0)
    assert full.confirm == Confirm(
        seeds=4,
        epochs=30,
        margin=0.01,
        confidence=0.9,
        baseline=Baseline(optimizer="sgd", learning_rate=0.01, epochs=5),
    )
    assert full.execution.trial_timeout == 60.0


@pytest.mark.parametrize(
    ("written", "margin", "share", "at_50"),
    [("0.5", 0.5, 0.0, 0.5), ('"2 %"', "2 %", 0.02, 1.0), ('"0.50%"', "0.5 %", 0.005, 0.25)],
)
def test_a_margin_is_in_the_metrics_unit_or_a_share_of_the_reference(
    sweep_file, parts, written, margin, share, at_50
):
    sweep = load_sweep(sweep_file, parts, [f"confirm.margin={written}"])
    confirm = from_plain(to_plain(sweep)).confirm
    assert confirm.margin == sweep.confirm.margin == margin
    assert (confirm.share, confirm.margin_at(-50.0)) == (share, pytest.approx(at_50))


def test_every_form_of_a_parameter_is_understood(full):
    space = full.search.space
    assert space["normalization"] == Choice("normalization", ("unit",))
    assert space["learning_rate"] == Range("learning_rate", 1e-5, 1, log=True)
    assert space["epochs"] == Range("epochs", 2, 20, integer=True, step=3)
    assert space["batch_size"] == Choice("batch_size", (32, 64))
    assert space["units"] == Choice("units", (16,))
    sgd, adamw = Condition("optimizer", ("sgd",)), Condition("optimizer", ("adamw",))
    assert space["momentum"] == Range("momentum", 0, 0.9, step=0.3, when=(sgd,))
    assert space["weight_decay"] == Choice("weight_decay", (0.004, 0.01), when=(adamw,))


def test_the_plain_form_names_every_key_and_parameter(full):
    plain = to_plain(full)
    assert plain["search.space.optimizer"] == ["sgd", "adam", "adamw"]
    assert plain["search.space.momentum.when.optimizer"] == ["sgd"]
    assert plain["confirm.baseline.learning_rate"] == 0.01
    raw = tomllib.loads(FULL)
    assert {key.split(".")[0] for key in plain} == {*raw, "rules", "select"}


def test_what_a_short_file_leaves_out_has_defaults(sweep_file, parts):
    sweep = load_sweep(sweep_file, parts)
    assert (sweep.compare, sweep.seed, sweep.model.name) == ("normalization", 0, "lenet")
    assert (sweep.data.validation_split, sweep.data.train_size) == (0.2, None)
    assert (sweep.search.sampler, sweep.search.pruner, sweep.rules) == ("auto", "none", 3)
    assert sweep.confirm == Confirm()


@pytest.mark.parametrize(
    ("trials", "per_arm", "total"), [(1, 1, 2), (2, 1, 2), (3, 2, 4), (12, 6, 12), (13, 7, 14)]
)
def test_trials_are_rounded_up_to_a_multiple_of_the_arms(sweep_file, parts, trials, per_arm, total):
    sweep = load_sweep(sweep_file, parts, [f"search.trials={trials}"])
    assert (sweep.trials_per_arm, sweep.total_trials) == (per_arm, total)


@pytest.mark.parametrize(
    ("override", "read"),
    [
        pytest.param("seed=5", lambda s: s.seed == 5, id="integer"),
        pytest.param("seed = 0x10", lambda s: s.seed == 16, id="spaces-and-hex"),
        pytest.param("name=other", lambda s: s.name == "other", id="bare-word"),
        pytest.param('name="other"', lambda s: s.name == "other", id="string"),
        pytest.param("question=a = b?", lambda s: s.question == "a = b?", id="equals-sign"),
        pytest.param("data.train_size=500", lambda s: s.data.train_size == 500, id="new-key"),
        pytest.param("model.name=mlp", lambda s: s.model.name == "mlp", id="new-table"),
        pytest.param(
            'search.space.optimizer=["sgd", "adagrad"]',
            lambda s: s.search.space.choices("optimizer") == ("sgd", "adagrad"),
            id="list",
        ),
        pytest.param(
            "search.space.epochs={ low = 3, high = 4 }",
            lambda s: s.search.space["epochs"] == Range("epochs", 3, 4, integer=True),
            id="table",
        ),
        pytest.param("search.space.epochs.high=40", lambda s: s.longest == 40, id="into-table"),
    ],
)
def test_an_override_takes_the_place_of_the_files_value(sweep_file, parts, override, read):
    assert read(load_sweep(sweep_file, parts, [override]))


def test_of_two_overrides_the_last_one_holds(sweep_file, parts):
    assert load_sweep(sweep_file, parts, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("seed", '--set: expected KEY=VALUE with a dotted key, got "seed"'),
        ("=3", '--set: expected KEY=VALUE with a dotted key, got "=3"'),
        ("search..trials=3", '--set: expected KEY=VALUE with a dotted key, got "search..trials=3"'),
        ("name.x=3", '--set: name.x: expected a key of a table, but name is no table, got "name.x=3"'),
        ("seed=-1", "--set: seed: must be at least 0, got -1"),
        ("search.trials=many", '--set: search.trials: expected an integer, got "many"'),
        ("confirm.baseline.epochs=13",
         "--set: confirm.baseline.epochs: must be at most 12, the epochs of the confirmation, got 13"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_told_as_the_options(sweep_file, parts, override, line):
    with pytest.raises(SweepError) as caught:
        load_sweep(sweep_file, parts, [override])
    assert caught.value.lines == (line,)


def test_beside_an_override_the_files_mistakes_are_the_files(sweep_file, parts):
    sweep_file.write_text(sweep_file.read_text().replace("trials = 12", "trials = 0"))
    with pytest.raises(SweepError) as caught:
        load_sweep(sweep_file, parts, ["seed=-1"])
    assert [line.partition(": ")[0] for line in caught.value.lines] == ["--set", str(sweep_file)]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("search.space.learning_rate", "[0.1, 0.01]"),
        ("search.space.learning_rate", "{ low = 0.1, high = 0.5, step = 0.1 }"),
    ],
    ids=["list", "step"],
)
def test_a_grid_takes_lists_and_steps(sweep_file, parts, key, value):
    sweep = load_sweep(sweep_file, parts, ["search.sampler=grid", f"{key}={value}"])
    assert sweep.search.sampler == "grid"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["search.sampler=grid"], "search.space.learning_rate: must have a step or be a list"),
        (
            ["search.sampler=grid", "search.space.learning_rate=0.1", "search.longest_every=2"],
            'search.longest_every: must not be set with sampler = "grid"',
        ),
    ],
    ids=["real-range", "longest-every"],
)
def test_a_grid_refuses_what_it_cannot_list(sweep_file, parts, overrides, told):
    with pytest.raises(SweepError) as caught:
        load_sweep(sweep_file, parts, overrides)
    (line,) = caught.value.lines
    assert told in line


@pytest.mark.parametrize("path", shipped_sweeps().values(), ids=shipped_sweeps().keys())
def test_shipped_sweeps_are_legal_and_say_what_they_ask(parts, path):
    sweep = load_sweep(path, parts)
    assert sweep.name == path.stem
    assert sweep.question.endswith("?")


@pytest.mark.parametrize("source", ["quickstart", "quickstart.toml", "sweeps/quickstart"])
def test_a_shipped_sweep_is_found_by_name(monkeypatch, tmp_path, source):
    monkeypatch.chdir(tmp_path)
    assert find_sweep(source) == shipped_sweeps()["quickstart"]


def test_a_file_goes_before_a_shipped_sweep_of_its_name(monkeypatch, sweep_file):
    monkeypatch.chdir(sweep_file.parent)
    own = sweep_file.rename(sweep_file.parent / "quickstart")
    assert find_sweep("quickstart").resolve() == own.resolve()


@pytest.mark.parametrize("source", ["quickstrat", "quickstart.json", "elsewhere/quickstart", "."])
def test_a_file_that_is_not_there_is_told_with_the_shipped_ones(source):
    with pytest.raises(SweepError) as caught:
        find_sweep(source)
    (line,) = caught.value.lines
    assert line.startswith(f"{source}: no such file")
    assert "; expected a path, or one of " in line
    assert "quickstart" in line


def test_the_nearest_shipped_name_is_proposed():
    with pytest.raises(SweepError, match='did you mean "quickstart"'):
        find_sweep("quickstrat")


def test_a_default_that_is_longer_than_the_space_is_no_mistake_of_the_files(sweep_file, parts):
    overrides = ["search.space.epochs=2", "confirm.seeds=3"]
    assert load_sweep(sweep_file, parts, overrides).confirm.seeds.most == 3
