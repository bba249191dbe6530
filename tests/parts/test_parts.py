import subprocess
import sys

import pytest

from normsweep.parts import models, optimizers
from normsweep.parts.catalog import catalog, resolve_trial
from normsweep.parts.losses import Head
from normsweep.parts.registry import Registry
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.trial import DataKey


def test_importing_the_parts_and_their_catalog_imports_no_backend():
    code = (
        "import sys; from normsweep.parts import normalizations; from normsweep.parts.catalog import catalog; catalog(); "
        "print(sorted({'keras', 'tensorflow', 'jax', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_lenet_has_the_parameters_of_the_script():
    model = models.registry["lenet"].function((28, 28, 1), 10)
    assert model.count_params() == 1_256_080
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(
    ("options", "widths"),
    [({}, [128, 128, 3]), ({"units": 7}, [7, 7, 3]), ({"units": 4, "layers": 1}, [4, 3])],
    ids=["defaults", "units", "layers"],
)
def test_the_mlp_has_the_layers_that_its_options_say(options, widths):
    model = models.registry["mlp"].function((4, 4, 1), 3, **options)
    assert [layer.units for layer in model.layers if hasattr(layer, "units")] == widths


def with_none(shape, outputs, activation=None):
    return outputs, activation


def with_relu(shape, outputs, activation="relu"):
    return outputs, activation


def with_units(shape, outputs, units=16, *, depth=1):
    return outputs, units, depth


@pytest.mark.parametrize(
    ("function", "options", "made"),
    [
        (lambda shape, outputs: outputs, {}, 2),
        (lambda shape, outputs, activation: (outputs, activation), {}, (2, "linear")),
        (with_none, {}, (2, "linear")),
        (with_relu, {}, (2, "relu")),
        (with_units, {"depth": 3}, (2, 16, 3)),
    ],
)
def test_only_a_third_argument_for_the_head_gets_its_activation(function, options, made):
    assert models.built(function, (4,), Head(2, "linear"), options) == made


@pytest.mark.parametrize("name", sorted(optimizers.registry.options()))
def test_an_optimizer_has_the_learning_rate_that_it_is_given(name):
    optimizer = optimizers.registry[name].function(0.025)
    assert float(optimizer.learning_rate) == pytest.approx(0.025)


def test_options_reach_the_optimizer():
    sgd = optimizers.registry["sgd"].function(0.1, momentum=0.9, nesterov=True)
    assert (sgd.momentum, sgd.nesterov) == (0.9, True)
    assert optimizers.registry["adamw"].function(0.1, weight_decay=0.5).weight_decay == 0.5


def test_the_synthetic_model_is_never_built():
    with pytest.raises(TypeError, match="cannot be built"):
        models.registry["synthetic"].function((4, 4, 1), 3)


def test_the_catalog_has_every_part_with_its_keyword_only_arguments():
    known = catalog()
    assert known.optimizers["sgd"] == ("momentum", "nesterov")
    assert known.models["mlp"] == ("units", "layers", "initializer")
    assert known.models["lenet"] == ("initializer",)
    assert {"none", "unit", "standardize"} <= set(known.normalizations)
    assert {"mnist", "fashion_mnist", "digits"} <= set(known.datasets)


def test_a_part_is_known_by_its_name_summary_and_options():
    registry = Registry("thing")

    @registry.register("first")
    def first(size: int, *, colour: str = "red") -> None:
        """A thing.

        And more about it.
        """

    part = registry["first"]
    assert (part.name, part.function, part.summary) == ("first", first, "A thing.")
    assert part.options == ("colour",)
    assert "first" in registry
    assert "second" not in registry
    assert [p.name for p in registry] == ["first"]


def test_a_name_is_taken_once():
    registry = Registry("thing")
    registry.register("first")(len)
    registry.register("first")(len)
    with pytest.raises(ValueError, match='thing "first": already registered'):
        registry.register("first")(max)


def test_each_parameter_goes_to_the_part_that_takes_it(sweep_file, parts):
    sweep = load_sweep(
        sweep_file, parts, ["model.name=mlp", "model.options={ units = 8, layers = 1 }"]
    )
    params = {
        "normalization": "none", "optimizer": "sgd", "learning_rate": 0.1, "epochs": 3,
        "momentum": 0.9, "units": 16, "batch_size": 32,
    }  # fmt: skip
    key = DataKey("digits", "d", 0.2)
    trial = resolve_trial(sweep, key, "none", params, number=4, slot=2)
    assert (trial.number, trial.slot, trial.arm, trial.normalization) == (4, 2, "none", "none")
    assert (trial.learning_rate, trial.epochs, trial.batch_size) == (0.1, 3, 32)
    assert trial.optimizer_options == {"momentum": 0.9}
    assert trial.model_options == {"units": 16, "layers": 1}
    assert trial.params == params
