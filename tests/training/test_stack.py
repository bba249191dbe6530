"""Trials that are trained together as one JAX program, in a worker as a study has it."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsweep.executors.processes import Processes
from normsweep.executors.protocol import WorkerOptions
from normsweep.parts import datasets
from normsweep.parts.dataset import Dataset
from normsweep.sweep.trial import CONFIRM, SEARCH, DataKey, Epoch, Result, Status, Trial, phase_of
from normsweep.training.engine import Finished
from normsweep.training.keras_engine import KerasEngine
from normsweep.training.snapshot import CheckpointPolicy, Snapshot

pytestmark = pytest.mark.system

WIDTH = 4
OPTIMIZERS: Sequence[tuple[str, dict[str, Any]]] = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.9, "nesterov": True}),
    ("rmsprop", {}),
    ("adam", {}),
    ("adamw", {"weight_decay": 0.01}),
]


@pytest.fixture(scope="module")
def key(digits_root: Path) -> DataKey:
    """200 of the digits, 160 of them to train on, in five batches."""
    return DataKey("digits", datasets.load("digits").subset(200, seed=0).save(digits_root), 0.2)


@pytest.fixture(scope="module")
def make_worker(
    digits_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Processes]]:
    """Makes workers, which compile each program once between them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "jax")
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
        made: list[Processes] = []

        def make(stack: int, **options: Any) -> Processes:
            made.append(Processes(WorkerOptions(digits_root, "cpu", 1, stack=stack, **options)))
            return made[-1]

        yield make
        for each in made:
            each.close()


@pytest.fixture(scope="module")
def stacked(make_worker) -> Processes:
    return make_worker(WIDTH)


@pytest.fixture
def unused(stacked) -> Iterator[Processes]:
    """The worker of `stacked` without stacks, as if it were a new one; and so it is left behind."""
    stacked.call(_forget_stacks)
    yield stacked
    stacked.call(_forget_stacks)


@pytest.fixture(scope="module")
def alone(make_worker) -> Processes:
    return make_worker(1)


@pytest.fixture(scope="module")
def pair(make_worker) -> Processes:
    return make_worker(2)


@pytest.fixture
def of(key: DataKey) -> Callable[..., Trial]:
    numbers = itertools.count(100)

    def make(**fields: Any) -> Trial:
        options = {"units": 8} if fields.get("model", "mlp") == "mlp" else {}
        known: dict[str, Any] = {
            "arm": "unit", "slot": 0, "seed": 3, "data": key, "model": "mlp",
            "model_options": options, "normalization": "unit", "optimizer": "adam",
            "optimizer_options": {}, "learning_rate": 0.01, "batch_size": 32, "epochs": 3,
        }  # fmt: skip
        return Trial(number=next(numbers), **{**known, **fields})

    return make


def trained(
    executor: Processes,
    trials: Sequence[Trial],
    policy: CheckpointPolicy | None = None,
    starts: Sequence[Snapshot | None] = (),
    snapshots: dict[int, Snapshot] | None = None,
) -> list[Finished]:
    """The ends of trials that are submitted together, in their order."""
    for trial, start in itertools.zip_longest(trials, starts):
        executor.submit(trial, policy or CheckpointPolicy.last(), start)
    ends: dict[int, Finished] = {}
    deadline = time.monotonic() + 300
    while len(ends) < len(trials):
        assert time.monotonic() < deadline
        for event in executor.poll(1.0):
            if isinstance(event, Finished):
                ends[event.result.trial] = event
            elif isinstance(event, Epoch):
                executor.reply(event.trial, True)
            elif snapshots is not None:
                snapshots[event.so_far.trial] = event
    return [ends[trial.number] for trial in trials]


def curve(end: Finished) -> list[tuple[float, ...]]:
    assert end.result.status in (Status.COMPLETE, Status.DIVERGED), end.result.error
    return [(e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy) for e in end.result.curve]


def assert_same(one: Finished, other: Finished) -> None:
    """Equal bits of losses, accuracies, weights and the optimizer's variables."""
    np.testing.assert_array_equal(curve(one), curve(other))  # of a regression, NaN is an accuracy
    assert one.state is not None
    assert other.state is not None
    pairs = [(one.state.model, other.state.model), (one.state.optimizer, other.state.optimizer)]
    for mine, theirs in pairs:
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("model", ["mlp", "lenet"])
def test_a_trial_is_the_same_beside_others_and_at_another_place(stacked, of, model):
    trial = of(model=model)
    first, *_ = trained(
        stacked,
        [
            trial,
            of(model=model, normalization="none", seed=1),
            of(model=model, normalization="standardize", learning_rate=0.1),
        ],
    )
    assert first.result.machine["stack"] == str(WIDTH)
    assert first.result.loop == "stack"
    others = [of(model=model, seed=seed, learning_rate=1e-4) for seed in (7, 8)]
    *_, second = trained(stacked, [*others, replace(trial, number=1)])
    assert_same(first, second)
    (third,) = trained(stacked, [replace(trial, number=2)])
    assert_same(first, third)


