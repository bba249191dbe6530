"""A finished study's pages as a person meets them: MLflow's and Optuna's own, in Chromium.

The views are read from MLflow's source and documented nowhere: these tests tell when they no longer
are what a study prepared.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pytest
import uvicorn
from mlflow import MlflowClient
from mlflow.pyfunc import PyFuncModel, scoring_server
from playwright.sync_api import Browser, Page, expect, sync_playwright

from normsweep import report, study
from normsweep.analysis.evidence import evidence
from normsweep.analysis.trials import best_of_arms
from normsweep.cli import main
from normsweep.parts.dataset import Dataset
from normsweep.reporting.answer import answer_sentence
from normsweep.shell import run
from normsweep.store.storage import read_study
from normsweep.sweep.study_record import StudyRecord
from normsweep.sweep.trial import SEARCH
from tests import shared

pytestmark = pytest.mark.system

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FOUND = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_browser = pytest.mark.skipif(
    FOUND is None, reason=f"none of {', '.join(BROWSERS)} is installed"
)

SWEEP = """
name = "seen"
question = "Do raw digits catch up?"
reference = "unit"
[data]
dataset = "digits"
[model]
name = "mlp"
options = { units = 8 }
[search]
trials = 8
[search.space]
normalization = ["none", "unit"]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
optimizer = ["sgd", "adam"]
epochs = { low = 2, high = 3 }
[confirm]
seeds = 2
"""
SECONDS = 60_000
"""Milliseconds that a page may take on a machine that is busy."""


@dataclass(frozen=True)
class Seen:
    """A study that was searched and confirmed."""

    folder: Path
    storage: str
    tracking: str

    @property
    def record(self) -> StudyRecord:
        return read_study(self.storage, "seen")


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("seen")
    stores = [f"sqlite:///{folder}/mlruns/{name}.db" for name in ("optuna", "mlflow")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "seen.toml").write_text(SWEEP)
        shared.place_stores(folder / "mlruns")
        given = ["--storage", stores[0], "--tracking-uri", stores[1], "--executor", "inline", "-q"]
        assert run(study.app, ["seen.toml", *given]) == 0
        yield Seen(folder, *stores)


@contextmanager
def shown(seen: Seen, stop: signal.Signals, *options: str) -> Iterator[str]:
    """The address that `normsweep ui` prints, until it is stopped; then none of its processes is left."""
    command = [
        str(Path(sys.executable).with_name("normsweep")), "ui", "seen.toml", "--no-browser", *options,
        "--storage", seen.storage, "--tracking-uri", seen.tracking,
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=seen.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        family = children(process.pid)
        assert family, process.stderr and process.stderr.read()
        try:
            yield address
        finally:
            process.send_signal(stop)
            process.communicate(timeout=60)
    assert process.returncode == 0
    assert not [pid for pid in family if Path(f"/proc/{pid}/cmdline").exists()]


def children(pid: int) -> list[int]:
    """All processes below one."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    own = [child for child, parent in pairs if parent == pid]
    return [*own, *(each for child in own for each in children(child))]


@pytest.fixture(scope="module")
def mlflow_page(seen) -> Iterator[str]:
    with shown(seen, signal.SIGINT) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=FOUND, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[[str], Page]]:
    context = browser.new_context(viewport={"width": 1600, "height": 1300})
    context.set_default_timeout(SECONDS)
    expect.set_options(timeout=SECONDS)

    def open_page(address: str) -> Page:
        page = context.new_page()
        page.goto(address)
        return page

    yield open_page
    context.close()


def sibling(address: str, place: str) -> str:
    return f"{address.partition('#')[0]}{place}"


COLOURS = {"rgb(110, 119, 129)", "rgb(213, 94, 0)"}
"""Of the reference, and of the other arm."""


def expect_lines_in_the_arms_colours(page: Page) -> None:
    """The lines of the first chart have the colours of both arms, and no others."""
    page.wait_for_function(
        """(colours) => {
            const lines = document.querySelectorAll(".js-plotly-plot")[0]?.querySelectorAll(".scatterlayer .js-line");
            const seen = new Set([...(lines ?? [])].map((line) => getComputedStyle(line).stroke));
            return seen.size === colours.length && colours.every((colour) => seen.has(colour));
        }""",
        arg=sorted(COLOURS),
    )


@needs_browser
def test_the_landing_page_has_every_trial_best_first_its_curves_coloured_by_arm(
    seen, mlflow_page, opened
):
    page = opened(mlflow_page)
    for title in ("val/accuracy", "Parallel Coordinates", "val/loss"):
        expect(page.get_by_text(title, exact=True).first).to_be_visible()
    expect(page.locator(".ag-row a")).to_have_count(8)
    expect_lines_in_the_arms_colours(page)
    searched = {r.trial.number: r.result for r in seen.record.trials if r.trial.phase == SEARCH}
    listed = [int(name[:3]) for name in page.locator(".ag-row a").all_inner_texts()]
    scores = [result.score for result in map(searched.get, listed) if result]
    assert len(scores) == 8
    assert scores == sorted(scores, reverse=True)


