"""`StudyTables`: a study in Optuna's database. All SQL and all uses of Optuna's private API are here.

Optuna's `Study` reads all trials before it asks for one, and takes eight transactions to start a
trial with known parameters. Here it takes one, and only two attributes of each trial are read. A
study has an attribute for each trial that is logged to MLflow, so attributes are read by name.
"""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    json_to_distribution,
)
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy import Engine, bindparam, create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, PendingRollbackError, SQLAlchemyError

__all__ = [
    "PATIENCE",
    "REPEATED",
    "Patient",
    "Reader",
    "Row",
    "StudyTables",
    "keys_after",
    "names_with",
    "patiently",
]

ATTRIBUTES = "SELECT key, value_json FROM study_user_attributes WHERE study_id = :study "


NAMES = """
SELECT s.study_name, a.value_json FROM studies s JOIN study_user_attributes a ON a.study_id = s.study_id
WHERE a.key = :key
"""


NAMES_AND_KEYS = """
SELECT s.study_name, a.key FROM studies s JOIN study_user_attributes a ON a.study_id = s.study_id
WHERE a.key LIKE :pattern
"""


FIRST_VALUE = """
SELECT p.distribution_json FROM trial_params p JOIN trials t ON t.trial_id = p.trial_id
WHERE t.study_id = :study AND p.param_name = :name ORDER BY t.number LIMIT 1
"""


TRIALS = """
SELECT t.number, t.trial_id, t.state, a.key, a.value_json FROM trials t
LEFT JOIN trial_user_attributes a ON a.trial_id = t.trial_id AND a.key IN :keys
WHERE t.study_id = :study AND t.number >= :first
"""


LENGTHS = "SELECT study_id, count(*) FROM trials WHERE study_id IN :keys GROUP BY study_id"


IDS = "SELECT trial_id FROM trials WHERE study_id = :study AND number >= :first AND number < :last"


SYSTEM_ATTRIBUTES = """
SELECT key, value_json FROM study_system_attributes WHERE study_id = :study AND key LIKE :pattern
"""


REMOVED = """
DELETE FROM study_system_attributes WHERE study_id = :study AND key = :key AND value_json = :value
"""


ADDED = (
    "INSERT INTO study_system_attributes (study_id, key, value_json) VALUES (:study, :key, :value)"
)


COUNTS = """
SELECT state, count(*), max(trial_id) FROM trials WHERE study_id = :study GROUP BY state ORDER BY state
"""


REVISION = re.compile(r'^revision = "([^"]+)"', re.MULTILINE)
FOLLOWED = re.compile(r'^down_revision = "([^"]+)"', re.MULTILINE)


R = TypeVar("R")


PATIENCE = 60.0
"""Seconds that a study waits for a lost database server."""


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
"""Methods that are safe to repeat. An extra new trial is closed as failed."""


@dataclass(frozen=True)
class Row:
    """A trial in the database: its state and its requested attributes, as JSON."""

    number: int
    """Optuna's number."""
    key: int
    """Optuna's id."""
    state: TrialState
    attrs: Mapping[str, str]


