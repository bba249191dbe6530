"""The loop of a phase: ask, train, record, tell."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace

from normsweep.analysis import best_of_arms
from normsweep.driver.checkpoints import Checkpoints
from normsweep.driver.delivery import Delivery
from normsweep.driver.signals import Signals
from normsweep.errors import Interrupted, StudyStopped
from normsweep.execution import Executor
from normsweep.plain import printable
from normsweep.reporting.console import Display
from normsweep.search import Hold, Phase
from normsweep.secrets import masked
from normsweep.spec import Epoch, Record, Result, Status, Trial
from normsweep.training import Finished

__all__ = ["run_phase"]

POLL = 0.5
"""Seconds that one wait for news lasts at most."""
FAILURES = 10
"""Failures of one kind in a row after which the study stops rather than burn its budget."""


def run_phase(
    phase: Phase,
    executor: Executor,
    delivery: Delivery,
    checkpoints: Checkpoints | None,
    display: Display,
    signals: Signals,
    hold: Hold,
    where: Result,
    timeout: float | None = None,
) -> None:
    """Run what is left of the plan, and record all of it.

    Args:
        phase: the plan and the record.
        executor: where trials run.
        delivery: the projection to MLflow.
        checkpoints: where the best trials' weights are kept; None: they are not.
        display: told what happens.
        signals: interrupts between, never within, writes.
        hold: the study, that no other process may drive meanwhile.
        where: machine and chance level, for trials whose process is lost with them.
        timeout: seconds after which no new trial is started; None: no limit.

    Raises:
        Interrupted: the study was asked to stop; what ran is recorded as interrupted.
        StudyStopped: ten trials in a row failed in the same way.
    """
    loop = _Loop(phase, executor, delivery, checkpoints, display, where)
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while True:
            if deadline is None or time.monotonic() < deadline:
                loop.fill()
            if not loop.running:
                return
            # A poll that ends soon is not interrupted: what it had taken in would be lost.
            with signals.waiting() if executor.blocks else nullcontext():
                events = executor.poll(POLL)
            loop.handle(events)
            delivery.collect()
            signals.check()
            hold.check()
    except (Interrupted, StudyStopped, OSError):
        with signals.closing():
            loop.interrupt()
        raise


class _Loop:
    def __init__(
        self,
        phase: Phase,
        executor: Executor,
        delivery: Delivery,
        checkpoints: Checkpoints | None,
        display: Display,
        where: Result,
    ) -> None:
        self._phase, self._executor, self._delivery = phase, executor, delivery
        self._where = where
        self._checkpoints, self._display = checkpoints, display
        self.running: dict[int, Trial] = {}
        self._best = best_of_arms(phase.records())
        self._failures: list[str] = []

    def fill(self) -> None:
        """Start trials while there is room and something to try."""
        while len(self.running) < self._executor.slots and (trial := self._phase.ask()):
            self.running[trial.number] = trial
            self._executor.submit(trial, self._keep_from(trial))
            self._display.started(trial)
            self._delivery.started(trial)

    def handle(self, events: list[Epoch | Finished]) -> None:
        """Record what happened."""
        for event in events:
            if isinstance(event, Epoch):
                self._epoch(event)
            else:
                self._finished(event)

    def interrupt(self) -> None:
        """Stop what runs; each trial is recorded with the epochs it had."""
        for number in list(self.running):
            self._executor.cancel(number)
        try:
            self.handle(self._executor.poll(POLL))
            for number in list(self.running):  # its end was lost where the signal came
                self._finished(Finished(Result(number, Status.INTERRUPTED)))
            self._phase.settle()
        finally:
            self._delivery.abandon()

    def _epoch(self, epoch: Epoch) -> None:
        trial = self.running[epoch.trial]
        self._display.epoch(trial, epoch)
        self._delivery.epoch(epoch)
        self._executor.reply(epoch.trial, self._phase.report(epoch))

    def _finished(self, event: Finished) -> None:
        del self.running[event.result.trial]
        result = replace(event.result, error=printable(masked(event.result.error)))
        if not result.machine:
            where = self._where
            result = replace(result, machine=where.machine, chance=where.chance)
        record = self._phase.tell(result)
        self._keep(record, event)
        self._delivery.finished(record)
        self._display.finished(record)
        self._count_failures(event.result)

    def _keep_from(self, trial: Trial) -> float | None:
        """The score from which a trial's weights are worth having."""
        if self._checkpoints is None:
            return None
        best = self._best.get(trial.arm)
        return best.result.score if best and best.result else -1.0

    def _keep(self, record: Record, event: Finished) -> None:
        """Keep the weights of a new best of its arm, in the place of the one before."""
        if self._checkpoints is None:
            return
        before = self._best
        self._best = best_of_arms([*before.values(), record])
        if self._best.get(record.trial.arm) is record and event.state is not None:
            self._checkpoints.save(record.trial, event.state)
            self._checkpoints.keep_only(r.trial for r in self._best.values())

    def _count_failures(self, result: Result) -> None:
        if not result.status.failed:
            self._failures.clear()
            return
        kind = _kind(result)
        self._failures = [k for k in self._failures if k == kind] + [kind]
        if len(self._failures) >= FAILURES:
            raise StudyStopped(
                f"{FAILURES} trials in a row {result.status.value}; the last one: "
                f"{result.error.strip()[-600:]}"
            )


def _kind(result: Result) -> str:
    """What failures in a row have in common: how they ended, and the name of the error."""
    lines = result.error.strip().splitlines() or [""]
    named = lines[-1] if result.status is Status.CRASHED else ""
    return f"{result.status} {named.partition(':')[0]}"
