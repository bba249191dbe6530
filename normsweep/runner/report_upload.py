"""The report of a study: drawn once, while what is drawn already is uploaded to MLflow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from normsweep.analysis.evidence import Evidence
from normsweep.errors import StudyStopped, TrackingFailed
from normsweep.reporting.note import experiment_note, note_figure
from normsweep.reporting.page import RunAddress, write_report
from normsweep.runner.interrupts import Background
from normsweep.runner.publishing import prepare_views, study_pages
from normsweep.search.search_phase import Search
from normsweep.tracking.runs import verdict_metrics, verdict_tags
from normsweep.tracking.tracker import Tracker

__all__ = ["ReportUpload", "publish_report"]

R = TypeVar("R")


def publish_report(
    found: Evidence,
    folder: Path,
    storage: str,
    address: RunAddress | None = None,
    drawn: Callable[[Path], None] = lambda path: None,
) -> Path:
    """Write the report into the folder and return its page.

    `storage`: URL of Optuna's database; `address`: of a run's page in MLflow, as in `write_report`;
    `drawn` is called with each file of a figure.

    Raises:
        StudyStopped: the report cannot be written.
    """
    try:
        return write_report(found, folder, storage, address, written=drawn)
    except OSError as error:
        raise StudyStopped(
            f"{folder}: the report cannot be written: {error.strerror or error}; all trials are stored; "
            "fix this and run the command again"
        ) from None


class ReportUpload:
    """Logs a report to MLflow in the background: a figure as soon as it is drawn, the rest at the end."""

    def __init__(
        self,
        found: Evidence,
        folder: Path,
        search: Search,
        tracker: Tracker,
        background: Background,
    ) -> None:
        """Queue the study's views, the confirmation's means, and the run of the report in `folder`."""
        self._found, self._folder = found, folder
        self._tracker, self._background = tracker, background
        prepared = background.put(prepare_views(search, tracker))
        means = self._after(prepared, self._log_means)
        self._run = self._after(means, tracker.begin_report)
        self._queued: Future[Any] = self._run
        self._files = set[Path]()
        self._given_up = False

    def add(self, path: Path) -> None:
        """Queue a file of the report, which changes no more."""
        self._queued = self._after(self._queued, lambda: self._log([path]))
        self._files.add(path)

    def end(self) -> None:
        """Log the report's other files, its metrics, and the experiment's note with the verdict.

        Raises:
            TrackingFailed: this or what was queued could not be logged.
        """
        self._background.call(self._end)

    def give_up(self) -> None:
        """Mark the report's MLflow run as killed, in the background; the next command reuses the run."""
        self._given_up = True
        self._background.put(self._kill)

    def _after(self, before: Future[Any], job: Callable[[], R]) -> Future[R]:
        """Queue a job that fails at once if the one before has failed: MLflow may take long to."""

        def run() -> R:
            before.result()
            return job()

        return self._background.put(run)

    # What follows runs in the background.

    def _log_means(self) -> None:
        found = self._found
        self._tracker.log_means(found.curves, found.record.keys, found.analysis.seeds)

    def _kill(self) -> None:
        with contextlib.suppress(TrackingFailed):
            self._tracker.end_report(self._run.result(), {}, "KILLED")

    def _log(self, paths: Sequence[Path]) -> None:
        if self._given_up:
            return
        self._tracker.report_files(self._run.result(), self._folder, paths)

    def _end(self) -> None:
        figure, run = note_figure(self._folder), self._run.result()
        try:
            self._queued.result()
            written = sorted(path for path in self._folder.rglob("*") if path.is_file())
            self._log([path for path in written if path not in self._files])
        except TrackingFailed:
            with contextlib.suppress(TrackingFailed):
                self._tracker.end_report(run, {}, "FAILED")
            raise
        asked, keys = self._found.primary, self._found.record.keys
        gaps, outcomes = verdict_metrics(asked, keys), verdict_tags(asked, keys)
        self._tracker.end_report(run, gaps, outcomes=outcomes)
        self._note(run, figure)

    def _note(self, run: str, figure: str) -> None:
        pages = replace(
            study_pages(self._found.record, self._tracker),
            report=self._tracker.artifact_page(run, "index.html"),
            figure=figure and self._tracker.artifact_file(run, figure),
        )
        self._tracker.note(experiment_note(self._found.record, pages, self._found))
