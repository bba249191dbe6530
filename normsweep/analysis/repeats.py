"""Repeats of the whole tuning: the gap of the primary question over several searches with seeds of their own.

The outcome of a study is that of its own search. What a search finds differs from search to search, so that
outcome is about the configurations that it found. `Repeated` is about the tuning as such.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from normsweep.analysis.confirm_runs import Confirmed, confirmed
from normsweep.analysis.estimates import Estimate
from normsweep.analysis.parity import Pairs
from normsweep.analysis.rules import compared
from normsweep.analysis.trials import ended_trials, settled
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import Analysis, Configuration, StudyRecord, TrialRecord
from normsweep.sweep.trial import CONFIRM, SEARCH, SELECT, kind_of, phase_of

__all__ = ["Repeated", "confirmed_repeats", "ended_repeats", "repeated_gaps"]


PHASES = (SEARCH, SELECT, CONFIRM)


@dataclass(frozen=True)
class Repeated:
    """The gap of an arm over repeats of the whole tuning."""

    gaps: tuple[float, ...]
    """Arm − reference, a value for each tuning that has ended, the study's own first: the mean over the
    first seeds with which both trained, NaN if there is none."""
    planned: int
    """Number of tunings, the study's own among them."""
    gap: Estimate
    """Their mean, with Student's t interval, `planned` − 1 degrees of freedom. Unknown until all have a value."""
    confidence: float

    @classmethod
    def of(cls, gaps: Sequence[float], planned: int, confidence: float) -> Repeated:
        """From the values so far."""
        gap, n = Estimate(math.nan, math.nan, math.nan, len(gaps)), len(gaps)
        if n == planned > 1 and np.isfinite(gaps).all():
            mean, deviation = float(np.mean(gaps)), float(np.std(gaps, ddof=1))
            half = float(stdtrit(n - 1, (1 + confidence) / 2)) * deviation / math.sqrt(n)
            gap = Estimate(mean, mean - half, mean + half, n)
        return cls(tuple(gaps), planned, gap, confidence)

    @property
    def ended(self) -> int:
        """Number of tunings that have ended."""
        return len(self.gaps)


def ended_repeats(record: StudyRecord) -> int:
    """Number of tunings that have ended, the study's own among them; 0 before its first analysis."""
    return sum(1 for _ in _analyses(record))


def confirmed_repeats(record: StudyRecord) -> tuple[Confirmed, ...]:
    """The runs on the first seeds of each tuning that has ended, in their order."""
    return tuple(confirmed(each, record.trials, record.data) for each in _analyses(record))


def repeated_gaps(
    tunings: Sequence[Confirmed],
    sweep: Sweep,
    arm: str,
    reference: str,
    question: str,
    horizon: int,
    window: int,
) -> Repeated:
    """The gap of a question over the repeats of a study.

    `horizon` and `window` are those of the question's verdict.
    """
    of_arm, of_reference = compared(question)
    sides = (arm, of_arm), (reference, of_reference)
    gaps = [_gap(found, *sides, horizon, window) for found in tunings]
    return Repeated.of(gaps, sweep.search.repeats, sweep.confirm.confidence)


def _gap(
    found: Confirmed, arm: tuple[str, str], reference: tuple[str, str], horizon: int, window: int
) -> float:
    paired = found.pairs(arm, reference, horizon)
    if not len(paired.arm):
        return math.nan
    return Pairs(paired.arm, paired.reference).gap(horizon, window).mean


def _analyses(record: StudyRecord) -> Iterator[Analysis]:
    """The first seeds of each tuning that has ended, in their order."""
    if not record.analyses:
        return
    first, own = record.sweep.confirm.seeds.first, record.analyses[-1].configurations
    yield Analysis(first, tuple(replace(c, runs=c.runs[:first]) for c in own))
    for repeat in range(2, record.sweep.search.repeats + 1):
        if not all(_has_ended(record, phase_of(phase, repeat)) for phase in PHASES):
            return
        ended = settled(r for r in record.trials if r.trial.phase == phase_of(CONFIRM, repeat))
        found = tuple(_configurations(ended, first))
        if any(_mixed(each, ended) for each in found):
            return
        yield Analysis(first, found)


def _has_ended(record: StudyRecord, phase: str) -> bool:
    """Whether all planned trials of a phase have ended; the plan grows if a study is extended."""
    if phase not in record.planned:
        return kind_of(phase) == SELECT  # a study may have no selection round
    return ended_trials(record.trials, phase) >= record.planned[phase]


def _mixed(configuration: Configuration, records: Sequence[TrialRecord]) -> bool:
    """Whether its runs have different parameters: those of a search that was extended, and earlier ones."""
    own = [r.trial.params for r in records if r.trial.number in configuration.runs]
    return any(params != configuration.params for params in own)


def _configurations(records: Sequence[TrialRecord], seeds: int) -> Iterator[Configuration]:
    """What was confirmed, with its runs, None for a failed one; equal configurations of an arm were trained once."""
    runs: dict[tuple[str, str], dict[int, TrialRecord]] = defaultdict(dict)
    for record in records:
        for name in record.trial.configuration.split(", "):
            runs[record.trial.arm, name][record.trial.slot] = record
    for (arm, name), by_slot in runs.items():
        numbers = {
            slot: record.trial.number
            for slot, record in by_slot.items()
            if record.result is not None and record.result.status.scored
        }
        params = next(iter(by_slot.values())).trial.params
        yield Configuration(arm, name, params, runs=tuple(map(numbers.get, range(seeds))))
