"""What the docs state is what the code does."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import normsweep
from docs import hooks
from normsweep.analysis.trials import arm_summaries
from normsweep.cli import main
from normsweep.parts.catalog import catalog
from normsweep.reporting.evidence_tables import COLUMNS as VERDICT
from normsweep.reporting.score_tables import mechanism_table
from normsweep.reporting.tables import arms_table, epochs_table, trials_table
from normsweep.sweep.loading import load_sweep, shipped_sweeps
from normsweep.sweep.schema import Section, Sweep
from normsweep.sweep.study_record import TrialRecord

ROOT = Path(__file__).parent.parent
COLUMNS = (ROOT / "docs" / "columns.md").read_text()


@pytest.fixture
def records(record) -> list[TrialRecord]:
    return [record()]


@pytest.mark.parametrize("name", ["trials", "epochs", "arms", "verdict", "mechanism"])
def test_every_column_is_stated(records, name):
    section = re.search(rf"^## {name}$(.*?)(?=^## |\Z)", COLUMNS, re.M | re.S)
    assert section
    stated = set(re.findall(r"`([a-z_]+)`", section.group(1)))
    table = {
        "trials": trials_table(records),
        "epochs": epochs_table(records),
        "arms": arms_table(arm_summaries(records, ["unit"])),
        "verdict": pd.DataFrame(columns=VERDICT),
        "mechanism": mechanism_table([]),
    }[name]
    assert set(table.columns) <= stated


def test_the_documented_sweep_file_is_legal(tmp_path):
    block = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "sweep-files.md").read_text(), re.S)
    assert block
    path = tmp_path / "mine.toml"
    path.write_text(block.group(1))
    sweep = load_sweep(path, catalog())
    stated = tomllib.loads(block.group(1))
    for section in ("data", "model", "search", "confirm", "execution"):
        assert set(stated[section]) == set(type(getattr(sweep, section)).model_fields)
    assert {*stated, "arms"} == set(type(sweep).model_fields)


def test_the_documented_arms_are_legal():
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "sweep-files.md").read_text(), re.S)
    stated, arms = map(tomllib.loads, blocks[:2])
    del stated["compare"]
    space = arms.pop("search")["space"]
    stated["search"] = {**stated["search"], "space": space}
    sweep = load_sweep({**stated, **arms}, catalog())
    assert [arm.described for arm in sweep.arms] == [
        "raw pixels (none)",
        "raw pixels, SGD (none, momentum 0.9, sgd)",
        "÷255 (unit)",
    ]


def test_every_shipped_sweep_says_its_command_its_cost_and_what_was_found():
    for name, path in shipped_sweeps().items():
        head = path.read_text().partition("\nname")[0]
        command = "python -m normsweep.study" + ("" if name == "quickstart" else f" {name}")
        assert f"#     {command}\n" in head, name
        assert "# Cost: " in head, name
        assert "# Found: " in head, name


@pytest.mark.parametrize("lock", ["study", "dev", "server", "server-cuda", "uv"])
def test_a_lock_has_versions_and_hashes_and_no_address(lock):
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    assert "://" not in text
    packages = re.findall(r"^[a-z0-9].*?(?=^\S|\Z)", text, re.M | re.S)
    assert packages
    for package in packages:
        assert re.match(r"[\w.\[\]-]+==\S+", package), package
        assert "--hash=sha256:" in package, package


def test_the_documented_arguments_of_run_are_there():
    text = (ROOT / "docs" / "python.md").read_text() + (ROOT / "docs" / "own-data.md").read_text()
    named = set(re.findall(r"`([a-z_]+)`[,)]", text)) | set(re.findall(r"run\(.*?(\w+)=", text))
    taken = set(inspect.signature(normsweep.run).parameters)
    assert {"n_trials", "timeout", "n_jobs", "executor", "device", "phase", "data"} <= named & taken


def keys(section: type[Section], prefix: str = "") -> Iterator[str]:
    for key, field in section.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from keys(kind, f"{prefix}{key}.")
        else:
            yield prefix + key


def test_the_generated_reference_has_every_key_once_and_says_what_it_is():
    section, stated = "", {}
    for line in hooks.sweep_keys().partition("## Parameters of the search space")[0].splitlines():
        if line.startswith("## "):
            section = line.strip("#` []") + "."
        elif found := re.match(r"\| `(\w+)` \| (.+) \| .* \| (.+) \|$", line):
            assert section + found.group(1) not in stated
            stated[section + found.group(1)] = found.group(3)
    assert set(stated) == set(keys(Sweep))
    assert all(len(words) > 10 for words in stated.values())


def test_the_page_on_sweep_files_names_no_key_that_is_not_there():
    """`section.key` in a sentence, of any page."""
    of_keras = {
        f"model.{name}" for name in ("add", "evaluate", "fit", "stop_training", "train_step")
    }
    legal = {*keys(Sweep)} | of_keras
    sections = {key.partition(".")[0] for key in keys(Sweep) if "." in key}
    for page in (ROOT / "docs").glob("*.md"):
        named = re.findall(rf"`((?:{'|'.join(sections)})\.[a-z_.]+)", page.read_text())
        assert {key for key in named if not key.startswith("search.space.")} <= legal, page


def test_the_generated_commands_have_every_command_and_option():
    text = hooks.commands()
    for name in main.app:
        if name.startswith("-"):
            continue
        section = re.search(rf"^## normsweep {name}$(.*?)(?=^## |\Z)", text, re.M | re.S)
        assert section, name
        for argument in main.app[name].assemble_argument_collection():
            shown = [n for n in argument.names if n.startswith("--")]
            assert not shown or any(n in section.group(1) for n in shown), (name, shown)


def test_the_generated_api_has_signatures_without_quotes():
    text = hooks.python_api()
    for name in ("run", "load", "judge", "Study", "Answer", "JudgedRuns"):
        assert f"## `normsweep.{name}`" in text
    assert "    sweep: Sweep | Mapping[str, Any] | str | Path = 'quickstart'," in text
    assert "### `Study.answer`" in text


def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path):
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path)))
    pages = list(tmp_path.rglob("*.html"))
    assert {"index.html", "tutorial.html", "results.html", "sweep-keys.html"} <= {
        p.name for p in pages
    }
    for page in pages:
        loaded = re.findall(
            r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"([^\"]+)", page.read_text()
        )
        assert loaded
        assert not [address for address in loaded if re.match(r"(https?:)?//", address)], page


def test_every_message_of_the_page_on_troubleshooting_is_one_that_is_printed():
    """The quoted words of its first columns; words that a library prints are named here."""
    of_others = {"Invalid Host header"}
    sources = (ROOT / "normsweep").rglob("*.py")
    printed = re.sub(r'"\s*(?:f?")', "", "\n".join(path.read_text() for path in sources))
    page = (ROOT / "docs/troubleshooting.md").read_text()
    quoted = {
        text
        for row in re.findall(r"^\| (.+?) \|", page, re.M)
        for text in re.findall(r"`([^`]+)`", row)
    }
    commands = {"diverged", "crashed", *of_others}
    assert len(quoted) > 25
    assert {text for text in quoted - commands if text not in printed} == set()
