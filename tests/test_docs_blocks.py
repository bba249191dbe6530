"""Every code block of README.md and docs/*.md is run, in the order of its page.

Commands of normsweep run as they would in a shell, in this process, with every option of theirs read; studies
train with small settings. Python runs; TOML is read as what it is a part of; a block with a title is a file of
that name. What cannot run here is in `ELSEWHERE`, each with the reason, and what can be checked of it is.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import normsweep
from normsweep.cli import main
from normsweep.parts import datasets
from normsweep.parts.catalog import read_sweep
from normsweep.shell import run
from normsweep.sweep.loading import shipped_sweeps

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)

ELSEWHERE = {
    "make": "the set-up, tests and measurements themselves; that the target exists is checked",
    "docker": "needs a container engine; tests/compose runs each service's own command",
    "ray": "needs a cluster; tests/executors starts one",
    "mlflow": "serves until it is stopped; tests/conftest.py starts one",
    "curl": "asks a served model; tests/test_pages.py does",
    "optuna": "needs PostgreSQL; tests/store/test_storage.py has one",
    "optuna-dashboard": "serves until it is stopped; tests/test_pages.py looks at it",
    "createdb": "needs a server of one's own",
    ".": "enters the environment that pip installs into",
    "python -m venv": "the set-up",
    "export": "sets a variable of the shell",
    "cp": "makes the file with a server's secrets",
    "python examples/original_script.py": "8 minutes on MNIST; that it compiles is checked",
    "python examples/questions/data.py": "may download MNIST; tests/test_questions.py writes its files; that it compiles is checked",
    "python -m normsweep.study examples/questions": "needs these files; tests/test_questions.py reads each sweep",
    "python -m benchmarks": "minutes, and tests/analysis/test_calibration.py; that the module exists is checked",
    "python -m pytest": "the tests themselves",
    "normsweep ui": "serves until it is stopped; tests/test_pages.py looks at it",
    "pip": "the set-up; tests/test_wheel.py installs the wheel",
    "with a server": "a study on Ray or on a server's database: tests/compose; that its options are legal is checked",
}
"""What is not run, by how its line begins, and why."""

SMALL = {
    "model.name": "synthetic",
    "model.options": {},
    "search.trials": 4,
    "search.space.epochs": [1, 2],
    "confirm.seeds": 2,
    "confirm.epochs": 2,
    "confirm.baseline.epochs": 2,
}
"""With these the study of a block takes seconds; only `mnist`, whose models pages load, is trained."""
DIGITS = {"data.dataset": "digits", "data.train_size": 600}
"""What a shipped sweep has besides."""
TWO_ARMS = {"search.space.normalization": ["none", "unit"]}
"""And this, if its arms are values of the space."""
REPLACED = ("--n-trials", "--n-jobs", "--executor", "--device", "--set")
"""Options of a study that `SMALL` stands in the place of, each with one word."""
SHIPPED = shipped_sweeps()


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that it is where it has a title, its text."""

    page: Path
    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(page, *found) for found in FENCE.findall(page.read_text())]


