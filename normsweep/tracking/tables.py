"""The tables of a local MLflow database: there whole, or not at all."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient

from normsweep.databases import parsed_url, sqlite_file

__all__ = ["make_tables"]


def make_tables(uri: str) -> None:
    """Make a new SQLite file with MLflow's tables; nothing where there is one, or on a server.

    MLflow migrates a new file in dozens of steps, and one that was killed between two of them can
    never be opened again: so the file gets its name last.
    """
    file = sqlite_file(parsed_url(uri))
    if file is None or file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    # By its whole path: MLflow keeps what it has opened, and a program may change its folder.
    work = Path(f"{file.absolute()}.making")
    for left in work.parent.glob(f"{work.name}*"):
        left.unlink()
    MlflowClient(tracking_uri=f"sqlite:///{work}").search_experiments(max_results=1)
    work.replace(file)