@pytest.mark.parametrize(("optimizer", "options"), OPTIMIZERS, ids=str)
def test_it_trains_as_it_would_by_itself(stacked, alone, of, optimizer, options):
    trials = [
        of(
            optimizer=optimizer,
            optimizer_options=options,
            learning_rate=rate,
            normalization=scheme,
            seed=seed,
        )
        for rate, scheme, seed in [(0.01, "unit", 3), (1e-4, "none", 5)]
    ]
    for one, other in zip(trained(stacked, trials), trained(alone, trials), strict=True):
        np.testing.assert_allclose(curve(one)[0], curve(other)[0], rtol=2e-5)
        np.testing.assert_allclose(curve(one), curve(other), rtol=0.02)
        assert other.result.machine.keys() == one.result.machine.keys() - {"stack"}


@pytest.mark.parametrize(
    "fields",
    [
        {"normalization": "l2"},
        {"normalization": "batch_norm"},
        {"normalization": "pixel_standardize"},
        {
            "normalization": "unit", "input_scale": 0.5, "input_shift": 0.25, "clip": 0.1,
            "loss_options": {"label_smoothing": 0.1}, "schedule": "cosine", "of_length": True,
        },
        {"input_rate": 0.5, "input_weights": 2.0, "metric": "log_loss", "batch_size": 50},
        {"patience": 1, "epochs": 6, "learning_rate": 0.3},
        {"phase": CONFIRM, "slot": 0},
        {"phase": CONFIRM, "slot": 0, "metric": "log_loss", "seed": 11},
    ],
    ids=str,
)  # fmt: skip
def test_every_kind_of_trial_trains_as_it_would_by_itself(stacked, alone, of, fields):
    trial = of(**fields)
    one, _ = trained(stacked, [trial, of(**{**fields, "seed": 9})])
    (other,) = trained(alone, [trial])
    assert one.result.loop == "stack"
    np.testing.assert_allclose(curve(one)[0], curve(other)[0], rtol=1e-4)
    assert len(curve(one)) == len(curve(other))
    for mine, theirs in zip(one.result.curve, other.result.curve, strict=True):
        assert (mine.score is None) == (theirs.score is None)
        assert (mine.tested is None) == (theirs.tested is None)
        if mine.tested is not None and theirs.tested is not None:
            assert mine.tested.images == theirs.tested.images
            assert mine.tested.value == pytest.approx(theirs.tested.value, abs=0.02)
    assert repr(one.result.guessing) == repr(other.result.guessing)  # with NaN
    assert one.state is not None
    assert other.state is not None
    kept = (end.best or end.model for end in (one.state, other.state))
    for a, b in zip(*kept, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)


@pytest.fixture(scope="module")
def numbers(digits_root: Path) -> DataKey:
    """A table of 200 rows with a target, 160 of them to train on."""
    draw = np.random.default_rng(0)
    x = draw.normal(5, 2, size=(250, 6)).astype(np.float32)
    y = 1000 + x @ draw.normal(size=(6, 2)) + draw.normal(size=(250, 2))
    data = Dataset.of((x[:200], y[:200], x[200:], y[200:]), name="numbers", task="regression")
    return DataKey("numbers", data.save(digits_root), 0.2)


@pytest.mark.parametrize(
    "fields",
    [
        {"normalization": "batch_norm"},
        {"normalization": "l2"},
        {"target": "standardize"},
        {"target": "minmax"},
        {"target": "raw"},
    ],
    ids=str,
)
def test_seeds_of_a_confirmation_share_a_stack(unused, alone, of, numbers, fields):
    if "target" in fields:
        fields = {**fields, "data": numbers, "loss": "mse", "metric": "mae"}
    trials = [of(**{"phase": CONFIRM, "seed": seed, **fields}) for seed in (21, 22, 23)]
    together = trained(unused, trials)
    assert unused.call(_number_of_stacks) == 1
    for one, other in zip(together, trained(alone, trials), strict=True):
        assert one.result.loop == "stack"
        np.testing.assert_allclose(curve(one)[0], curve(other)[0], rtol=1e-4)
        mine, theirs = one.result.curve[-1].tested, other.result.curve[-1].tested
        assert mine.value == pytest.approx(theirs.value, rel=0.02, abs=0.02)
    first, _ = trained(unused, [replace(trials[0], number=1), of(**fields, phase=CONFIRM, seed=5)])
    assert_same(first, together[0])


