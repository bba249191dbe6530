"""What a GPU does for a study: `make gpu-check`, in order of worth and within a time limit.

After each step `build/gpu.json` holds what was measured so far; `python -m benchmarks.gpu_check --show` prints it as a
table. LeNet with batches of 128, in the worker processes of a study: on MNIST if NORMSWEEP_DATA is a folder with
mnist.npz, otherwise on the small digits dataset, which uses little of a GPU. The backend is set by KERAS_BACKEND;
stacks need jax. What the workers need beside JAX is in `WHEELS`. Exit status 2 if there is no GPU.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from benchmarks.trials import lenet_trial, saved, threads
from normsweep.errors import StudyStopped, SweepError
from normsweep.shell import command, run

if TYPE_CHECKING:
    from normsweep.executors.processes import Processes
    from normsweep.sweep.trial import Epoch, Result, Trial
    from normsweep.training.keras_engine import KerasEngine

app = command(
    "python -m benchmarks.gpu_check",
    "Measure training on a GPU: alone, in stacks and in parallel processes.",
)

WHEELS = (
    "absl-py", "annotated-types", "attrs", "cloudpickle", "cyclopts", "docstring-parser", "h5py",
    "joblib", "keras", "markdown-it-py", "mdurl", "namex", "narwhals", "optree", "packaging", "psutil",
    "pydantic", "pydantic-core", "pygments", "rich", "rich-rst", "scikit-learn",
    "threadpoolctl", "typing-extensions", "typing-inspection",
)  # fmt: skip
"""Packages that this check imports, beside JAX and what that brings."""

FLOP = 1.85e12 / 48_000
"""Operations of a training step of LeNet on MNIST, for each image: forward and both gradients."""
BYTES = 400e6 / 128
"""Bytes that a step reads and writes in float32, for each image: patches, activations, variables."""


@dataclass(frozen=True)
class Card:
    """What a GPU can do at most."""

    flops: float
    """In float32, per second."""
    bytes: float
    """Of memory, per second."""

    def epochs(self, images: int, half: bool) -> float:
        """Epochs of so many images per second at most; `half`: in bfloat16."""
        size = BYTES / 2 if half else BYTES
        limits = [self.bytes / (size * images)]
        if not half:  # tensor cores are far faster
            limits.append(self.flops / (FLOP * images))
        return min(limits)


CARDS = {"H200": Card(67e12, 4.8e12), "H100": Card(67e12, 3.35e12), "A100": Card(19.5e12, 1.94e12)}

Found = dict[str, Any]


@dataclass
class Check:
    """The measurements of a machine."""

    root: Path
    trial: Trial
    images: int
    """Training images of an epoch."""
    device: Literal["gpu", "cpu"]
    deadline: float
    """Monotonic time."""

    def sees(self) -> Found:
        """The device that the backend sees."""
        from normsweep.training.engine import check_device

        with self._workers() as executor:
            return executor.call(check_device, self.device)

    def alone(self) -> Found:
        """One trial by itself."""
        with self._workers() as executor:
            return self._rate(executor, [self.trial])

    def stack(self, width: int, precision: str) -> Found:
        """As many trials in a stack, with what the program says of its memory."""
        trials = _varied(replace(self.trial, precision=precision), width)
        with self._workers(stack=width) as executor:
            found = self._rate(executor, trials)
            return {**found, **executor.call(_stack_facts), **self._share(found, precision)}

    def neighbours(self, width: int) -> Found:
        """Whether a trial has the same bits beside other trials and at another place."""
        short = replace(self.trial, epochs=2)
        with self._workers(stack=width) as executor:
            first, *_ = self._train(executor, [short, *_varied(short, width)[1:]])
            others = [replace(t, seed=t.seed + 1000) for t in _varied(short, width)[1:]]
            *_, second = self._train(executor, [*others, replace(short, number=width + 1)])
        return {"same": _figures(first) == _figures(second)}

    def study(self, width: int) -> Found:
        """The trainings of `sweeps/mnist.toml`: search, selection round, and confirmation on five seeds."""
        epochs = self.trial.epochs if self.device == "cpu" else 12
        trials = list(_of_study(replace(self.trial, epochs=epochs)))
        began = time.perf_counter()
        with self._workers(stack=width) as executor:
            results = self._train(executor, trials)
        seconds = time.perf_counter() - began
        done = sum(len(result.curve) for result in results)
        return {"trials": len(trials), "epochs": done, "seconds": seconds, "rate": done / seconds}

    def processes(self, count: int) -> Found:
        """As many trials in processes of their own, which share the device."""
        with self._workers(count) as executor:
            self._train(executor, _varied(replace(self.trial, epochs=1), count))
            return self._rate(executor, _varied(self.trial, count))

    def tf32(self, width: int) -> Found:
        """A stack with products in TF32, which has to be asked for."""
        with _environment(JAX_DEFAULT_MATMUL_PRECISION="tensorfloat32"):
            return self.stack(width, "float32")

    def _workers(self, count: int = 1, stack: int = 1) -> closing[Processes]:
        from normsweep.executors.processes import Processes
        from normsweep.executors.protocol import WorkerOptions

        options = WorkerOptions(self.root, self.device, max(1, threads() // count), stack=stack)
        return closing(Processes(options, count))

    def _train(self, executor: Processes, trials: Sequence[Trial]) -> list[Result]:
        """Train trials as a study would; their results in the order of their numbers."""
        from normsweep.training.engine import Finished

        waiting = list(trials)
        results: dict[int, Result] = {}
        while len(results) < len(trials):
            while waiting and executor.free:
                executor.submit(waiting.pop(0))
            if time.monotonic() > self.deadline:
                raise StudyStopped("out of time")
            for event in executor.poll(1.0):
                if isinstance(event, Finished):
                    results[event.result.trial] = event.result
        for result in results.values():
            if result.status not in ("complete", "diverged"):
                raise StudyStopped(f"a trial ended as {result.status}: {result.error}")
        return [results[trial.number] for trial in trials]

    def _rate(self, executor: Processes, trials: Sequence[Trial]) -> Found:
        """Epochs of all trials per second, and how much longer the first one took: compilation."""
        results = self._train(executor, trials)
        later = [statistics.median(_seconds(result.curve[1:])) for result in results]
        first = max(_seconds(result.curve[:1])[0] for result in results)
        rate = sum(1 / seconds for seconds in later)
        if executor.call(_is_stacked):
            rate = len(trials) / statistics.median(later)
        return {"rate": rate, "first_epoch": first, "later_epochs": statistics.median(later)}

    def _share(self, found: Found, precision: str) -> Found:
        """The share of what the device could do at most, where that is known."""
        from normsweep.training.engine import check_device

        with self._workers() as executor:
            kind = executor.call(check_device, self.device)["device"]
        card = next((card for name, card in CARDS.items() if name in kind), None)
        if card is None:
            return {}
        roof = card.epochs(self.images, half="16" in precision)
        return {"roof": roof, "share": found["rate"] / roof}


@app.default
def gpu_check(
    *,
    device: Annotated[Literal["gpu", "cpu"], Parameter(help="Where the trials run.")] = "gpu",
    minutes: Annotated[float, Parameter(help="No step begins after this time.")] = 9.0,
    epochs: Annotated[int, Parameter(help="Epochs of each trial, at least 2.")] = 4,
    widths: Annotated[
        tuple[int, ...], Parameter(consume_multiple=True, help="Widths of the stacks.")
    ] = (16, 64, 256),
    images: Annotated[int | None, Parameter(help="Number of images; default: all.")] = None,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("build/gpu.json"),
    show: Annotated[bool, Parameter(negative=(), help="Print what a file holds.")] = False,
    wheels: Annotated[
        bool, Parameter(negative=(), help="Print the packages that the check needs beside JAX.")
    ] = False,
) -> int:
    """Measure one step after another, and write what was found after each."""
    if wheels:
        print("\n".join(f"{name}=={version(name)}" for name in WHEELS))
        return 0
    if show:
        return _show(json.loads(output.read_text()))
    if epochs < 2:
        raise SweepError(
            f"--epochs: must be at least 2, as the first epoch is excluded, got {epochs}"
        )
    from normsweep.parts import datasets

    folder = os.environ.get("NORMSWEEP_DATA")
    dataset = datasets.load("mnist", Path(folder)) if folder else datasets.load("digits")
    if images is not None:
        dataset = dataset.subset(images, seed=0)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        trial = lenet_trial(saved(dataset, Path(work)), epochs)
        trained = round(len(dataset.y_train) * (1 - trial.data.validation_split))
        check = Check(Path(work), trial, trained, device, began + 60 * minutes)
        found: dict[str, Found] = {}
        for name, step in _steps(check, widths):
            if time.monotonic() > check.deadline:
                break
            found[name] = _tried(step)
            print(name, json.dumps(found[name]), flush=True)
            about = {"data": dataset.name, "images": trained, "seconds": time.monotonic() - began}
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps({**about, "steps": found}, indent=1) + "\n")
            if name == "sees" and "error" in found[name]:
                return 2
    return 0


def _steps(check: Check, widths: Sequence[int]) -> Iterator[tuple[str, Callable[[], Found]]]:
    """The steps by name, the most important ones first."""
    stacks = os.environ.get("KERAS_BACKEND") == "jax"
    widest = max(widths)
    yield "sees", check.sees
    yield "alone", check.alone
    if stacks:
        for width in widths:
            for precision in ("float32", "mixed_bfloat16"):
                yield (
                    f"stack of {width}, {precision}",
                    lambda w=width, p=precision: check.stack(w, p),
                )
        yield "neighbours", lambda: check.neighbours(min(widths))
        yield "study", lambda: check.study(min(widest, 64))
    for count in (4, 16):
        yield f"{count} processes", lambda n=count: check.processes(n)
    if stacks:
        yield f"stack of {widest}, TF32", lambda: check.tf32(widest)


def _tried(step: Callable[[], Found]) -> Found:
    """What a step found, or its error."""
    began = time.perf_counter()
    try:
        found = step()
    except Exception as error:
        found = {"error": str(error)[-600:]}
    return {**found, "took": time.perf_counter() - began}


def _varied(trial: Trial, count: int) -> list[Trial]:
    """Trials that share a program, with rates and seeds of their own."""
    return [
        replace(trial, number=n, seed=trial.seed + n, learning_rate=trial.learning_rate * 1.01**n)
        for n in range(count)
    ]


def _of_study(trial: Trial) -> Iterator[Trial]:
    """The trials of `sweeps/mnist.toml` as far as they are the same for all: three arms, two optimizers."""
    number = 0
    rates = [1e-5 * (2e5) ** (i / 6) for i in range(7)]
    for seeds, kept in ((range(1), rates), (range(1, 3), rates[2:4]), (range(3, 8), rates[2:4])):
        for seed in seeds:
            for optimizer in ("sgd", "adam"):
                for rate in kept:
                    for scheme in ("none", "unit", "standardize"):
                        yield replace(
                            trial,
                            number=number,
                            seed=seed,
                            optimizer=optimizer,
                            learning_rate=rate,
                            normalization=scheme,
                        )
                        number += 1


def _seconds(epochs: Sequence[Epoch]) -> list[float]:
    return [epoch.seconds for epoch in epochs]


def _figures(result: Result) -> list[tuple[float, float, float]]:
    return [(e.train_loss, e.val_loss, e.val_accuracy) for e in result.curve]


def _is_stacked(engine: KerasEngine) -> bool:
    return engine.stack > 1


def _stack_facts(engine: KerasEngine) -> Found:
    """Width and memory of the worker's stack, and the most memory that was in use."""
    import jax

    assert engine._stacks is not None
    (stacks,) = engine._stacks._stacks.values()
    used = jax.devices()[0].memory_stats() or {}
    return {
        "width": stacks[0].width,
        "program_bytes": stacks[0].bytes,
        "peak_bytes": used.get("peak_bytes_in_use"),
    }


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set environment variables while the context is active."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _show(content: Found) -> int:
    """Print the steps of a file as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "step", "epochs/s", "share of the roof", "first epoch, s", "memory, GiB", "took, s"
    )
    for name, found in content["steps"].items():
        memory = found.get("peak_bytes") or found.get("program_bytes")
        table.add_row(
            name if "error" not in found else f"{name}: {found['error'][:80]}",
            *(
                f"{found[key]:.3g}" if key in found else ""
                for key in ("rate", "share", "first_epoch")
            ),
            f"{memory / 2**30:.2f}" if memory else "",
            f"{found['took']:.0f}",
        )
    sees = content["steps"]["sees"]
    table.title = (
        f"LeNet on {content['data']}, {content['images']:,} images an epoch: {sees.get('device')}"
    )
    Console().print(table)
    return 0


if __name__ == "__main__":
    from benchmarks.gpu_check import app as under_its_name  # whose functions workers can find

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(run(under_its_name))
