"""The notes of a study in Optuna's dashboard, written while the study runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from normsweep.analysis.evidence import Evidence
from normsweep.console.screen import say
from normsweep.errors import StudyStopped
from normsweep.reporting.commands import Commands
from normsweep.reporting.dashboard_note import dashboard_notes
from normsweep.runner.publishing import study_pages
from normsweep.store.dashboard import phase_pages
from normsweep.store.study_store import StudyStore
from normsweep.sweep.study_record import StudyRecord
from normsweep.text import masked
from normsweep.tracking.tracker import Tracker

__all__ = ["DashboardNotes"]


@dataclass
class DashboardNotes:
    """Writes the notes; a failure is printed once, and nothing else depends on them."""

    store: StudyStore
    tracker: Tracker
    storage: str
    """Address of Optuna's database."""
    _failed: bool = field(default=False, init=False)

    def begin(self) -> None:
        """Write the notes of a study that has no verdict yet; those with one are kept."""
        with self._reported():
            record = self.store.record().labelled()
            if not record.analyses:
                self._write(record, None)

    def write(self, found: Evidence) -> None:
        """Write the notes with what the study has found."""
        with self._reported():
            self._write(found.record, found)

    def _write(self, record: StudyRecord, found: Evidence | None) -> None:
        commands = Commands(record, self.storage, self.tracker.uri)
        pages, views = phase_pages(self.store), self._views(record)
        self.store.write_notes(dashboard_notes(commands, pages, views, found))

    def _views(self, record: StudyRecord) -> dict[str, str]:
        """Addresses of the prepared views in MLflow; none if it has no address, or one with a password."""
        address = self.tracker.address
        if not address or masked(address) != address:
            return {}
        views = study_pages(record, self.tracker).views
        return {name: f"{address}/{page}" for name, page in views.items()}

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except StudyStopped as error:
            if not self._failed:
                say(f"the note in Optuna's dashboard was not written: {error}")
            self._failed = True
