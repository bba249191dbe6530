"""What need not be trained, because the record or a kept state has it already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import CONFIRM, Result, Status, Trial

__all__ = ["Curves"]


class Curves:
    """The longest curve of each lineage: of those that ended here, and of those on record before.

    With a constant learning rate a curve holds every shorter one of its lineage, bit for bit, where
    it was trained on the same machine with the same threads and versions.
    """

    def __init__(
        self, records: Iterable[TrialRecord], identity: Callable[[Trial], Mapping[str, str]]
    ) -> None:
        """`identity` says what a trial's bits would depend on now; asked for what is older than this."""
        self._identity = identity
        self._known: dict[str, Mapping[str, str]] = {}
        self._new: dict[str, TrialRecord] = {}
        self._old: dict[str, TrialRecord] = {}
        for record in records:
            _add(self._old, record)

    def add(self, record: TrialRecord) -> None:
        """Take up a trial that has just ended here."""
        _add(self._new, record)

    def answer(self, trial: Trial) -> Result | None:
        """The result that the record holds of a trial, or None where it has to be trained."""
        new = _answer(trial, self._new.get(trial.lineage))
        if new is not None:
            return new
        old = _answer(trial, self._old.get(trial.lineage))
        return old if old is not None and self._trusted(trial, old) else None

    def _trusted(self, trial: Trial, known: Result) -> bool:
        """Whether an older curve is what would come out here and now."""
        key = replace(trial, learning_rate=0.0).lineage  # what is asked for depends on no rate
        if not self._known.get(key):
            self._known[key] = self._identity(trial)
        return dict(known.machine) == dict(self._known[key])


def _answer(trial: Trial, record: TrialRecord | None) -> Result | None:
    """What a record of the trial's lineage has of the trial, or None where it has not all of it."""
    if record is None or record.result is None:
        return None
    curve = tuple(epoch for epoch in record.result.curve if epoch.epoch <= trial.epochs)
    diverged = not curve[-1].finite
    if len(curve) < trial.epochs and not diverged:
        return None
    tested = record.result.test_digest and (diverged or all(e.tested for e in curve))
    if trial.phase == CONFIRM and not tested:
        return None
    return replace(
        record.result,
        trial=trial.number,
        status=Status.DIVERGED if diverged else Status.COMPLETE,
        curve=tuple(replace(epoch, trial=trial.number) for epoch in curve),
        error="",
        origin=record.trial.number,
        reused=len(curve),
    )


def _add(longest: dict[str, TrialRecord], record: TrialRecord) -> None:
    result = record.result
    if result is None or not result.curve or not result.machine:
        return
    before = longest.get(record.trial.lineage)
    if before is None or before.result is None or _reach(before.result) < _reach(result):
        longest[record.trial.lineage] = record


def _reach(result: Result) -> float:
    """How many epochs a curve answers for: one that diverged, all that could follow."""
    return float("inf") if not result.curve[-1].finite else len(result.curve)