def lines(text: str) -> Iterator[list[str]]:
    """The commands of a shell block, as words; comments and redirections are left out."""
    for line in text.replace("\\\n", " ").splitlines():
        for command in line.split(" && "):
            words = shlex.split(command.partition(" > ")[0].partition(" < ")[0], comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words = words[1:]
            if words:
                yield words


def reason(words: list[str]) -> str | None:
    """The key of `ELSEWHERE` that a command falls under."""
    line = " ".join(words)
    if words[:3] == ["python", "-m", "normsweep.study"] and re.search(
        r"--ray-address|--storage", line
    ):
        return "with a server"
    return next((key for key in ELSEWHERE if re.match(rf"{re.escape(key)}(?![\w-])", line)), None)


MODULES = {"normsweep.study": "study", "normsweep.export": "export", "normsweep.report": "report"}


def command(words: list[str]) -> None:
    """Run a command of normsweep, or an example, as written; a study in small."""
    if words[:2] == ["python", "-m"]:
        words = ["normsweep", MODULES[words[2]], *words[3:]]
    if words[0] == "python":
        done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    elif words[1] == "study":
        planned(words)
        assert run(main.app, small(words[1:])) == 0, words
    else:
        assert run(main.app, words[1:]) == 0, words


def planned(words: list[str]) -> None:
    """The command is legal as it is written, each of its settings too."""
    given = [word for word in words if word != "--dry-run"]
    given = given[given.index("study") :] if "study" in given else ["study", *given[3:]]
    assert run(main.app, [*given, "--dry-run", "--no-estimate"]) == 0, words


def small(given: list[str]) -> list[str]:
    """The arguments of a study with `SMALL` in the place of what makes it long."""
    kept, rest = [], iter(given)
    for word in rest:
        if word in REPLACED:
            next(rest)
        else:
            kept.append(word)
    sweep = next((word for word in kept[1:] if not word.startswith("-")), "quickstart")
    changes = [f"{key}={toml(value)}" for key, value in smaller(sweep).items()]
    phase = [] if sweep in SHIPPED else ["--phase", "search"]
    return [*kept, *phase, "--executor", "inline", "--no-estimate", "--set", *changes]


def smaller(sweep: Any) -> dict[str, Any]:
    """The settings that make a sweep small."""
    if not isinstance(sweep, str) or sweep not in SHIPPED:
        return SMALL
    trained = {"model.name": "mlp", "model.options": {"units": 4}} if sweep == "mnist" else {}
    named = "arms" in tomllib.loads(SHIPPED[sweep].read_text())
    return SMALL | DIGITS | trained | ({} if named else TWO_ARMS)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def shell(block: Block) -> None:
    for words in lines(block.text):
        found = reason(words)
        if found is None:
            command(words)
        elif found in CHECKS:
            CHECKS[found](words)


def make_target(words: list[str]) -> None:
    for target in words[1:]:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), target


def module(words: list[str]) -> None:
    assert importlib.util.find_spec(words[2]), words


def script(words: list[str]) -> None:
    compile((ROOT / words[1]).read_text(), words[1], "exec")


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": make_target,
    "python -m benchmarks": module,
    "python examples/original_script.py": script,
    "python examples/questions/data.py": script,
    "with a server": planned,
}
"""What is checked of a command that is not run."""


