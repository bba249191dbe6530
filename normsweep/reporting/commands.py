"""Commands that people copy: what runs a study, confirms it, adds seeds, writes its report."""

from __future__ import annotations

from normsweep.analysis.evidence import Evidence
from normsweep.parts.catalog import catalog
from normsweep.sweep.loading import load_sweep, shipped_sweeps
from normsweep.sweep.recorded import to_plain
from normsweep.sweep.study_record import StudyRecord

__all__ = ["confirm_command", "report_commands", "study_command"]

GROWING = ("search.trials", "search.timeout", "confirm.seeds")
"""Keys that a command may have raised since."""
STEP = 10
"""Seeds to add where nobody knows how many are missing."""


def study_command(record: StudyRecord, storage: str = "") -> str:
    """The command of a shipped sweep as it is, else one in which the user's own has its place.

    `storage` is the option that names the study's storage, or empty; so it is below.
    """
    name = record.sweep.name
    if name in shipped_sweeps():
        shipped, own = to_plain(load_sweep(name, catalog())), to_plain(record.sweep)
        if all(shipped[key] == own.get(key) for key in shipped if key not in GROWING):
            return f"python -m normsweep.study {name}{storage}"
    return f"python -m normsweep.study SWEEP.toml --study-name {name}{storage}"


def confirm_command(found: Evidence, storage: str = "") -> str:
    """The command that gives a verdict, or a more certain one."""
    command = study_command(found.record, storage)
    if not found.record.analyses:
        return f"{command} --phase confirm"
    known = [v.further_seeds for v in found.primary if v.further_seeds is not None]
    return f"{command} --set confirm.seeds={found.analysis.seeds + max(known, default=STEP)}"


def report_commands(record: StudyRecord, storage: str = "") -> list[str]:
    """The commands that reproduce a study, its report and its table of verdicts."""
    given = f" --study-name {record.name}{storage}"
    return [
        study_command(record, storage),
        f"python -m normsweep.report{given}",
        f"python -m normsweep.export verdict{given} --format markdown",
    ]
