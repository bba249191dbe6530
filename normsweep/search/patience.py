"""Optuna's storage on a database server that may be restarted, or drop connections, meanwhile."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError

__all__ = ["PATIENCE", "Patient"]

R = TypeVar("R")

PATIENCE = 60.0
"""Seconds that a study waits for a database server that went away."""
PAUSE = 0.2
REPEATED = (
    "_create_new_trial",
    "_get_trials",
    "_set_trial_param",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_system_attrs",
    "get_trial",
    "set_study_system_attr",
    "set_study_user_attr",
    "set_trial_intermediate_value",
    "set_trial_system_attr",
    "set_trial_user_attr",
)
"""What may be done twice. A second new trial is one too many, and is closed as such."""


class Patient(optuna.storages.RDBStorage):
    """Does again what a lost connection broke off; there is one driver a study, so nobody came between."""

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        attempts = count()

        def attempt() -> bool:
            # The first one may have been carried out, and its answer lost.
            if next(attempts) and self.get_trial(trial_id).state == state:
                return True
            return optuna.storages.RDBStorage.set_trial_state_values(self, trial_id, state, values)

        return patiently(attempt)


def patiently(attempt: Callable[[], R]) -> R:
    """What `attempt` returns, tried again while it fails for a connection that was lost."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return attempt()
        except (StorageInternalError, SQLAlchemyError) as error:
            if not _lost(error) or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE)


def _lost(error: Exception) -> bool:
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, DBAPIError):
        return cause.connection_invalidated
    return isinstance(cause, PendingRollbackError)  # lost between two statements


def _repeated(name: str) -> Callable[..., Any]:
    method = getattr(optuna.storages.RDBStorage, name)

    @functools.wraps(method)
    def wrapped(self: Patient, *args: Any, **kwargs: Any) -> Any:
        return patiently(lambda: method(self, *args, **kwargs))

    return wrapped


for _name in REPEATED:
    setattr(Patient, _name, _repeated(_name))
