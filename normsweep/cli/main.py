"""The `normsweep` command."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from normsweep.cli.diagnose import diagnose
from normsweep.cli.judge import judge
from normsweep.cli.studies import delete, gc, list_studies, rerun, show
from normsweep.cli.ui import ui
from normsweep.errors import UserError
from normsweep.export import export
from normsweep.report import report
from normsweep.shell import Overrides, Storage, SweepFile, TrackingUri, command, finish
from normsweep.study import study
from normsweep.text import printable
from normsweep.urls import STORAGE, TRACKING

__all__ = ["app", "main"]

app = command(
    "normsweep",
    "Test whether un-normalized input catches up, with more epochs or a tuned learning rate.",
)


app.command(study, name="study")


app.command(export, name="export")


app.command(report, name="report")


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
    set_: Overrides = (),
) -> int:
    """Check a sweep file and print its plan, or all of its errors."""
    from normsweep.parts.catalog import read_sweep

    loaded = read_sweep(sweep, set_)
    from normsweep.console.overview import plan_lines
    from normsweep.search.plan import Plan

    print("\n".join(plan_lines(Plan(loaded))))
    return 0


@app.command
def sync(
    *,
    study_name: Annotated[
        str | None, Parameter(help="Name of the study; all studies by default.")
    ] = None,
    storage: Storage = STORAGE,
    tracking_uri: TrackingUri = TRACKING,
) -> int:
    """Log to MLflow what is missing there: not yet logged, or lost; without a name, running studies are skipped."""
    from normsweep.runner.delivery import sync_studies, sync_study
    from normsweep.store.storage import study_names

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
) -> int:
    """List the registered components, the included sweeps, or the studies in a database."""
    if sweep is not None and what != "parts":
        raise UserError(f"SWEEP: only allowed with parts, got {what} {sweep}")
    if what == "studies":
        list_studies(storage)
        return 0
    for line in _parts(sweep) if what == "parts" else _sweeps():
        print(printable(line))
    return 0


def _parts(sweep: str | None) -> list[str]:
    """Every component by kind: name, summary, options, and the module of a custom one."""
    from normsweep.parts.catalog import REGISTRIES, load_installed, read_sweep

    load_installed()
    if sweep is not None:
        read_sweep(sweep)
    lines: list[str] = []
    for registry in REGISTRIES:
        lines.append(f"{registry.kind}s")
        for part in registry:
            takes = f" (options: {', '.join(part.options)})" if part.options else ""
            origin = f" [{part.module}]" if part.custom else ""
            lines.append(f"  {part.name:20}{part.summary}{takes}{origin}")
    return lines


def _sweeps() -> list[str]:
    import tomllib

    from normsweep.sweep.loading import shipped_sweeps

    return [
        f"{name:24}{tomllib.loads(path.read_text()).get('question', '')}"
        for name, path in shipped_sweeps().items()
    ]


def main() -> None:
    """The command's entry point."""
    finish(app)