class StudyTables:
    """An Optuna study in its tables. A study of normsweep consists of one or more of them.

    Trials are written by Optuna's ids of them, which are unique in the database.
    """

    def __init__(self, storage: optuna.storages.RDBStorage, name: str) -> None:
        """`name`: an existing study."""
        self.name = name
        self._storage, self._id = storage, storage.get_study_id_from_name(name)

    @property
    def url(self) -> str:
        """The address of the database, with *** as its password."""
        return str(self._storage.engine.url)

    @property
    def key(self) -> int:
        """The id of the study in the database."""
        return self._id

    @property
    def engine(self) -> Engine:
        """What makes the connections to the database."""
        return self._storage.engine

    def attrs(self, keys: Iterable[str]) -> dict[str, Any]:
        """The study's attributes with these keys; missing ones are left out."""
        found = self._select(ATTRIBUTES + "AND key IN :keys", keys=list(keys))
        return {key: json.loads(value) for key, value in found}

    def attrs_after(self, prefix: str) -> dict[str, Any]:
        """The study's attributes with a prefix (without `%` and `_`), by the rest of their keys."""
        found = self._select(ATTRIBUTES + "AND key LIKE :pattern", pattern=f"{prefix}%")
        return {key.removeprefix(prefix): json.loads(value) for key, value in found}

    def state(self, without: str) -> list[tuple[Any, ...]]:
        """Differs whenever a trial has begun or ended, or another attribute than `without` was written."""
        attrs = self._select(ATTRIBUTES + "AND key <> :without ORDER BY key", without=without)
        return [tuple(row) for row in (*attrs, *self._select(COUNTS))]

    def set_attr_of_study(self, key: str, value: Any) -> None:
        """Write an attribute of the study."""
        self._storage.set_study_user_attr(self._id, key, value)

    def system_attrs(self, prefix: str) -> dict[str, Any]:
        """The study's system attributes with a prefix (without `%` and `_`), by their keys."""
        found = self._select(SYSTEM_ATTRIBUTES, pattern=f"{prefix}%")
        return {key: json.loads(value) for key, value in found}

    def replace_system_attrs(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        """Replace system attributes of the study by others, all of them or none.

        Returns:
            False, and nothing is written, if another process has changed one of them since `before`.
        """

        def attempt() -> bool:
            with self._storage.engine.connect() as connection:
                for key, value in before.items():
                    removed = connection.execute(text(REMOVED), self._system(key, value))
                    if removed.rowcount != 1:
                        return False
                try:
                    for key, value in after.items():
                        connection.execute(text(ADDED), self._system(key, value))
                except IntegrityError:
                    return False
                connection.commit()
                return True

        return patiently(attempt)

    def _system(self, key: str, value: Any) -> dict[str, Any]:
        return {"study": self._id, "key": key, "value": json.dumps(value)}

    def begin(
        self,
        params: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        attrs: Callable[[int], Mapping[str, Any]],
        beside: Iterable[StudyTables] = (),
        least: int = 0,
    ) -> tuple[int, int]:
        """Store a trial as running, with the attributes `attrs(number)`; returns its number and its id.

        `beside`: studies whose trials are counted with those of this one, in one row of numbers, which
        begins at `least` where there are fewer.
        """
        own, others = self._lengths(beside)
        others = max(others, least - own)
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=dict(params),
            distributions=dict(distributions),
            user_attrs=dict(attrs(own + others)),
        )
        with self._storage.scoped_session().no_autoflush:  # one statement for all parameters
            key = self._storage.create_new_trial(self._id, template)
        ((number,),) = self._select("SELECT number FROM trials WHERE trial_id = :key", key=key)
        if number != own:
            self._close_lost(own, number)
            for name, value in attrs(number + others).items():
                self.set_attr(key, name, value)
        return number + others, key

    @contextmanager
    def together(self) -> Iterator[None]:
        """A context in which SQLite, which waits for the disk at each commit, commits only once.

        A server's writes are not joined, as each is repeated if its connection is lost.
        """
        sessions = self._storage.scoped_session
        if self._storage.engine.dialect.name != "sqlite":
            yield
            return
        with self._storage.engine.begin() as connection:
            sessions.remove()
            sessions(bind=connection, join_transaction_mode="rollback_only")
            try:
                yield
            finally:
                sessions.remove()

    def set_attr(self, key: int, name: str, value: Any) -> None:
        """Write an attribute of a running trial."""
        self._storage.set_trial_user_attr(key, name, value)

    def report(self, key: int, step: int, value: float) -> None:
        """Write an intermediate value of a running trial."""
        self._storage.set_trial_intermediate_value(key, step, value)

    def tell(self, key: int, value: float | None, state: TrialState) -> None:
        """End a trial."""
        values = None if value is None else [value]
        self._storage.set_trial_state_values(key, state, values)

    def unfinished(self, attrs: Iterable[str]) -> list[Row]:
        """The waiting and running trials, with some of their attributes."""
        return self.trials(attrs, "AND t.state IN ('WAITING', 'RUNNING')")

    def trials(self, attrs: Iterable[str], where: str = "", first: int = 0) -> list[Row]:
        """All trials from Optuna's number `first` on, with some of their attributes."""
        found: dict[int, tuple[int, TrialState, dict[str, str]]] = {}
        rows = self._select(TRIALS + where, keys=list(attrs), first=first)
        for number, trial, state, key, value in rows:
            _, _, own = found.setdefault(number, (trial, TrialState[state], {}))
            if key is not None:
                own[key] = value
        return [Row(number, *found[number]) for number in sorted(found)]

    def lists(self, name: str) -> bool:
        """Whether a parameter is stored as a choice from a list, which cannot change."""
        found = self._select(FIRST_VALUE, name=name)
        return bool(found) and isinstance(
            json_to_distribution(found[0][0]), CategoricalDistribution
        )

    def __len__(self) -> int:
        ((count,),) = self._select("SELECT count(*) FROM trials WHERE study_id = :study")
        return int(count)

    def _lengths(self, beside: Iterable[StudyTables]) -> tuple[int, int]:
        """The number of trials of this study, and that of all other ones together."""
        studies = {self._id, *(tables.key for tables in beside)}
        lengths = dict(tuple(row) for row in self._select(LENGTHS, keys=sorted(studies)))
        own = lengths.pop(self._id, 0)
        return own, sum(lengths.values())

    def _close_lost(self, first: int, last: int) -> None:
        """End trials whose write succeeded without a confirmation, and was therefore repeated."""
        for (key,) in self._select(IDS, first=first, last=last):
            self.tell(key, None, TrialState.FAIL)

    def _select(self, statement: str, **values: Any) -> list[Any]:
        given = {"study": self._id, **values} if ":study" in statement else values
        return _selected(self._storage, statement, given)


