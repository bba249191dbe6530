"""The `normsweep` command."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from normsweep.cli.diagnose import diagnose
from normsweep.cli.judge import judge
from normsweep.cli.new import new
from normsweep.cli.studies import delete, gc, list_studies, rerun, show
from normsweep.cli.ui import ui
from normsweep.errors import SweepError, UserError
from normsweep.export import export
from normsweep.report import report
from normsweep.shell import (
    USAGE_ERROR,
    DataDir,
    OutputFormat,
    Overrides,
    Storage,
    SweepFile,
    TrackingUri,
    command,
    finish,
    print_json,
)
from normsweep.study import study
from normsweep.text import printable
from normsweep.urls import STORAGE, TRACKING

if TYPE_CHECKING:
    from normsweep.sweep.schema import Sweep

__all__ = ["app", "main"]

app = command(
    "normsweep",
    "Test whether un-normalized input catches up, with more epochs or a tuned learning rate.",
)


app.command(study, name="study")


app.command(export, name="export")


app.command(report, name="report")


app.command(new, name="new")


app.command(diagnose, name="diagnose")


app.command(judge, name="judge")


app.command(ui, name="ui")


app.command(show, name="show")


app.command(rerun, name="rerun")


app.command(delete, name="delete")


app.command(gc, name="gc")


@app.command
def check(
    sweep: SweepFile,
    /,
    *,
    data_dir: DataDir = None,
    set_: Overrides = (),
    format: OutputFormat = "text",
) -> int:
    """Check a sweep file and print its plan, or all of its errors."""
    from normsweep.parts.catalog import for_task, read_sweep
    from normsweep.parts.datasets import task_of_first

    try:
        loaded = read_sweep(sweep, set_)
        declared = loaded.data.task and loaded.task
        if task := declared or task_of_first(loaded.data.candidates, data_dir):
            loaded = for_task(loaded, task)
    except SweepError as error:
        if format == "json":
            print_json({"valid": False, "problems": list(error.lines)})
            return USAGE_ERROR
        raise
    from normsweep.console.overview import plan_lines
    from normsweep.search.plan import Plan

    if format == "json":
        print_json(_plan(loaded))
    else:
        print("\n".join(plan_lines(Plan(loaded))))
    return 0


def _plan(sweep: Sweep) -> dict[str, object]:
    """The plan of a valid sweep for programs."""
    from normsweep.sweep.recorded import to_plain

    return {
        "valid": True,
        "problems": [],
        "name": sweep.name,
        "question": sweep.question,
        "reference": sweep.label(str(sweep.reference)),
        "arms": [arm.label for arm in sweep.arms],
        "trials": sweep.total_trials,
        "epochs": sweep.longest,
        "sweep": to_plain(sweep),
    }


@app.command
def sync(
    *,
    study_name: Annotated[
        str | None, Parameter(help="Name of the study; all studies by default.")
    ] = None,
    storage: Storage = STORAGE,
    tracking_uri: TrackingUri = TRACKING,
    moved: Annotated[
        bool,
        Parameter(
            negative=(),
            help="First correct the places of artifacts and models in a local MLflow database whose folder was moved.",
        ),
    ] = False,
) -> int:
    """Log to MLflow what is missing there: not yet logged, or lost; without a name, running studies are skipped."""
    from normsweep.runner.delivery import relocate_studies, sync_studies, sync_study
    from normsweep.store.storage import study_names

    if moved:
        names = study_names(storage) if study_name is None else [study_name]
        relocate_studies(names, tracking_uri, print)
    if study_name is not None:
        whole = sync_study(study_name, storage, tracking_uri, print)
    else:
        whole = sync_studies(study_names(storage), storage, tracking_uri, print)
    return 0 if whole else 1


@app.command(name="list")
def list_(
    what: Literal["parts", "sweeps", "studies"],
    sweep: Annotated[
        str | None, Parameter(help="With parts: a sweep whose plug-ins are listed, too.")
    ] = None,
    /,
    *,
    storage: Storage = STORAGE,
    format: OutputFormat = "text",
) -> int:
    """List the registered components, the included sweeps, or the studies in a database."""
    if sweep is not None and what != "parts":
        raise UserError(f"SWEEP: only allowed with parts, got {what} {sweep}")
    if what == "studies":
        list_studies(storage, format)
        return 0
    found = _parts(sweep) if what == "parts" else _sweeps()
    if format == "json":
        print_json(found)
        return 0
    for line in _part_lines(found) if what == "parts" else _sweep_lines(found):
        print(printable(line))
    return 0


def _parts(sweep: str | None) -> list[dict[str, Any]]:
    """Every component: kind, name, summary, options, and the module of a custom one."""
    from normsweep.parts.catalog import REGISTRIES, load_installed, read_sweep

    load_installed()
    if sweep is not None:
        read_sweep(sweep)
    return [
        {
            "kind": registry.kind,
            "name": part.name,
            "summary": part.summary,
            "options": list(part.options),
            "module": part.module if part.custom else "",
        }
        for registry in REGISTRIES
        for part in registry
    ]


def _part_lines(parts: list[dict[str, Any]]) -> Iterator[str]:
    from normsweep.parts.catalog import REGISTRIES

    plurals = {registry.kind: registry.plural for registry in REGISTRIES}
    for kind, group in groupby(parts, lambda part: part["kind"]):
        yield plurals[kind]
        for part in group:
            takes = f" (options: {', '.join(part['options'])})" if part["options"] else ""
            origin = f" [{part['module']}]" if part["module"] else ""
            yield f"  {part['name']:20}{part['summary']}{takes}{origin}"


def _sweeps() -> list[dict[str, Any]]:
    import tomllib

    from normsweep.sweep.loading import shipped_sweeps

    read = {
        name: tomllib.loads(path.read_text(encoding="utf-8"))
        for name, path in shipped_sweeps().items()
    }
    return [{"name": name, "question": raw.get("question", "")} for name, raw in read.items()]


def _sweep_lines(sweeps: list[dict[str, Any]]) -> Iterator[str]:
    return (f"{sweep['name']:24}{sweep['question']}" for sweep in sweeps)


def main() -> None:
    """The command's entry point."""
    finish(app)