@needs_browser
def test_the_note_opens_with_the_answer_has_the_figure_and_links_that_lead_somewhere(
    seen, mlflow_page, opened
):
    page = opened(mlflow_page)
    experiment = MlflowClient(tracking_uri=seen.tracking).get_experiment_by_name("seen")
    answer = experiment.tags["mlflow.note.content"].splitlines()[0].strip("*")
    expect(page.get_by_text(answer[:40]).first).to_be_visible()
    picture = page.locator("img[src*='note.png']")
    expect(picture).to_have_js_property("naturalWidth", 760)

    def followed(name: str) -> Page:
        href = page.get_by_role("link", name=name, include_hidden=True).get_attribute("href")
        assert href
        return opened(sibling(mlflow_page, href[href.index("#") :]))

    best = followed("the best trial of each arm")
    expect(best.locator(".ag-row a")).to_have_count(2)
    expect(best.get_by_text("val/accuracy", exact=True).first).to_be_visible()
    report = followed("the whole report").frame_locator("iframe")
    expect(report.get_by_text("Do raw digits catch up?").first).to_be_visible()


@needs_browser
def test_the_best_trial_of_each_arm_has_its_curve_in_the_arms_colour(seen, mlflow_page, opened):
    page = opened(mlflow_page.replace("ShareKey=trials", "ShareKey=best"))
    expect(page.locator(".ag-row a")).to_have_count(2)
    expect_lines_in_the_arms_colours(page)
    best = {r.trial.number for r in best_of_arms(seen.record.searched).values()}
    assert {int(name[:3]) for name in page.locator(".ag-row a").all_inner_texts()} == best


@needs_browser
def test_the_confirmation_has_the_mean_over_its_seeds_by_arm_and_configuration(
    seen, mlflow_page, opened
):
    page = opened(mlflow_page.replace("ShareKey=trials", "ShareKey=confirmed"))
    curves = evidence(seen.record).curves
    expect(page.locator(".ag-row a")).to_have_count(len(curves))
    expect(page.get_by_text("test/accuracy", exact=True).first).to_be_visible()
    expect_lines_in_the_arms_colours(page)
    expect(page.get_by_text("mean none baseline").first).to_be_visible()


@needs_browser
def test_the_models_tab_has_each_arms_model_with_its_scores_by_dataset(mlflow_page, opened):
    experiment = mlflow_page.split("/experiments/")[1].split("/")[0]
    place = f"#/experiments/{experiment}/models?workflowType=machine_learning"
    page = opened(sibling(mlflow_page, place))
    page.set_viewport_size({"width": 3200, "height": 900})  # columns out of sight are not drawn
    for text in ("none", "unit", "final/val_accuracy"):
        expect(page.get_by_text(text, exact=True).first).to_be_visible()
    expect(page.get_by_text("digits validation").first).to_be_visible()


@needs_browser
def test_the_table_is_sorted_by_validation_accuracy_and_has_the_columns_that_matter(
    mlflow_page, opened
):
    page = opened(mlflow_page.replace("RunsMode=CHART", "RunsMode=TABLE"))
    scores = page.locator(".ag-row [col-id='metrics.`final/val_accuracy`'], .ag-row [col-id*='final/val_accuracy']")  # fmt: skip
    expect(scores).to_have_count(8)
    values = [float(text.rstrip("…")) for text in scores.all_inner_texts()]
    assert values == sorted(values, reverse=True)
    head = page.locator(".ag-header")
    for column in ("normalization", "learning_rate", "optimizer", "epochs"):
        expect(head.get_by_text(column, exact=True).first).to_be_attached()
    assert not head.get_by_text("Source", exact=True).count()


@needs_browser
def test_a_run_and_the_registered_model_show_what_they_are(seen, mlflow_page, opened):
    record = seen.record
    trial = record.models["none"].trial
    run_id = next(r.run_id for r in record.trials if r.trial.number == trial)
    experiment = mlflow_page.split("/experiments/")[1].split("/")[0]
    page = opened(sibling(mlflow_page, f"#/experiments/{experiment}/runs/{run_id}"))
    for text in ("normsweep.best_of_arm", "final/val_accuracy", "learning_rate"):
        expect(page.get_by_text(text).first).to_be_visible()
    page = opened(sibling(mlflow_page, "#/models/seen"))
    for alias in ("none", "unit"):
        expect(page.get_by_role("status", name=alias, exact=True).first).to_be_visible()


@needs_browser
def test_a_click_on_a_mark_of_a_figure_opens_the_page_of_its_run(
    seen, mlflow_page, opened, tmp_path
):
    server = mlflow_page.partition("/#")[0]
    given = ["--study-name", "seen", "--storage", seen.storage, "--tracking-uri", server]
    assert run(report.app, [*given, "--output", str(tmp_path)]) == 0
    page = opened((tmp_path / "index.html").as_uri())
    page.locator("#figure-progress").scroll_into_view_if_needed()
    mark = page.locator("#figure-progress.explored .live .mark-symbol path").last
    mark.hover()
    said = page.get_by_role("tooltip").inner_text()
    trial = int(re.search(r"trial (\d+)", said)[1])
    (record,) = [each for each in seen.record.trials if each.trial.number == trial]
    with page.context.expect_page() as made:
        mark.click()
    expect(made.value).to_have_url(re.compile(f"/runs/{record.run_id}"))
    expect(made.value.get_by_text("final/val_accuracy").first).to_be_visible()


