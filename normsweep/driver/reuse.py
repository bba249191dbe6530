"""What need not be trained, because the record or a kept state has it already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from normsweep.spec import CONFIRM, Record, Result, Status, Trial

__all__ = ["Curves"]


class Curves:
    """The longest recorded curve of each lineage.

    With a constant learning rate a curve holds every shorter one of its lineage, bit for bit, where
    it was trained on the same machine with the same threads and versions.
    """

    def __init__(
        self, records: Iterable[Record], identity: Callable[[Trial], Mapping[str, str]]
    ) -> None:
        """`identity` says what a trial's bits would depend on now; asked for what is older than this."""
        self._identity = identity
        self._longest: dict[str, Record] = {}
        self._known: dict[tuple[str, str, str], Mapping[str, str]] = {}
        self._new: set[int] = set()
        for record in records:
            self._add(record)

    def add(self, record: Record) -> None:
        """Take up a trial that has just ended here."""
        self._new.add(record.trial.number)
        self._add(record)

    def answer(self, trial: Trial) -> Result | None:
        """The result that the record holds of a trial, or None where it has to be trained."""
        record = self._longest.get(trial.lineage)
        if record is None or record.result is None:
            return None
        curve = tuple(epoch for epoch in record.result.curve if epoch.epoch <= trial.epochs)
        diverged = not curve[-1].finite
        if len(curve) < trial.epochs and not diverged:
            return None
        if trial.phase == CONFIRM and not diverged and not all(e.tested for e in curve):
            return None
        if not self._trusted(trial, record):
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

    def _add(self, record: Record) -> None:
        result = record.result
        if result is None or not result.curve or not result.machine:
            return
        before = self._longest.get(record.trial.lineage)
        if before is None or before.result is None or _reach(before.result) < _reach(result):
            self._longest[record.trial.lineage] = record

    def _trusted(self, trial: Trial, record: Record) -> bool:
        """Whether a record's curve is what would come out here and now."""
        if record.trial.number in self._new:
            return True
        key = (trial.model, str(sorted(trial.model_options.items())), trial.normalization)
        if key not in self._known:
            self._known[key] = self._identity(trial)
        assert record.result is not None
        return dict(record.result.machine) == dict(self._known[key])


def _reach(result: Result) -> float:
    """How many epochs a curve answers for: one that diverged, all that could follow."""
    return float("inf") if not result.curve[-1].finite else len(result.curve)
