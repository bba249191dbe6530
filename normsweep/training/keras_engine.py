"""`KerasEngine`: trains networks with Keras; caches data, preprocessing and compiled models."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from normsweep.errors import DataError, SweepError
from normsweep.parts import losses, models, optimizers
from normsweep.parts.dataset import Dataset, InputFacts
from normsweep.parts.metrics import at_guessing, metric
from normsweep.sweep.inspection import Inspection
from normsweep.sweep.parameters import MATCHED
from normsweep.sweep.trial import SEARCH, DataKey, Epoch, Guessing, Result, Status, Trial, kind_of
from normsweep.training.callbacks import (
    BatchByBatch,
    build_callback,
    called,
    has_batch_hooks,
)
from normsweep.training.compiled_epoch import EpochLoop
from normsweep.training.compiled_network import (
    CompiledModel,
    Initial,
    as_built,
    assemble,
    compile_key,
    compile_model,
    initial_weights,
    model_digest,
    network_key,
    own_steps,
    schedule_factors,
)
from normsweep.training.engine import Engine, Run
from normsweep.training.epochs import Alone, TestSet, batch_size, prepare_test, train_epochs
from normsweep.training.inspection import inspect
from normsweep.training.own_steps import FACTORS
from normsweep.training.precision import FLOAT32, automatic_precision
from normsweep.training.preflight import (
    Findings,
    PreflightRequest,
    equivalents,
    median_steps,
    try_callback,
    try_network,
    try_networks,
    try_optimizer,
    try_targets,
    without_information,
)
from normsweep.training.preprocessing import Inputs, fit_preprocessing, prepare, split
from normsweep.training.reproducibility import (
    Device,
    arrays_digest,
    backend,
    config_digest,
    limit_gpu_memory,
    machine,
    require,
)
from normsweep.training.snapshot import Best, ModelState, Snapshot
from normsweep.training.targets import targets_of

if TYPE_CHECKING:
    from normsweep.training.stack import Stacks

__all__ = ["KerasEngine", "network_digest"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
CACHED_INPUTS = 2**30
"""Bytes of normalized images in the cache."""

CACHED_MODELS = 12
CACHED_TESTS = 4
CACHED_RATIOS = 1000

ArmKey = tuple[DataKey, int, str, float, float]
"""Dataset, seed of the split, normalization, scale and shift of the inputs."""


class KerasEngine(Engine):
    """Trains trials with Keras, reusing data, preprocessing and compiled models between trials."""

    def __init__(self, data_root: Path) -> None:
        super().__init__(data_root)
        self._inputs: Cache[ArmKey, Inputs] = Cache(CACHED_INPUTS, lambda inputs: inputs.nbytes)
        self._models: Cache[tuple[object, ...], CompiledModel] = Cache(CACHED_MODELS)
        self._weights: Cache[tuple[object, ...], Initial] = Cache(CACHED_MODELS)
        self._tests: Cache[ArmKey, TestSet] = Cache(CACHED_TESTS)
        self._ratios: Cache[tuple[object, ...], float] = Cache(CACHED_RATIOS)
        self._alike: Cache[tuple[object, ...], bool] = Cache(CACHED_RATIOS)

    def warm(self) -> None:
        """Import the backend, which takes seconds, before the first trial."""
        import keras  # noqa: F401

        limit_gpu_memory()

    def inputs_of(self, trial: Trial) -> Inputs:
        """The inputs of a trial's network."""
        return self.inputs(*_arm_key(trial))

    def inputs(
        self,
        data: DataKey,
        seed: int,
        normalization: str,
        scale: float = 1.0,
        shift: float = 0.0,
    ) -> Inputs:
        """The inputs of an arm's network, from the seed's split."""

        def make() -> Inputs:
            dataset = self.dataset(data)
            return prepare(dataset, data.validation_split, seed, normalization, scale, shift)

        return self._inputs.get((data, seed, normalization, scale, shift), make)

    def input_ratio(self, trial: Trial) -> float:
        """How many times larger the inputs of a trial's reference are than its own, apart from a shift.

        Raises:
            SweepError: there is no such number.
        """
        to = (trial.reference_normalization, trial.reference_scale)

        def make() -> float:
            dataset = self.dataset(trial.data)
            train = split(dataset, trial.data.validation_split, trial.seed).x_train
            own = (trial.normalization, trial.input_scale)
            slopes = [_slope(name, train, dataset.facts) * scale for name, scale in (own, to)]
            return slopes[1] / slopes[0]

        return self._ratios.get((*_arm_key(trial), *to), make)

    def compiled(self, trial: Trial, inputs: Inputs) -> CompiledModel:
        """The compiled model of a trial, reset to the trial's seed and learning rate."""
        key = compile_key(trial, inputs)
        compiled = self._models.get(key, lambda: compile_model(trial, inputs))
        settings, weights = self._settings(trial, inputs), self._initial(trial, inputs).weights
        compiled.reset(compiled.initial(weights, trial), trial.learning_rate, settings)
        return compiled

    def _initial(self, trial: Trial, inputs: Inputs) -> Initial:
        key = network_key(trial, inputs), trial.seed, trial.initial
        return self._weights.get(key, lambda: initial_weights(trial, inputs))

    def _identity(self, trial: Trial, compiled: CompiledModel, inputs: Inputs) -> dict[str, str]:
        """What determines the results besides the trial: the machine, and digests of what its names mean."""
        kept = self._initial(trial, inputs).digest
        width = ""
        if self._stacks and self.stackable(trial, compiled, inputs):
            width = str(self._stacks.width(trial, compiled, inputs, self.dataset(trial.data)))
        return {
            **machine(),
            **({"stack": width} if width else {}),
            "model_digest": compiled.digest,
            "normalization_digest": inputs.preprocessing.digest,
            "optimizer_digest": compiled.optimizer_digest,
            **({"initial_digest": kept} if kept else {}),
        }

    @functools.cached_property
    def _stacks(self) -> Stacks | None:
        """The stacks in which trials are trained; None if each is trained by itself."""
        if self.stack == 1:
            return None
        from normsweep.training.stack import Stacks

        return Stacks(self.stack, self.meter)

    def stackable(self, trial: Trial, compiled: CompiledModel, inputs: Inputs) -> bool:
        """Whether a trial can be trained in a stack: JAX has to trace its network.

        After the search, where seeds differ, others also need to have the same images on the device.
        """
        if trial.by_itself or compiled.loop(trial.batch_size).name != "step":
            return False
        return kind_of(trial.phase) == SEARCH or self._shared_by_seeds(trial, inputs)

    def _shared_by_seeds(self, trial: Trial, inputs: Inputs) -> bool:
        """Whether trials of other seeds can be trained on the same images: scaled by a scheme, or of no split."""

        def make() -> bool:
            if inputs.scheme is not None:
                return True
            dataset = self.dataset(trial.data)
            other = split(dataset, trial.data.validation_split, trial.seed + 1).x_train
            scheme = trial.normalization, other, trial.input_scale, trial.input_shift
            return fit_preprocessing(*scheme, dataset.facts).digest == inputs.preprocessing.digest

        data, _, *scheme = _arm_key(trial)
        return self._alike.get((data, *scheme), make)

    def advance(self) -> None:
        """Train an epoch of the trials in stacks."""
        if self._stacks is not None:
            self._stacks.advance()

    def _settings(self, trial: Trial, inputs: Inputs) -> dict[str, Any]:
        """The values of a trial that are variables of its optimizer."""
        settings: dict[str, Any] = {}
        steps = own_steps(trial, inputs)
        if steps.kind:
            settings[steps.kind] = self._kernel_setting(trial)
        if steps.factors:
            settings[FACTORS] = schedule_factors(trial, inputs)
        return {**optimizers.settings(trial.optimizer, trial.optimizer_options), **settings}

    def _kernel_setting(self, trial: Trial) -> Any:
        if trial.input_rate != MATCHED:
            return trial.input_rate
        ratio = self.input_ratio(trial)
        return ratio, 1 / ratio

    def deployable(self, trial: Trial, state: ModelState) -> tuple[Any, Dataset]:
        """The trained network with its preprocessing, for raw images of the dataset.

        Returns:
            A Keras model of built-in layers, and the dataset it was trained on.
        """
        import keras

        inputs = self.inputs_of(trial)
        model = assemble(trial, inputs)  # without the optimizer, which may be custom
        state.restore_network(model)
        data = self.dataset(trial.data)
        raw: Any = keras.Input(data.sample_shape, dtype=data.x_train.dtype.name, name="images")
        images = keras.layers.Reshape(data.input_shape, dtype=raw.dtype)(raw)
        fixed = inputs.preprocessing.fixed
        outputs = model(inputs.preprocessing.attach(images) if fixed else images)
        if scaling := targets_of(trial, inputs).scaling:
            outputs = scaling.attach(outputs)
        return keras.Model(raw, outputs, name=models.registry[trial.model].name), data

    def identity(self, trial: Trial) -> dict[str, str]:
        """What determines the results besides the trial itself: machine, versions, network."""
        inputs = self.inputs_of(trial)
        return self._identity(trial, self.compiled(trial, inputs), inputs)

    def start(self, trial: Trial, snapshot: Snapshot | None) -> Run:
        """Set up the compiled model in its initial state, or in the snapshot's if that is valid here."""
        inputs = self.inputs_of(trial)
        compiled = self.compiled(trial, inputs)
        callback = build_callback(trial)
        loop: EpochLoop = compiled.loop(batch_size(trial, inputs.split))
        if callback is not None and has_batch_hooks(callback):
            loop = BatchByBatch(compiled.model, callback, loop.measures)
        stacks = self._stacks if self.stackable(trial, compiled, inputs) else None
        test = self._test_set(trial, inputs) if trial.confirms else None
        targets, by = targets_of(trial, inputs), metric(trial.metric)
        result = Result(
            trial.number,
            Status.INTERRUPTED,
            chance=by.guessing(inputs.counts or inputs.split.y_train),
            machine=self._identity(trial, compiled, inputs),
            test_digest=test.digest if test else "",
            loop="stack" if stacks else loop.name,
            guessing=targets.guessing(inputs, by, test.y if test else None),
        )
        before: tuple[Epoch, ...] = ()
        resumes = snapshot is not None and can_resume(trial, snapshot.so_far, result)
        if not resumes or callback is not None:  # its state is not saved
            snapshot = None
        if snapshot is not None:
            compiled.resume(snapshot.state, self._settings(trial, inputs))
            before = tuple(replace(e, trial=trial.number) for e in snapshot.so_far.curve)
            result = replace(result, reused=len(before), origin=snapshot.so_far.trial)
        labels = inputs.split.y_val, test.y if test else None  # a stack's trials hold no images
        place = None
        if stacks is not None:
            place = stacks.join(trial, compiled, inputs, self.dataset(trial.data), len(before))
        passes = place or Alone(loop, trial, inputs.split, targets, test, self.check_time)
        rest = train_epochs(passes, trial, targets, *labels, len(before) + 1)
        if callback is not None:
            rest = called(rest, callback, compiled.model, trial)
        state = place.state if place else functools.partial(ModelState.of, compiled.model)
        if trial.patience is not None:
            best = Best(state, snapshot)
            state, rest = best.state, best.watch(rest)

        def look(last: Epoch) -> Inspection | None:
            if place or trial.patience is not None:
                state().restore_network(compiled.model)
            return self._inspect(trial, compiled.model, result.guessing, last)

        epochs = chain(before, place.epochs(rest) if place else rest)
        if place is None:
            return Run(epochs, result, state, look)
        return Run(epochs, result, state, look, place.leave, place.width)

    def _inspect(
        self, trial: Trial, model: Any, guessing: Guessing | None, last: Epoch
    ) -> Inspection | None:
        """Why a network is no better than guessing, if that can be measured."""
        inputs = self.inputs_of(trial)
        if not _guesses(trial, inputs, guessing, last):
            return None
        try:
            return inspect(trial, inputs, model, self.compiled, last.epoch)
        except Exception:  # the trial is complete, whatever a custom network does not allow
            return None

    def check_device(self, device: Device) -> dict[str, str]:
        """Check that the backend sees the device; returns device, threads and versions."""
        require(device)
        return dict(machine())

    def preflight(self, request: PreflightRequest) -> Findings:
        """Fit every normalization, build every network and optimizer once; time a step if requested."""
        trial = request.trials[0]
        dataset = self.dataset(trial.data)
        parts = split(dataset, trial.data.validation_split, trial.seed)
        require(request.device)
        _check_bits(dataset)
        fitted = {
            name: fit_preprocessing(name, parts.x_train, facts=dataset.facts)
            for name in request.normalizations
        }
        same = equivalents(fitted, parts.x_train)
        trained = [name for name, each in fitted.items() if not each.fixed]
        network = try_networks(request.trials, dataset, trained)
        for example in request.trials:
            try_callback(example)
            try_optimizer(example, parts.steps_of(example))
            try_targets(example, dataset, parts)
            if example.input_rate == MATCHED:
                self.input_ratio(example)
        automatic = self.automatic_precision()
        precisions = dict.fromkeys((trial.precision, automatic, FLOAT32))
        return Findings(
            same,
            {**machine(), "model_digest": model_digest(network)},
            network.count_params(),
            train_images=len(parts.y_train),
            val_images=len(parts.y_val),
            seconds=self.step_seconds(trial, precisions) if request.measure else {},
            automatic=automatic,
            empty=without_information(fitted, parts.x_train),
        )

    def automatic_precision(self) -> str:
        """bfloat16 if the GPU, or without one the processor, computes in it; float32 otherwise."""
        return automatic_precision()

    def step_seconds(self, trial: Trial, precisions: Iterable[str]) -> dict[str, float]:
        """Wall time in seconds of a training step in each precision, measured alternately."""
        inputs = self.inputs_of(trial)
        trials = {each: replace(trial, precision=each) for each in precisions}
        size = batch_size(trial, inputs.split)
        loops = {name: self.compiled(each, inputs).loop(size) for name, each in trials.items()}
        encoded = targets_of(trial, inputs).encoded(inputs.split.y_train)
        return median_steps(loops, replace(inputs.split, y_train=encoded), size)

    def _test_set(self, trial: Trial, inputs: Inputs) -> TestSet:
        """The test images of an arm; only used in the confirmation."""

        def make() -> TestSet:
            return prepare_test(self.dataset(trial.data), inputs.preprocessing)

        return self._tests.get(_arm_key(trial), make)