class Reader(optuna.storages.RDBStorage):
    """Reads a database with the tables of the installed Optuna.

    Optuna's own storage imports alembic to check the tables, which takes as long as reading a study.
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any]) -> None:
        self.engine = create_engine(url, **engine_kwargs)

    @property
    def current(self) -> bool:
        """Whether the tables are those of the installed Optuna, according to its migrations."""
        try:
            found = _selected(self, "SELECT version_num FROM alembic_version", {})
        except SQLAlchemyError:
            return False
        return [version for (version,) in found] == [_latest_migration()]

    def get_study_id_from_name(self, study_name: str) -> int:
        ((key,),) = _selected(
            self, "SELECT study_id FROM studies WHERE study_name = :name", {"name": study_name}
        )
        return int(key)


def _latest_migration() -> str:
    """The migration of Optuna that no other one follows."""
    folder = Path(optuna.storages.__file__).parent / "_rdb" / "alembic" / "versions"
    texts = [path.read_text() for path in folder.glob("*.py")]
    names = {name for text in texts for name in REVISION.findall(text)}
    followed = {name for text in texts for name in FOLLOWED.findall(text)}
    (latest,) = names - followed or {""}
    return latest


def names_with(storage: optuna.storages.RDBStorage, key: str) -> dict[str, Any]:
    """The names of all studies that have an attribute, with its value."""
    found = _selected(storage, NAMES, {"key": key})
    return {name: json.loads(value) for name, value in found}


def keys_after(storage: optuna.storages.RDBStorage, prefix: str) -> dict[str, str]:
    """The names of all studies with an attribute of a prefix (without `%` and `_`), with the rest of its key."""
    found = _selected(storage, NAMES_AND_KEYS, {"pattern": f"{prefix}%"})
    return {name: key.removeprefix(prefix) for name, key in found}


def _selected(
    storage: optuna.storages.RDBStorage, statement: str, values: Mapping[str, Any]
) -> list[Any]:
    query = text(statement)
    if "keys" in values:
        query = query.bindparams(bindparam("keys", expanding=True))

    def attempt() -> list[Any]:
        with storage.engine.connect() as connection:
            return list(connection.execute(query, values))

    return patiently(attempt)


class Patient(optuna.storages.RDBStorage):
    """Repeats calls that failed because of a lost connection; only one process writes to a study."""

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        attempts = count()

        def attempt() -> bool:
            # The first attempt may have succeeded, with its response lost.
            if next(attempts) and self.get_trial(trial_id).state == state:
                return True
            return optuna.storages.RDBStorage.set_trial_state_values(self, trial_id, state, values)

        return patiently(attempt)


def patiently(attempt: Callable[[], R]) -> R:
    """The result of `attempt`, which is repeated if the connection to the database is lost."""
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
