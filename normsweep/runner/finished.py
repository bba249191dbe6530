"""A study that is finished answers from its storage: nothing is trained, and MLflow is not needed.

The study holds a mark of the state in which everything was logged, registered and reported. The state
consists of the sweep, the data, the code of custom components, everything in the storage, the address of
MLflow and the files of the report; if any of it is different now, the mark does not count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from normsweep import version
from normsweep.analysis.evidence import evidence
from normsweep.analysis.trials import best_of_arms
from normsweep.console.screen import say
from normsweep.console.summary import (
    print_next,
    print_remaining,
    print_reuse,
    print_tables,
    print_verdict,
)
from normsweep.errors import NormsweepError
from normsweep.parts.catalog import components_digest, is_trained
from normsweep.parts.datasets import version_of_first
from normsweep.reporting.commands import Commands
from normsweep.store.study_store import StudyStore
from normsweep.sweep.recorded import to_plain
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import Publication, StudyRecord
from normsweep.sweep.trial import CONFIRM, SEARCH, PhaseName
from normsweep.text import masked
from normsweep.urls import absolute_url, parsed_url, sqlite_file

__all__ = ["Origin", "preferred_first"]

PAGE = "index.html"


def preferred_first(names: Sequence[str], stored: StudyRecord | None) -> list[str]:
    """The datasets of a sweep, the one of the stored study first."""
    preferred = stored.data.name if stored and stored.data else None
    return sorted(names, key=lambda name: Path(name).stem != preferred)


@dataclass(frozen=True)
class Origin:
    """What a command makes a study of, as it was before the study ran."""

    text: str
    """Sweep, data, components, versions and settings; empty if one of them cannot be known."""
    storage: str
    tracking_uri: str
    report: Path
    """Folder of the report."""
    source: tuple[str, ...] = ("SWEEP.toml",)
    """The sweep file and the options of the command, for commands that are printed."""

    @classmethod
    def of(
        cls,
        sweep: Sweep,
        stored: StudyRecord | None,
        data_dir: Path | None,
        storage: str,
        tracking_uri: str,
        root: Path,
        *settings: str | None,
    ) -> Origin:
        """Read from files and registries; `settings` are others with which a study is run again."""
        text = ""
        try:
            names = preferred_first(sweep.data.candidates, stored)
            data = version_of_first(names, data_dir, sweep.data.task)
            code = components_digest()
            if data and code is not None:
                known = [version(), to_plain(sweep), data, code, str(root.absolute()), *settings]
                text = json.dumps(known, sort_keys=True, default=str)
        except (NormsweepError, OSError):  # reported when the data is loaded
            pass
        return cls(text, storage, tracking_uri, root / "reports" / sweep.name)

    def state(self, store: StudyStore) -> str:
        """SHA-256 of everything that was made of it so far; empty if it is not complete or unknown."""
        database, report = _database(self.tracking_uri), _files(self.report)
        if not (self.text and database and report):
            return ""
        known = [self.text, self.storage, database, report, store.state()]
        return hashlib.sha256("\n".join(known).encode()).hexdigest()

    def published(self, store: StudyStore, phase: PhaseName) -> Publication | None:
        """The study's mark, if it still holds and includes the phase."""
        mark = store.published
        if mark is None or (phase != SEARCH and not mark.confirmed):
            return None
        return mark if mark.state and mark.state == self.state(store) else None

    def note_published(self, store: StudyStore, page: str, phase: PhaseName) -> None:
        """Mark a study as published if it is whole; all of its planned trials have ended."""
        record, confirmed = store.record(), phase != SEARCH
        if (state := self.state(store)) and _whole(record, confirmed):
            store.note_published(Publication(state, masked(page), confirmed))

    def answer(self, record: StudyRecord, mark: Publication, phase: PhaseName) -> bool:
        """Print the results of a published study; returns whether a trial has a score."""
        total, record = record.planned[SEARCH], record.labelled()
        say(f"the search of {record.name} is done: {total} of {total} trials")
        print_tables(record)
        print_reuse(record)
        print_verdict(evidence(record), left=0)
        say(f"report: {self.report / PAGE}")
        print_next(Commands(record, self.storage, self.tracking_uri, self.source), mark.page)
        print_remaining(record, left=0, searched=phase != CONFIRM)
        return record.scored


def _whole(record: StudyRecord, confirmed: bool) -> bool:
    """Whether every arm has its best model and diagnosis: failed ones are tried again by each command."""
    if not is_trained(record.sweep.model.name):
        return True
    models = record.models
    best = all(
        arm in models and models[arm].registered and models[arm].trial == each.trial.number
        for arm, each in best_of_arms(record.searched).items()
    )
    arms = {r.trial.arm for r in record.confirmed} if confirmed else set[str]()
    return best and arms <= record.diagnoses.keys()


def _database(uri: str) -> str:
    """What identifies MLflow's store; empty if its file is missing. A server is identified by its address."""
    file = sqlite_file(parsed_url(uri))
    if file is None:
        return absolute_url(uri)
    try:
        about = file.stat()
    except OSError:
        return ""
    return f"{file.absolute()} {about.st_dev} {about.st_ino}"


def _files(folder: Path) -> str:
    """The files of a report with their size and time of change; empty if it has no page."""
    if not (folder / PAGE).is_file():
        return ""
    found = sorted((path, path.stat()) for path in folder.rglob("*") if path.is_file())
    return "\n".join(f"{path} {about.st_size} {about.st_mtime_ns}" for path, about in found)
