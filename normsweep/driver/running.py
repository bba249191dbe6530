"""A study that is open: its phases one after the other, and what a person is told at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from normsweep.driver.checkpoints import Checkpoints
from normsweep.driver.closing import (
    close_study,
    print_missing,
    print_next,
    print_tables,
    write_note,
)
from normsweep.driver.confirm import diagnose_arms, open_confirmation
from normsweep.driver.delivery import Delivery
from normsweep.driver.loop import run_phase
from normsweep.driver.models import log_best_models
from normsweep.driver.signals import Signals
from normsweep.errors import StudyStopped
from normsweep.execution import Executor
from normsweep.reporting.console import make_display
from normsweep.search import Confirmation, Hold, Phase, Search, Study
from normsweep.spec import CONFIRM, DataKey, Result
from normsweep.tracking import Tracker

__all__ = ["PhaseName", "Running"]

PhaseName = Literal["search", "confirm", "all"]


@dataclass(frozen=True)
class Running:
    """What the phases of a study share."""

    study: Study
    search: Search
    data: DataKey
    about: Mapping[str, Any]
    where: Result
    """Machine and chance level, for trials whose process is lost with them."""
    executor: Executor
    tracker: Tracker
    root: Path
    storage: str
    """As an option that names the study's storage, empty where it is the default."""
    hold: Hold
    signals: Signals
    console: Console

    def run(self, wanted: PhaseName) -> bool:
        """Run the phases that are wanted.

        Returns:
            Whether MLflow has all of it, and the search brought a score.
        """
        search, console = self.search, self.console
        if not search.left:
            console.print(
                f"study {search.sweep.name} is done: {search.total} of {search.total} trials"
            )
        undelivered: list[int] = []
        try:
            if wanted != CONFIRM:
                undelivered += self._search()
            if wanted == CONFIRM or (wanted == "all" and not search.left):
                undelivered += self._confirm()
        except BaseException:
            with contextlib.suppress(StudyStopped):  # it would stand before what is wrong
                write_note(search, self.tracker, console)
            raise
        print_tables(search, console)
        kept = close_study(self.study, search, self.tracker, self.root, self.storage, console)
        print_next(search, self.storage, self.tracker, console)
        return print_missing(search, undelivered, wanted != CONFIRM, console) and kept

    def _search(self) -> list[int]:
        sweep = self.search.sweep
        checkpoints = Checkpoints(self.root / "checkpoints" / sweep.name)
        return self._phase(self.search, checkpoints, sweep.search.timeout)

    def _confirm(self) -> list[int]:
        confirmation = open_confirmation(self.study, self.search, self.data)
        undelivered = self._phase(confirmation, None, None)
        if not confirmation.left:
            confirmation.look()
        return undelivered

    def _phase(
        self, phase: Phase, checkpoints: Checkpoints | None, timeout: float | None
    ) -> list[int]:
        """Run a phase; the numbers of the trials that MLflow does not have in the end."""
        arms = [str(arm) for arm in self.search.sweep.arms]
        with make_display(self.console) as display:
            delivery = Delivery(phase, self.tracker, self.about, display.note)
            delivery.deliver(self.signals.check)
            display.begin(phase.records(), phase.total, arms)
            if isinstance(phase, Confirmation):
                diagnose_arms(self.study, phase, self.data, self.executor, display, self.signals)
            run_phase(
                phase,
                self.executor,
                delivery,
                checkpoints,
                display,
                self.signals,
                self.hold,
                self.where,
                timeout,
            )
            undelivered = delivery.deliver(self.signals.check)
            if isinstance(phase, Search) and checkpoints is not None:
                log_best_models(
                    phase, self.tracker, self.executor, checkpoints, display, self.signals
                )
        return undelivered