def test_seeds_of_a_confirmation_whose_images_are_their_own_are_trained_one_by_one(
    stacked, alone, of
):
    """A stack of the search's trials has one seed, and so the same images; so has one of its repeats."""
    fields = {"normalization": "zca", "epochs": 2}
    repeat = of(**fields, learning_rate=0.1, phase=phase_of(SEARCH, 2))
    search = trained(stacked, [of(**fields), repeat])
    assert {end.result.loop for end in search} == {"stack"}
    trials = [of(**fields, phase=CONFIRM, seed=seed) for seed in (21, 22)]
    for one, other in zip(trained(stacked, trials), trained(alone, trials), strict=True):
        assert "stack" not in one.result.machine
        assert_same(one, other)


def test_the_validation_loss_has_the_regularization_of_the_weights_whatever_the_metric(
    stacked, alone, of
):
    trials = [of(model="test_regularized", metric=by, epochs=1) for by in ("accuracy", "log_loss")]
    losses = []
    for executor in (stacked, alone):
        executor.call(_register_regularized)
        losses += [end.result.curve[-1].val_loss for end in trained(executor, trials)]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
    assert losses[0] > 2 * np.log(10), "more than the loss of a guess"


def test_one_that_diverges_costs_its_neighbours_nothing(stacked, of):
    trial = of()
    (calm,) = trained(stacked, [trial])
    same, wild, *_ = trained(
        stacked,
        [replace(trial, number=1), of(normalization="none", learning_rate=1e38), of(seed=1)],
    )
    assert wild.result.status is Status.DIVERGED
    assert len(wild.result.curve) == 1
    assert_same(calm, same)


def test_its_place_is_free_at_the_next_epoch(make_worker, pair, of):
    executor = make_worker(2, awaits_reply=True)
    trials = [of(epochs=20), of(epochs=20, seed=1), of(epochs=2, seed=2)]
    for trial in trials:
        executor.submit(trial, CheckpointPolicy.last())
    assert not executor.free
    course: list[tuple[int, int]] = []
    ends: dict[int, Finished] = {}
    while len(ends) < 3:
        for event in executor.poll(1.0):
            if isinstance(event, Epoch):
                course.append((trials[0].number - event.trial, event.epoch))
                executor.reply(
                    event.trial, not (event.trial == trials[0].number and event.epoch == 2)
                )
            elif isinstance(event, Finished):
                ends[event.result.trial] = event
    assert ends[trials[0].number].result.status is Status.PRUNED
    assert len(ends[trials[0].number].result.curve) == 2
    assert course.index((-2, 1)) < course.index((-1, 20)), "it began before its neighbour ended"
    (again,) = trained(pair, [replace(trials[2], number=0)])
    assert_same(ends[trials[2].number], again)


def test_its_place_is_free_if_it_is_closed(stacked, of):
    assert stacked.call(_closed, of())


def test_it_resumes_bit_by_bit_at_the_same_width_only(stacked, pair, of):
    trial = of(epochs=4)
    snapshots: dict[int, Snapshot] = {}
    policy = CheckpointPolicy(final=float("-inf"), every=1e-9)
    whole, _ = trained(stacked, [trial, of(epochs=4, seed=1)], policy, (), snapshots)
    start = snapshots[trial.number]
    assert 1 <= start.epoch < 4
    resumed, _ = trained(stacked, [replace(trial, number=1), of(seed=2)], None, [start])
    assert resumed.result.reused == start.epoch
    assert_same(whole, resumed)
    (wider,) = trained(pair, [replace(trial, number=2)], None, [start])
    assert wider.result.reused == 0, "another width has bits of its own"


