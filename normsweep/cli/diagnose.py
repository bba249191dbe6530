"""`normsweep diagnose`: what the inputs look like and how training begins, without a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from normsweep.shell import DataDir, DeviceName, Overrides, SweepFile

__all__ = ["diagnose"]


def diagnose(
    sweep: SweepFile,
    /,
    *,
    data_dir: DataDir = None,
    device: DeviceName = "auto",
    set_: Overrides = (),
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="Folder for a page with figures and tables."),
    ] = None,
) -> int:
    """Look at the data and at the start of each arm's network, and say what to try first; no study is created."""
    from normsweep.parts.catalog import read_sweep
    from normsweep.runner.workers import Settings

    loaded = read_sweep(sweep, set_)
    from normsweep.runner.checkup import check_setup
    from normsweep.text import printable

    found = check_setup(loaded, Settings(device=device, data_dir=data_dir))
    for line in found.lines():
        print(printable(line))
    if output is not None:
        print(found.report(output))
    return 0