def _guesses(trial: Trial, inputs: Inputs, guessing: Guessing | None, last: Epoch) -> bool:
    """Whether a network is no better than guessing on the validation images."""
    if inputs.counts:
        share = max(inputs.counts) / sum(inputs.counts)
        return at_guessing(last.val_accuracy, len(inputs.split.y_val), share)
    return guessing is None or guessing.scores_no_better(last.value, metric(trial.metric).sign)


def _arm_key(trial: Trial) -> ArmKey:
    return trial.data, trial.seed, trial.normalization, trial.input_scale, trial.input_shift


def _slope(normalization: str, train: Any, facts: InputFacts) -> float:
    slope = fit_preprocessing(normalization, train, facts=facts).slope
    if slope is None:
        raise SweepError(
            f'input_rate: "matched" needs normalizations that multiply all inputs by one number; '
            f"{normalization} does not on this data"
        )
    return slope


def network_digest(engine: KerasEngine, trial: Trial) -> str:
    """SHA-256 of the configuration of a trial's network, and of the weights of a model object, hexadecimal.

    Raises:
        SweepError: the network cannot be built or is not valid.
    """
    data = engine.dataset(trial.data)
    digest = model_digest(try_network(trial, data))
    if not isinstance(models.registry[trial.model].function, models.Copies):
        return digest
    head = losses.head(trial.loss, data.classes, data.outputs)
    weights = as_built(trial, data.input_shape, head).get_weights()
    return config_digest([digest, arrays_digest(weights)])