def test_what_cannot_be_stacked_is_trained_by_itself_beside_the_others(
    make_worker, stacked, alone, of
):
    steps, other = of(steps_per_epoch=3), of()
    executor = make_worker(WIDTH, awaits_reply=True)
    one, two, three = trained(executor, [steps, replace(steps, number=1), other])
    (known,) = trained(alone, [replace(steps, number=2)])
    assert "stack" not in one.result.machine
    assert three.result.machine["stack"] == str(WIDTH)
    assert_same(one, known)
    assert_same(two, known)
    (also_known,) = trained(stacked, [replace(other, number=3)])
    assert_same(three, also_known)
    for seed in (21, 22, 23):
        executor.submit(of(normalization="zca", epochs=1, phase=CONFIRM, seed=seed))
    ends: list[Finished] = []
    while len(ends) < 3:
        for event in executor.poll(1.0):
            if isinstance(event, Epoch):
                held = [job.trial.number for _, job in executor._busy()]
                assert held == [event.trial], "the others may be trained by other workers"
                executor.reply(event.trial, True)
            elif isinstance(event, Finished):
                ends.append(event)
    assert {end.result.status for end in ends} == {Status.COMPLETE}


def test_a_lost_worker_is_the_fault_of_nobody_until_they_are_tried_one_by_one(make_worker, of):
    executor = make_worker(WIDTH, awaits_reply=True)
    trials = [of(), of(seed=1), of(seed=2)]
    for trial in trials:
        executor.submit(trial)
    while not any(isinstance(event, Epoch) for event in executor.poll(1.0)):
        pass
    os.kill(executor.call(_pid), signal.SIGKILL)
    ends = _ends(executor, 3)
    assert {end.status for end in ends} == {Status.INTERRUPTED}
    assert all("its worker was lost with 3 trials: killed by SIGKILL" in end.error for end in ends)
    for trial in trials[:2]:
        executor.submit(trial)
    together: list[set[int]] = []
    done: list[Result] = []
    while len(done) < 2:
        for event in executor.poll(1.0):
            together.append({job.trial.number for _, job in executor._busy()})
            if isinstance(event, Epoch):
                executor.reply(event.trial, True)
            elif isinstance(event, Finished):
                done.append(event.result)
    assert {end.status for end in done} == {Status.COMPLETE}
    assert all(len(numbers) <= 1 for numbers in together)


def test_a_stack_takes_no_more_memory_than_there_is(unused, pair, of):
    unused.call(_with_memory, 1.0)
    one, two = trained(unused, [of(), of(seed=1)])
    unused.call(_with_memory, float("inf"))
    assert {one.result.machine["stack"], two.result.machine["stack"]} == {"2"}
    (known,) = trained(pair, [of()])
    assert_same(one, known)


def test_the_memory_of_a_stack_is_that_of_its_largest_pass_and_its_images_are_there_once(
    stacked, of
):
    """The validation takes up to 512 images at a time."""
    used, training, once = stacked.call(_made_alone, of(batch_size=1))
    assert used > training
    assert once


@pytest.mark.parametrize(
    ("where", "before", "widths"),
    [
        ("_advance", 0, [None] * 3),
        ("test", 0, [None] * 3),
        ("_with", 1, [str(WIDTH), None, "2"]),
    ],
)
def test_out_of_memory_halves_the_stack_and_goes_on(unused, pair, of, where, before, widths):
    """In the training, in the test pass of a confirmation, and where a trial joins another one.

    `before`: the number of times that there is room; `widths`: the stacks of those that are trained nevertheless.
    """
    unused.call(_out_of_memory_once, where, before)
    trials = [of(phase=CONFIRM, seed=seed) for seed in (3, 1, 2)]
    ends = trained(unused, trials)
    for end, width in zip(ends, widths, strict=True):
        if width is None:
            assert end.result.status is Status.INTERRUPTED
            assert end.result.error == f"out of memory in a stack of {WIDTH}"
        else:
            assert end.result.status is Status.COMPLETE
            assert end.result.machine["stack"] == width
    ends = trained(unused, [replace(trial, number=n) for n, trial in enumerate(trials)])
    assert {end.result.machine["stack"] for end in ends} == {"2"}
    (known, _) = trained(pair, [replace(trials[0], number=9), of(phase=CONFIRM, seed=4)])
    assert_same(ends[0], known)


def test_an_accident_in_a_stack_is_told_by_its_trials(unused, of):
    unused.call(_accident_once)
    for end in trained(unused, [of(), of(seed=1)]):
        assert end.result.status is Status.CRASHED
        assert "an accident in a stack" in end.result.error
    (after,) = trained(unused, [of()])
    assert after.result.status is Status.COMPLETE


