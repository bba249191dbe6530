"""`Halving`: the trials of one arm that pause at a rung until all of them have got there; the best go on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from normsweep.analysis.trials import rank, read_at_epoch
from normsweep.sweep.rungs import Rung
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import TrialRecord
from normsweep.sweep.trial import Status

__all__ = ["Halving"]


class Halving:
    """Says which trials of an arm are trained next, by slot, and up to which epoch.

    A trial that pauses is stored as pruned; one that goes on is stored as a further trial of the same
    slot, which continues from a checkpoint. The baseline, slot 0, never pauses, and is always among those
    that go on. All others are ranked by their scores after exactly the rung's epoch, ties by validation
    loss. What is trained next depends only on the trials that have ended, not on their order.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._rungs, self._trials, self._epochs = sweep.rungs, sweep.points_per_arm, sweep.longest
        self._ended: dict[int, TrialRecord] = {}
        """The latest part of each trial."""
        self._parts: set[tuple[int, int]] = set()

    @property
    def ended(self) -> int:
        """Parts of trials that have ended."""
        return len(self._parts)

    @property
    def left(self) -> int:
        """Parts of trials that have not ended, as far as it is known."""
        going: Sequence[int] = range(self._trials)
        for place, rung in enumerate(self._rungs):
            if waiting := self._without(going, rung.epoch):
                return len(waiting) + sum(later.going_on - 1 for later in self._rungs[place:])
            going = self._best(going, rung)
        return len(self._without(going, self._epochs))

    def add(self, record: TrialRecord) -> None:
        """Add a part of a trial that has ended and is not tried again."""
        slot, result = record.trial.slot, record.result
        assert result is not None
        self._ended[slot] = record
        self._parts.add((slot, len(result.curve) if result.status is Status.PRUNED else 0))

    def known(self, slot: int) -> TrialRecord | None:
        """The latest part of a trial."""
        return self._ended.get(slot)

    def due(self) -> dict[int, int]:
        """By slot the trials to train next, running ones included, and the epoch at which each pauses or ends."""
        going: Sequence[int] = range(self._trials)
        for rung in self._rungs:
            if waiting := self._without(going, rung.epoch):
                return {slot: rung.epoch if slot else self._epochs for slot in waiting}
            going = self._best(going, rung)
        return dict.fromkeys(self._without(going, self._epochs), self._epochs)

    def _without(self, slots: Iterable[int], epoch: int) -> list[int]:
        """The trials that have neither ended nor reached an epoch."""
        return [slot for slot in slots if not self._reached(slot, epoch)]

    def _reached(self, slot: int, epoch: int) -> bool:
        record = self._ended.get(slot)
        if record is None or record.result is None:
            return False
        return record.result.status is not Status.PRUNED or len(record.result.curve) >= epoch

    def _best(self, slots: Iterable[int], rung: Rung) -> list[int]:
        """The trials that go on from a rung, without those that diverged or failed."""
        read = read_at_epoch((self._ended[slot] for slot in slots), rung.epoch)
        ordered = sorted(
            (r.trial.slot == 0, *rank(r)[:3], -r.trial.slot, r.trial.slot) for r in read
        )
        return sorted(slot for *_, slot in ordered[::-1][: rung.going_on])
