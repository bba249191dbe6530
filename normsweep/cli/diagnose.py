"""`normsweep diagnose`: what the inputs look like and how training begins, without a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

__all__ = ["diagnose"]


def diagnose(
    sweep: Annotated[str, Parameter(help="Sweep file, or name of an included sweep.")],
    /,
    *,
    data_dir: Annotated[
        Path | None,
        Parameter(env_var="NORMSWEEP_DATA", help="Folder with mnist.npz and other datasets."),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "gpu"],
        Parameter(help="Device to train on; auto uses a GPU if there is one."),
    ] = "auto",
    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            negative=(),
            consume_multiple=True,
            help="KEY=VALUE: override keys of the sweep file, as in the study command.",
        ),
    ] = (),
) -> int:
    """Look at the data and at the start of each arm's network, and say what to try first; stores nothing."""
    from normsweep.parts.catalog import read_sweep
    from normsweep.runner.workers import Settings

    loaded = read_sweep(sweep, set_)
    from normsweep.runner.checkup import check_setup
    from normsweep.text import printable

    for line in check_setup(loaded, Settings(device=device, data_dir=data_dir)).lines():
        print(printable(line))
    return 0
