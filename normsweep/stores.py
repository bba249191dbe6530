"""Where studies are kept unless a command says otherwise."""

from __future__ import annotations

__all__ = ["STORAGE", "TRACKING"]

STORAGE = "sqlite:///mlruns/optuna.db"
"""Optuna's database: the record."""
TRACKING = "sqlite:///mlruns/mlflow.db"
"""MLflow's tracking store: its projection."""
