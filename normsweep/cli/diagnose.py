"""`normsweep diagnose`: what the inputs look like and how training begins, without a study."""

from __future__ import annotations

from normsweep.shell import DataDir, DeviceName, Overrides, SweepFile

__all__ = ["diagnose"]


def diagnose(
    sweep: SweepFile,
    /,
    *,
    data_dir: DataDir = None,
    device: DeviceName = "auto",
    set_: Overrides = (),
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