def test_the_program_has_one_batched_product_a_layer_and_pass(stacked, of):
    trained(stacked, [of(model="lenet", epochs=1)])
    text = stacked.call(_program, "lenet")
    operations = re.findall(r"= (\S+) ([a-z-]+)\(", text)
    names = [name for _, name in operations]
    assert "convolution" not in names
    products = [shape for shape, name in operations if name == "dot"]
    # Two convolutions and two dense layers, forward and both gradients, but none of the images.
    assert len(products) == 11
    assert all(shape.startswith(f"f32[{WIDTH},") for shape in products)
    assert not [shape for shape, name in operations if name == "copy" and shape.startswith("u8[")]
    assert re.search(r"u8\[\d+,\d+,\d+,\d+,\d+\]", text), "the images are bytes on the device"


CONVOLUTIONS: Sequence[tuple[Any, ...]] = [
    ((4, 9, 8, 6), (3, 2, 6, 2), (2, 3), [(2, 1), (0, 3)], (2, 1), (1, 2), ("NHWC", "HWIO", "NHWC")),
    ((2, 5, 6, 7, 3), (2, 3, 2, 3, 4), (1, 2, 1), "SAME", (1,) * 3, (1,) * 3, ("NDHWC", "DHWIO", "NDHWC")),
    ((4, 9, 8, 3), (3, 3, 3, 5), (1, 1), "SAME", (1, 1), (1, 1), ("NHWC", "HWIO", "NHWC")),
    ((4, 9, 8, 6), (3, 2, 6, 2), (2, 1), "VALID", (1, 1), (2, 1), ("NHWC", "HWIO", "NHWC")),
    ((4, 9, 8, 2), (3, 2, 2, 6), (2, 3), [(-1, 1), (0, 3)], (2, 1), (1, 2), ("NHWC", "HWIO", "NHWC")),
    ((4, 3, 9, 8), (5, 3, 3, 2), (2, 2), "SAME", (1, 1), (1, 1), ("NCHW", "OIHW", "NCHW")),
    ((4, 9, 3), (4, 3, 5), (2,), "SAME", (1,), (1,), ("NWC", "WIO", "NWC")),
    ((2, 5, 5, 3), (5, 5, 3, 4), (1, 1), "VALID", (1, 1), (1, 1), ("NHWC", "HWIO", "NHWC")),
]  # fmt: skip


@pytest.mark.parametrize(
    "how",
    [
        *CONVOLUTIONS[:2],
        *(pytest.param(each, marks=pytest.mark.slow) for each in CONVOLUTIONS[2:]),
    ],
    ids=str,
)
def test_convolutions_as_products_are_those_of_jax_with_their_gradients(how):
    import jax
    import jax.numpy as jnp

    from normsweep.training.patches import convolutions_as_products

    shape, kernel, strides, padding, of_inputs, of_kernels, numbers = how
    draw = np.random.default_rng(0)
    x, w = (jnp.asarray(draw.normal(size=(3, *s)), jnp.float32) for s in (shape, kernel))

    def convolved(x: Any, w: Any) -> Any:
        return jax.lax.conv_general_dilated(
            x, w, strides, padding, of_inputs, of_kernels, dimension_numbers=numbers
        )

    def total(x: Any, w: Any) -> Any:
        return jnp.sin(convolved(x, w)).sum()

    gradients = jax.grad(total, argnums=(0, 1))
    with convolutions_as_products():
        text = jax.jit(jax.vmap(gradients)).lower(x, w).as_text()
        got = jax.vmap(convolved)(x, w), *jax.vmap(gradients)(x, w)
    assert "convolution" not in text
    want = zip(
        *[(convolved(a, b), *gradients(a, b)) for a, b in zip(x, w, strict=True)], strict=True
    )
    for one, others in zip(got, want, strict=True):
        np.testing.assert_allclose(one, jnp.stack(others), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(("features", "outputs"), [(24, 8), (8, 24)])
def test_convolutions_as_products_are_as_exact_in_bfloat16_as_those_of_jax(features, outputs):
    import jax
    import jax.numpy as jnp

    from normsweep.training.patches import convolutions_as_products

    draw = np.random.default_rng(0)
    shapes = (2, 2, 8, 8, features), (2, 5, 5, features, outputs)
    x, w = (jnp.asarray(draw.normal(size=shape), jnp.bfloat16) for shape in shapes)

    def convolved(x: Any, w: Any) -> Any:
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=numbers)

    def error(found: Any) -> float:
        return float(np.linalg.norm(found.astype(jnp.float32) - exact) / np.linalg.norm(exact))

    exact, alone = (
        jnp.stack([convolved(a.astype(kind), b.astype(kind)) for a, b in zip(x, w, strict=True)])
        for kind in (jnp.float32, jnp.bfloat16)
    )
    with convolutions_as_products():
        stacked = jax.vmap(convolved)(x, w)
    assert stacked.dtype == jnp.bfloat16
    assert error(stacked) < 1.05 * error(alone)


