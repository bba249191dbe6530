"""Optuna's dashboard, as far as it can be told without it."""

from __future__ import annotations

from importlib.util import find_spec

from normsweep.errors import UserError
from normsweep.search.studies import Study

__all__ = ["check_installed", "study_page"]


def check_installed() -> None:
    """Make sure that the dashboard is there.

    Raises:
        UserError: it is not installed.
    """
    if find_spec("optuna_dashboard") is None:
        raise UserError(
            "--optuna: optuna-dashboard is not installed; legal: after pip install normsweep[dashboard]"
        )


def study_page(study: Study | None) -> str:
    """Where the dashboard shows a study, or all of them, below its address."""
    return "dashboard/" if study is None else f"dashboard/studies/{study.key}"