def can_resume(trial: Trial, before: Result, now: Result) -> bool:
    """Whether a trial can resume from the curve of `before`, of the same lineage.

    It can if training it again here would give the same curve bit for bit.
    """
    if before.machine != now.machine:
        return False
    tested = all(epoch.tested for epoch in before.curve)
    return not trial.confirms or (tested and before.test_digest == now.test_digest)


def _check_bits(data: Dataset) -> None:
    """Check that the backend can hold the inputs: JAX has no integers of 64 bits.

    Raises:
        DataError: it would cut them.
    """
    wide = data.x_train.dtype.kind in "iu" and data.x_train.dtype.itemsize == 8
    if backend() == "jax" and wide and np.abs(data.x_train).max() > np.iinfo(np.int32).max:
        raise DataError(
            f"x_train: JAX has no integers of 64 bits, and values are up to {data.x_train.max():.6g}; "
            "convert them, x.astype('float32')"
        )


class Cache(Generic[K, V]):
    """A least recently used cache with a maximum total size."""

    def __init__(self, limit: int, size: Callable[[V], int] = lambda value: 1) -> None:
        """`size` returns the size of a value, by default 1; the latest value is always kept."""
        self._limit, self._size = limit, size
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of a key, created by `make` if it is not in the cache."""
        if key not in self._values:
            self._values[key] = make()
        self._values.move_to_end(key)
        while len(self._values) > 1 and sum(map(self._size, self._values.values())) > self._limit:
            self._values.popitem(last=False)
        return self._values[key]