def python(block: Block, names: dict[str, Any]) -> None:
    if block.title.startswith("test_"):
        tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", block.title]
        done = subprocess.run(tests, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        assert re.search(r"[1-9]\d* passed", done.stdout)
    elif not block.title or block.title.startswith("make_"):
        exec(compile(block.text, str(block.page), "exec"), names)


def toml_block(block: Block) -> None:
    """A whole sweep, a part of one, or the entry point of a package."""
    content = tomllib.loads(block.text)
    if "project" in content:
        (group,) = content["project"]["entry-points"]
        example = tomllib.loads((ROOT / "examples/plugin_package/pyproject.toml").read_text())
        assert group in example["project"]["entry-points"]
    elif (
        "plugins" in content and "name" not in content
    ):  # what they register is not for this process
        given = ["quickstart", "--set", f"plugins={toml(content['plugins'])}"]
        done = subprocess.run(
            [sys.executable, "-m", "normsweep", "check", *given], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    else:
        base = SHIPPED["mnist_20k" if "arms" in content else "mnist_epochs"]
        part = "name" not in content
        read_sweep(merged(tomllib.loads(base.read_text()), content) if part else content)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Tables with the tables' changes, at every depth."""
    both = {
        key: merged(base[key], value)
        if isinstance(value, dict) and isinstance(base.get(key), dict)
        else value
        for key, value in changes.items()
    }
    return base | both


def build(input_shape: tuple[int, ...], classes: int) -> Any:
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Dense(4),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


@pytest.fixture
def names(monkeypatch) -> Iterator[dict[str, Any]]:
    """What the blocks take as given, with `normsweep.run` in small."""
    import mlflow

    real = normsweep.run

    def run_small(sweep: Any, **given: Any) -> normsweep.Study:
        own = "model" if "model" in given else "nothing"
        changes = {k: v for k, v in smaller(sweep).items() if not k.startswith(f"{own}.")}
        return real(sweep, executor="inline", **{"set": changes, **given})

    set_tracking_uri = mlflow.set_tracking_uri

    def set_here(uri: str) -> None:
        """MLflow keeps its connections by address: a relative one would stay that of an earlier page's folder."""
        set_tracking_uri(uri.replace("sqlite:///mlruns", f"sqlite:///{Path.cwd()}/mlruns"))

    monkeypatch.setattr(mlflow, "set_tracking_uri", set_here)
    monkeypatch.setattr(normsweep, "run", run_small)
    rng = np.random.default_rng(0)
    y = np.arange(180) % 3
    x = rng.normal(y[:, None], 0.5, (180, 4)) * 100
    sweep = tomllib.loads(SHIPPED["quickstart"].read_text()) | {"name": "given"}
    yield {
        "normsweep": normsweep, "mlflow": mlflow, "sweep": sweep, "build": build,
        "x_train": x[:120], "y_train": y[:120], "x_test": x[120:], "y_test": y[120:],
        "images": datasets.load("digits").x_test[:5, ..., 0],
    }  # fmt: skip
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # where a block's `set_tracking_uri` leaves it, too


@pytest.fixture(scope="module")
def studied(tmp_path_factory) -> Path:
    """A folder with the study that most pages speak of, `mnist`."""
    made = tmp_path_factory.mktemp("docs")
    with chdir(made):
        command(shlex.split("python -m normsweep.study mnist"))
    return made


@pytest.fixture
def folder(page, studied, tmp_path) -> Path:
    """The folder of a page: a copy of that, or an empty one for the tutorial, which begins with nothing."""
    if page.stem != "tutorial":
        shutil.copytree(studied, tmp_path, dirs_exist_ok=True)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


SLOW = {"gpu", "own-data", "results", "running", "tutorial"}
"""Pages whose studies are those of other pages at other settings; with them `make test` would be long."""


def marked(page: Path) -> Any:
    marks = [pytest.mark.slow] if page.stem in SLOW else []
    return pytest.param(page, id=page.stem, marks=marks)


@pytest.mark.parametrize("page", [marked(page) for page in PAGES if blocks(page)])
def test_every_block_of_a_page_runs(page, folder, names):
    with chdir(folder):
        for block in blocks(page):
            if block.title:
                Path(block.title).write_text(block.text)
            if block.language == "sh":
                shell(block)
            elif block.language == "python":
                python(block, names)
            elif block.language == "toml":
                toml_block(block)
            else:
                assert block.language == "text", block  # what a command said


def test_what_is_not_run_is_documented_somewhere():
    """The list of what is not run has no entry that nothing needs."""
    everything = [
        w for page in PAGES for b in blocks(page) if b.language == "sh" for w in lines(b.text)
    ]
    assert {found for words in everything if (found := reason(words))} == set(ELSEWHERE)


def test_no_block_escapes():
    for page in PAGES:
        text = page.read_text()
        assert text.count("```") == 2 * len(blocks(page)), page
        indented = re.search(r"\n\n    \S", FENCE.sub("", text))
        assert not indented, f"{page}: an indented block is not run; fence it"


SPAN = re.compile(r"`((?:normsweep|python -m normsweep\.\w+) [^`]+)`")
SPANS = sorted(
    {(page.stem, *span.split()) for page in PAGES for span in SPAN.findall(page.read_text())}
)


@pytest.mark.parametrize("span", SPANS, ids=" ".join)
def test_a_command_in_a_sentence_has_its_options(span):
    words = [*span[1:]]
    if words[0] == "python":
        words = ["normsweep", MODULES[words[2]], *words[3:]]
    legal = {
        name
        for argument in main.app[words[1]].assemble_argument_collection()
        for name in argument.names
    }
    assert {word for word in words[2:] if word.startswith("--")} <= legal
