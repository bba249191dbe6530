"""`python -m normsweep.study`: run or resume a study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from normsweep.errors import UserError
from normsweep.shell import (
    DataDir,
    DeviceName,
    Storage,
    SweepFile,
    TrackingUri,
    command,
    finish,
)
from normsweep.urls import STORAGE, TRACKING

if TYPE_CHECKING:
    from normsweep.sweep.schema import Sweep

__all__ = ["app", "main", "study"]

app = command(
    "python -m normsweep.study",
    "Search a space of normalization schemes, learning rates, optimizers and epochs.",
)


@app.default
def study(
    sweep: SweepFile = "quickstart",
    /,
    *,
    study_name: Annotated[
        str | None, Parameter(help="Name of the study; the sweep's name by default.")
    ] = None,
    storage: Storage = STORAGE,
    tracking_uri: TrackingUri = TRACKING,
    mlflow_page: Annotated[
        str | None,
        Parameter(
            env_var="NORMSWEEP_MLFLOW_PAGE",
            help="Address of MLflow in a browser, if not the tracking URI.",
        ),
    ] = None,
    n_trials: Annotated[
        int | None, Parameter(help="Total number of trials; overrides search.trials.")
    ] = None,
    timeout: Annotated[
        str | None,
        Parameter(help="Time after which no trial is started: 90m, 1h30m, 45s, or seconds."),
    ] = None,
    seed: Annotated[
        int | None, Parameter(help="Seed of the study; overrides the sweep's seed.")
    ] = None,
    data_dir: DataDir = None,
    executor: Annotated[
        Literal["processes", "inline", "ray"], Parameter(help="Where trials run.")
    ] = "processes",
    n_jobs: Annotated[
        int | None,
        Parameter(
            help="Number of parallel trials, each in its own process; 1 by default, on a Ray cluster as "
            "many as fit."
        ),
    ] = None,
    stack: Annotated[
        str | None,
        Parameter(
            help="Trials that a worker trains together as one program, a power of two, or auto; needs "
            "KERAS_BACKEND=jax."
        ),
    ] = None,
    ray_address: Annotated[
        str | None,
        Parameter(
            env_var="RAY_ADDRESS",
            help="Address of a Ray cluster, such as ray://host:10001 or host:6379; by default one is "
            "started on this machine.",
        ),
    ] = None,
    device: DeviceName = "auto",
    phase: Annotated[
        Literal["search", "confirm", "all"],
        Parameter(
            help="Phases to run; all: the search, then selection and confirmation on fresh seeds."
        ),
    ] = "all",
    reuse: Annotated[
        str | None,
        Parameter(
            help="Name of another study in the storage: what it has trained is not trained again."
        ),
    ] = None,
    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            negative=(),
            consume_multiple=True,
            help="KEY=VALUE: override keys of the sweep file; dotted keys, TOML values.",
        ),
    ] = (),
    quiet: Annotated[
        bool,
        Parameter(
            name=["--quiet", "-q"], negative=(), help="Print only the answer, warnings and errors."
        ),
    ] = False,
    verbose: Annotated[
        bool, Parameter(name=["--verbose", "-v"], negative=(), help="Print a line for every epoch.")
    ] = False,
    log_file: Annotated[
        Path | None, Parameter(help="File to append all output to, with timestamps.")
    ] = None,
    dry_run: Annotated[bool, Parameter(negative=(), help="Print the plan and exit.")] = False,
    estimate: Annotated[
        bool,
        Parameter(negative="--no-estimate", help="Measure a training step to estimate the time."),
    ] = True,
) -> int:
    """Run a study, or resume it: the number of trials is a total.

    Trials are stored in Optuna's database and logged to MLflow. Run the command again to resume.
    """
    if n_jobs is not None and n_jobs < 1:
        raise UserError(f"--n-jobs: must be at least 1, got {n_jobs}")
    if n_jobs is not None and n_jobs > 1 and executor == "inline":
        raise UserError(f"--n-jobs: must be 1 with --executor inline, got {n_jobs}")
    if quiet and verbose:
        raise UserError("--quiet, --verbose: only one of them is allowed")
    name = None if study_name is None else json.dumps(study_name)  # 2026 is a name, not a number
    given = {
        "--study-name": ("name", name),
        "--n-trials": ("search.trials", n_trials),
        "--timeout": ("search.timeout", timeout),
        "--seed": ("seed", seed),
        "--stack": (
            "execution.stack",
            stack if stack is None or stack.isdigit() else json.dumps(stack),
        ),
    }
    options = {key: option for option, (key, value) in given.items() if value is not None}
    overrides = [*set_, *(f"{k}={value}" for k, value in given.values() if value is not None)]
    loaded, path = _load(sweep, overrides, options)
    if dry_run and not estimate:
        return _print_plan(loaded)
    from normsweep.runner.workers import Settings, Workers

    settings = Settings(
        storage=storage,
        tracking_uri=tracking_uri,
        mlflow_page=mlflow_page,
        executor=executor,
        n_jobs=n_jobs,
        ray_address=ray_address,
        device=device,
        phase=phase,
        data_dir=data_dir,
        sweep_file=path,
        reuse=reuse,
        overrides=tuple(overrides),
    )
    if dry_run:
        from normsweep.console.screen import screen
        from normsweep.runner.session import plan_study

        with screen(quiet=quiet, verbose=verbose, log_file=log_file) as console:
            plan_study(loaded, settings, console)
        return 0
    with Workers(loaded, settings) as workers:  # they import the backend meanwhile
        from normsweep.console.screen import screen
        from normsweep.runner.session import run_study

        with screen(quiet=quiet, verbose=verbose, log_file=log_file) as console:
            return 0 if run_study(loaded, settings, workers, console) else 1


def _load(sweep: str, overrides: list[str], options: dict[str, str]) -> tuple[Sweep, Path]:
    from normsweep.parts.catalog import read_sweep
    from normsweep.sweep.loading import find_sweep

    return read_sweep(sweep, overrides, options), find_sweep(sweep)


def _print_plan(sweep: Sweep) -> int:
    from normsweep.console.overview import plan_lines
    from normsweep.search.plan import Plan

    print("\n".join(plan_lines(Plan(sweep))))
    return 0


def main() -> None:
    """The command's entry point."""
    finish(app)


if __name__ == "__main__":
    main()
