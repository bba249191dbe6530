"""Serve Optuna's dashboard: `python -m normsweep.store.dashboard HOST PORT`, in its own process.

The storage is passed in OPTUNA_STORAGE: command lines are visible to all users of the machine.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from normsweep.errors import UserError
from normsweep.store.storage import open_storage, quiet
from normsweep.store.study_store import StudyStore
from normsweep.sweep.trial import SEARCH

__all__ = ["check_installed", "main", "phase_pages", "study_page"]


def main() -> None:
    """Serve until the process is terminated."""
    from optuna_dashboard import run_server  # pyright: ignore[reportMissingImports]

    host, port = sys.argv[1], int(sys.argv[2])
    with quiet():
        run_server(open_storage(os.environ["OPTUNA_STORAGE"], create=False), host=host, port=port)


if __name__ == "__main__":
    main()


def check_installed() -> None:
    """Check that the dashboard is installed.

    Raises:
        UserError: it is not.
    """
    if find_spec("optuna_dashboard") is None:
        raise UserError(
            "--optuna: optuna-dashboard is not installed; run pip install 'normsweep[dashboard]'"
        )


def study_page(study: StudyStore | None) -> str:
    """The path of a study's page in the dashboard; of the list of studies if None."""
    return "dashboard/" if study is None else phase_pages(study)[SEARCH].lstrip("/")


def phase_pages(study: StudyStore) -> dict[str, str]:
    """The pages of a study's phases that have begun in the dashboard, as a page of the dashboard links to them."""
    return {phase: f"/dashboard/studies/{key}" for phase, key in study.keys.items()}