@needs_browser
def test_optunas_dashboard_shows_the_study(seen, opened):
    with shown(seen, signal.SIGTERM, "--optuna") as address:
        page = opened(address)
        expect(page.get_by_text("seen").first).to_be_visible()
        expect(page.get_by_text("Hyperparameter Importance").first).to_be_visible()
        expect(page.locator(".js-plotly-plot").first).to_be_visible()
        page = opened(f"{address}/note")
        answer = answer_sentence(evidence(seen.record).verdicts, "normalization", "unit")
        expect(page.get_by_text(answer)).to_be_visible()
        expect(page.get_by_text("Do raw digits catch up?")).to_be_visible()
        expect(page.get_by_text("A tuned learning rate?")).to_be_visible()
        page.get_by_role("link", name="the confirmation").click()
        expect(page.get_by_text("seen/confirm").first).to_be_visible()
        page.goto(f"{page.url}/note")
        expect(page.get_by_text("on fresh seeds. The answer is read off")).to_be_visible()


def test_a_server_is_told_by_its_page_and_none_is_started(seen, mlflow_page, capsys):
    server = mlflow_page.partition("/#")[0]
    assert run(main.app, ["ui", "seen", "--no-browser", "--tracking-uri", f"{server}/"]) == 0
    assert capsys.readouterr().out == f"{mlflow_page}\n"
    assert run(main.app, ["ui", "sene", "--no-browser", "--tracking-uri", server]) == 2
    assert "--study-name: no study sene in " in capsys.readouterr().err


@pytest.fixture
def load(seen, monkeypatch) -> Iterator[Callable[[str], PyFuncModel]]:
    """Loads the registered model of an arm."""
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # taken back at the end: MLflow sets it, too
    mlflow.set_tracking_uri(seen.tracking)
    yield lambda arm: mlflow.pyfunc.load_model(f"models:/seen@{arm}")
    mlflow.set_tracking_uri(before)


def test_the_registered_models_take_raw_pixels(seen, load):
    record, client = seen.record, MlflowClient(tracking_uri=seen.tracking)
    data = Dataset.open(seen.folder / "mlruns" / "data", record.data.digest)
    images = data.x_test.reshape(-1, *data.sample_shape)
    for arm in record.arms:
        model = load(arm)
        version = client.get_model_version_by_alias("seen", arm)
        assert version.tags["normsweep.model_id"] == record.models[arm].model_id
        predicted = np.asarray(model.predict(images))
        assert predicted.shape == (len(data.y_test), 10)
        assert np.allclose(predicted.sum(axis=1), 1.0, atol=1e-4)


def test_a_served_model_answers_raw_pixels_sent_as_json(seen, load, monkeypatch):
    """The application of `mlflow models serve`, on a port, with the request of the docs."""
    monkeypatch.setenv(
        "_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true"
    )  # set, and taken back at the end
    data = Dataset.open(seen.folder / "mlruns" / "data", seen.record.data.digest)
    images, model = data.x_test[:3].reshape(-1, *data.sample_shape), load("none")
    with socket.create_server(("127.0.0.1", 0)) as place:
        server = uvicorn.Server(uvicorn.Config(scoring_server.init(model), log_level="error"))
        serving = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        serving.start()
        try:
            request = urllib.request.Request(
                f"http://127.0.0.1:{place.getsockname()[1]}/invocations",
                json.dumps({"inputs": images.tolist()}).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                predicted = json.load(answer)["predictions"]
        finally:
            server.should_exit = True
            serving.join()
    assert np.allclose(predicted, np.asarray(model.predict(images)), atol=1e-5)


@pytest.mark.slow
def test_the_command_of_mlflow_takes_raw_pixels_from_a_file(seen):
    data = Dataset.open(seen.folder / "mlruns" / "data", seen.record.data.digest)
    images = data.x_test[:3].reshape(-1, *data.sample_shape)
    (seen.folder / "images.json").write_text(json.dumps({"inputs": images.tolist()}))
    command = f"mlflow models predict -m models:/seen@{seen.record.arms[0]} -i images.json -t json"
    done = subprocess.run(
        [Path(sys.executable).with_name("mlflow"), *command.split()[1:], "--env-manager", "local"],
        cwd=seen.folder, env={**os.environ, "MLFLOW_TRACKING_URI": seen.tracking},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    predicted = json.loads(done.stdout.splitlines()[-1])["predictions"]
    assert np.shape(predicted) == (3, 10)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--port", "70000"], "must be an address of this machine and a free port from 1 to 65535"),
        (["--host", "192.0.2.1"], "or no port, got 192.0.2.1 and no port: "),
    ],
)
def test_a_place_that_cannot_be_listened_at_is_one_line(seen, capsys, options, line):
    assert run(main.app, ["ui", "--no-browser", "--tracking-uri", seen.tracking, *options]) == 2
    assert line in capsys.readouterr().err
