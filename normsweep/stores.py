"""Where studies are kept unless a command says otherwise."""

from __future__ import annotations

from normsweep.errors import masked

__all__ = ["STORAGE", "TRACKING", "storage_option", "tracking_option"]

STORAGE = "sqlite:///mlruns/optuna.db"
"""Optuna's database: the record."""
TRACKING = "sqlite:///mlruns/mlflow.db"
"""MLflow's tracking store: its projection."""


def storage_option(url: str) -> str:
    """What a printed command needs to find a study, its blank before it; empty for the default."""
    return "" if url == STORAGE else f" --storage '{masked(url)}'"


def tracking_option(uri: str) -> str:
    """The same for MLflow's tracking store."""
    return "" if uri == TRACKING else f" --tracking-uri '{masked(uri)}'"
