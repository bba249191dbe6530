"""A tracking server that answers, and answers nonsense: an outage like any other."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow.entities import Run, RunInfo
from rich.console import Console

from normsweep.analysis.confirm_runs import Curve
from normsweep.analysis.estimates import Estimate
from normsweep.console.live_display import make_display
from normsweep.console.screen import screen
from normsweep.errors import StoreError, StudyStopped, TrackingFailed
from normsweep.executors.inline import Inline
from normsweep.executors.protocol import WorkerOptions
from normsweep.runner.checkpoints import Checkpoints
from normsweep.runner.delivery import TrialLogger
from normsweep.runner.interrupts import Background, Patience, Signals
from normsweep.runner.loop import PhaseContext, run_phase
from normsweep.runner.removal import Deletion
from normsweep.search.search_phase import Search
from normsweep.store.locks import StudyLock
from normsweep.store.storage import open_study
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.study_record import DataFacts, TrialRecord
from normsweep.sweep.trial import Result, Status
from normsweep.tracking.client import opened
from normsweep.tracking.removal import (
    LoggedStudy,
    logged_studies,
    logged_study,
    registered_studies,
    remove,
)
from normsweep.tracking.tracker import TrackedStudy, Tracker
from normsweep.tracking.views import find_page, find_runs
from tests.conftest import make_trial

DATA = DataFacts(
    name="digits", source="test", digest="d1", train_images=10, test_images=5,
    classes=10,
)  # fmt: skip
CURVE = Curve("unit", "baseline", (Estimate(0.9, 0.8, 1.0, 5),))
SANE = {"experiment": {"experiment_id": "1", "name": "odd", "lifecycle_stage": "active"}}
RUN = {"run_id": "r", "experiment_id": "1", "status": "RUNNING", "start_time": 1, "lifecycle_stage": "active"}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a server sends."""

    content: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0
    """Bytes that it announces, and does not send."""


PAGE = b"<html><body>Please log in</body></html>"
NONSENSE = {
    "nothing": Answer(b""),
    "an empty object": Answer(b"{}"),
    "a list": Answer(b"[]"),
    "a word": Answer(b'"ok"'),
    "null": Answer(b"null"),
    "half of an answer": Answer(b'{"run": {'),
    "a page": Answer(PAGE),
    "other types": Answer(b'{"run": 7, "runs": "none", "model": [], "registered_models": 3}'),
    "a run without data": Answer(json.dumps({"run": {"info": RUN}, "runs": [{"info": RUN}]}).encode()),
    "no text at all": Answer(bytes(range(128, 256))),
    "a redirect to a page": Answer(b"", 302, {"Location": "/login"}),
    "not found, with a page": Answer(PAGE, 404),
    "too many requests": Answer(PAGE, 429, {"Retry-After": "3600"}),
    "cut off": Answer(b'{"run": {"info"', missing=50),
}  # fmt: skip


@pytest.fixture(params=NONSENSE.values(), ids=list(NONSENSE))
def url(request) -> Iterator[str]:
    """A server that opens an experiment, and answers the rest with what it is told to."""
    nonsense: Answer = request.param

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = "experiments/get" in self.path or "experiments/search" in self.path
            given = Answer(json.dumps(SANE).encode()) if found else nonsense
            given = Answer(PAGE) if "login" in self.path else given
            self.send_response(given.status)
            for name, value in {"Content-Type": "application/json", **given.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(given.content) + given.missing))
            self.end_headers()
            self.wfile.write(given.content)

        def log_message(self, *args: object) -> None: ...

    for method in ("GET", "POST", "PATCH", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_what_cannot_be_read_or_deleted_is_an_error_in_a_line(url):
    client = opened(url)
    for read in (
        lambda: logged_study(client, "odd", "abc"),
        lambda: logged_studies(client),
        lambda: registered_studies(client),
        lambda: find_page(url, "odd"),
        lambda: find_runs(url, "odd", None),
    ):
        with contextlib.suppress(StoreError):  # some take nonsense for nothing
            read()
    info = RunInfo("r", "1", "u", "FINISHED", 1, 2, "active", artifact_uri="file:///nowhere")
    logged = LoggedStudy("odd", "abc", ("1",), ("1",), (Run(info, None),), registered=True)
    with contextlib.suppress(TrackingFailed):
        remove(client, logged)
    with contextlib.suppress(StudyStopped):
        Deletion("", client=client, logged=(logged,)).remove([].append)


def test_no_write_fails_in_another_way_than_as_an_outage(url, tmp_path: Path):
    tracker = Tracker(url, TrackedStudy("odd", "abc"), tmp_path)
    (tmp_path / "index.html").write_text("report")
    record = TrialRecord(make_trial(), Result(0, Status.COMPLETE), "r")
    writes: list[Callable[[], object]] = [
        lambda: tracker.start(make_trial(), DATA),
        lambda: tracker.log(record, DATA),
        lambda: tracker.finish("r", record),
        lambda: tracker.kill("r"),
        lambda: tracker.mark_best(["r"]),
        lambda: tracker.log_means([CURVE], {}, 5),
        lambda: tracker.note("text"),
        lambda: tracker.prepare_views(["learning_rate"]),
        lambda: tracker.register("unit", "unit", "m", "r"),
        tracker.begin_report,
        lambda: tracker.report_files("r", tmp_path, [tmp_path / "index.html"]),
        lambda: tracker.end_report("r", {"gap/unit": 0.1}),
        lambda: tracker.log_model(tmp_path, record, DATA, "model"),
    ]
    for write in writes:
        with contextlib.suppress(TrackingFailed):  # some need no answer
            write()


def test_a_search_is_recorded_whole_all_the_same(
    url, tmp_path, sweep_file, parts, digits_root, digits_key, faults
):
    sweep = load_sweep(
        sweep_file, parts, ["search.trials=2", "model.name=synthetic", "execution.retries=0"]
    )
    store = open_study(f"sqlite:///{tmp_path}/optuna.db", sweep.name, sweep)
    store.begin_study(DATA, {})
    search = Search(store, sweep, digits_key)
    tracker = Tracker(url, TrackedStudy("odd", "abc"), tmp_path)
    console = Console(file=io.StringIO(), width=300)
    with (
        screen(console),
        make_display(console) as display,
        Signals() as signals,
        Background() as background,
    ):
        logger = TrialLogger(store, tracker, DATA, display.note, background)
        where = Result(-1, Status.INTERRUPTED, chance=0.1, machine={"device": "none"})
        executor, checkpoints = (
            Inline(WorkerOptions(digits_root, "cpu", 1, trained=False)),
            Checkpoints(tmp_path, 1.0),
        )
        context = PhaseContext(executor, logger, checkpoints, display, signals, StudyLock())
        run_phase(search, context, where)
        left = logger.log_rest(signals, Patience.none())
    records = search.records()
    assert [r.result.status for r in records if r.result] == [Status.COMPLETE] * 2
    assert left == [r.trial.number for r in records if not r.run_id]
    if left:
        assert "MLflow" in console.file.getvalue()  # type: ignore[attr-defined]
    faults("MLflow's server answering nonsense", 1)