def test_grouped_convolutions_stay_those_of_jax():
    import jax
    import jax.numpy as jnp

    from normsweep.training.patches import convolutions_as_products

    draw = np.random.default_rng(0)
    x = jnp.asarray(draw.normal(size=(3, 2, 6, 6, 4)), jnp.float32)
    w = jnp.asarray(draw.normal(size=(3, 3, 3, 1, 4)), jnp.float32)

    def depthwise(x: Any, w: Any) -> Any:
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=4
        )

    with convolutions_as_products():
        got = jax.vmap(depthwise)(x, w)
    want = jnp.stack([depthwise(a, b) for a, b in zip(x, w, strict=True)])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def _ends(executor: Processes, count: int) -> list[Result]:
    ends: list[Result] = []
    while len(ends) < count:
        ends += [e.result for e in executor.poll(1.0) if isinstance(e, Finished)]
    return ends


def _forget_stacks(engine: KerasEngine) -> None:
    assert engine._stacks is not None
    engine._stacks._stacks.clear()
    engine._stacks._most.clear()


def _number_of_stacks(engine: KerasEngine) -> int:
    assert engine._stacks is not None
    return sum(map(len, engine._stacks._stacks.values()))


def _closed(engine: KerasEngine, trial: Trial) -> bool:
    """Whether a trial that waits in a stack, and is closed there, leaves all stacks empty."""
    training = engine.train(trial)
    assert next(training) is None
    training.close()
    assert engine._stacks is not None
    return all(stack.empty for stacks in engine._stacks._stacks.values() for stack in stacks)


def _made_alone(engine: KerasEngine, trial: Trial) -> tuple[int, int, bool]:
    """Of a stack whose worker gives up all that is not used: its bytes, those of its training, whether it has its images."""
    from normsweep.training import stack

    inputs, stacks = engine.inputs_of(trial), stack.Stacks(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, "KEPT", 0)
        stacks.width(trial, engine.compiled(trial, inputs), inputs, engine.dataset(trial.data))
    ((made,),) = stacks._stacks.values()
    used, kept = made.program.memory_analysis(), {id(each) for each in stacks._arrays.values()}
    once = {id(made.material.x), id(made.material.y), id(made.material.x_test)} == kept
    return made.bytes, used.argument_size_in_bytes + used.temp_size_in_bytes, once


def _pid(engine: KerasEngine) -> int:
    return os.getpid()


def _with_memory(engine: KerasEngine, size: float) -> None:
    """The device has so many bytes."""
    from normsweep.training import stack

    stack._memory = lambda: size


def _out_of_memory_once(engine: KerasEngine, where: str, before: int) -> None:
    """The device refuses it after so many times, as one with a GPU would: a CPU's memory is not limited."""
    import jax

    error = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating bytes.")
    _fails_once(error, where, before)


def _register_regularized(engine: KerasEngine) -> None:
    import keras

    from normsweep.parts import models

    @models.register("test_regularized")
    def regularized(input_shape: tuple[int, ...], classes: int) -> Any:
        layer = {"activation": "softmax", "kernel_regularizer": keras.regularizers.L2(1.0)}
        layers = [keras.layers.Flatten(), keras.layers.Dense(classes, **layer)]
        return keras.Sequential([keras.Input(input_shape), *layers])


def _accident_once(engine: KerasEngine) -> None:
    _fails_once(ValueError("an accident in a stack"), "_advance")


def _fails_once(error: Exception, where: str, before: int = 0) -> None:
    from normsweep.training.stack import Stack

    method, times = getattr(Stack, where), itertools.count()

    def failing(self: Stack, *args: Any) -> Any:
        if next(times) < before:
            return method(self, *args)
        setattr(Stack, where, method)
        with self._failing() if where == "test" else contextlib.nullcontext():
            raise error

    setattr(Stack, where, failing)


def _program(engine: KerasEngine, model: str) -> str:
    """The training's compiled program of the stack with this network."""
    assert engine._stacks is not None
    for key, stacks in engine._stacks._stacks.items():
        if model in str(key):
            return stacks[0].program.as_text()
    raise AssertionError("there is no such stack")
