"""`Evidence`: all results of a study, from which text, tables, figures and pages are made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from normsweep.analysis import earlier_rules
from normsweep.analysis.confirm_runs import (
    Confirmed,
    Curve,
    SeedCurve,
    Speed,
    confirmed,
    curves,
    seed_curves,
    speeds,
)
from normsweep.analysis.endings import Endings, endings
from normsweep.analysis.exchange import Exchange, exchanges
from normsweep.analysis.factorial import Factorial, Level, factorials
from normsweep.analysis.parity import window_of
from normsweep.analysis.questions import general_warnings, verdicts
from normsweep.analysis.seed_scores import SeedScore, seed_scores
from normsweep.analysis.trials import ArmSummary, TuningCurve, arm_summaries, tuning_curves
from normsweep.analysis.verdicts import Verdict
from normsweep.parts.metrics import Metric, metric
from normsweep.sweep.study_record import Analysis, Diagnosis, StudyRecord

__all__ = ["Evidence", "Findings", "evidence"]


class Findings(Protocol):
    """What figures of gaps and scores need: of a study, of given runs, of several studies."""

    @property
    def metric(self) -> Metric: ...
    @property
    def reference(self) -> str: ...
    @property
    def names(self) -> tuple[str, ...]:
        """The arms, in order."""
        ...

    @property
    def verdicts(self) -> tuple[Verdict, ...]: ...
    @property
    def curves(self) -> tuple[Curve, ...]: ...
    @property
    def data_words(self) -> str:
        """Of which data the scores are, as the end of a phrase: ` on the test images`."""
        ...

    @property
    def steps_per_epoch(self) -> int | None:
        """Optimizer steps of an epoch; None if it is a pass over the training images."""
        ...

    def seeds_of(self, curve: Curve) -> Sequence[SeedCurve]:
        """The single runs behind a curve."""
        ...

    def tuning_seconds(self, curve: Curve) -> float:
        """Wall time of the search behind a curve."""
        ...


@dataclass(frozen=True)
class Evidence:
    """The results of a study; those of the confirmation are empty before the first analysis."""

    record: StudyRecord
    verdicts: tuple[Verdict, ...]
    """Ordered by question, then by arm."""
    curves: tuple[Curve, ...]
    speeds: tuple[Speed, ...]
    arms: tuple[ArmSummary, ...]
    tuning: tuple[TuningCurve, ...]
    warnings: tuple[str, ...]
    """Warnings about the study as a whole."""
    scores: tuple[SeedScore, ...] = ()
    """Test scores by arm, configuration, number of epochs and seed."""
    exchanges: tuple[Exchange, ...] = ()
    """What the epochs of the reference are worth in epochs of the other arms."""
    factorials: tuple[Factorial, ...] = ()
    """Why arms with a larger input differ, if the study has the arms that say it."""
    endings: Endings = field(default_factory=Endings)
    """How the trials of the search and the seeds of the confirmation ended."""

    @property
    def metric(self) -> Metric:
        """The metric of the study."""
        return metric(self.record.sweep.metric)

    @property
    def margin(self) -> float:
        """The equivalence margin in the unit of the metric; a share is one of the reference's value.

        That is its value in the first verdict on the primary question that has one, otherwise NaN.
        """
        return _margin(self.record, self.verdicts)

    @property
    def reference(self) -> str:
        """The arm that the others are compared with."""
        return str(self.record.sweep.reference)

    @property
    def names(self) -> tuple[str, ...]:
        """The arms, in the order of the sweep."""
        return self.record.arms

    @property
    def data_words(self) -> str:
        """Of which data the scores are."""
        return f" on the test {self.sample}s"

    @property
    def sample(self) -> str:
        """What one of the inputs is called: image, row or sequence."""
        return self.record.data.sample if self.record.data else "image"

    @property
    def steps_per_epoch(self) -> int | None:
        """Optimizer steps of an epoch, if the sweep declares them."""
        return self.record.sweep.model.steps_per_epoch

    def seeds_of(self, curve: Curve) -> tuple[SeedCurve, ...]:
        """The confirmation runs behind a curve, in the order of the seeds."""
        return seed_curves(self.analysis, self.record.confirmed, curve)

    def tuning_seconds(self, curve: Curve) -> float:
        """Wall time of the arm's search; 0 for settings that were not searched for."""
        key = curve.arm, curve.configuration
        return next((s.tuning_seconds for s in self.speeds if (s.arm, s.configuration) == key), 0.0)

    @property
    def analysis(self) -> Analysis:
        """The latest analysis."""
        return latest(self.record)

    @property
    def diagnoses(self) -> dict[str, Diagnosis]:
        """The diagnoses by arm, in the order of the arms."""
        known = self.record.diagnoses
        return {arm: known[arm] for arm in self.record.arms if arm in known}

    @property
    def longest(self) -> int | None:
        """Epochs of a confirmation run in the latest analysis; None before the first analysis."""
        epochs = (int(c.params["epochs"]) for c in self.analysis.configurations)
        return max(epochs, default=None)

    @property
    def level(self) -> float:
        """The confidence level of the verdicts' intervals; NaN before the first analysis."""
        return self.verdicts[0].level if self.verdicts else math.nan

    @property
    def primary(self) -> tuple[Verdict, ...]:
        """The verdicts on the primary question."""
        return tuple(verdict for verdict in self.verdicts if verdict.primary)


def latest(record: StudyRecord) -> Analysis:
    """The latest analysis; before the first one, an analysis without seeds."""
    return record.analyses[-1] if record.analyses else Analysis(0, ())


def evidence(record: StudyRecord) -> Evidence:
    """Analyse a study.

    Raises:
        ValueError: the confirmation runs were evaluated on different images.
    """
    sweep, arms, searched = record.sweep, record.arms, record.searched
    tuned_with = (*searched, *record.reselected)
    earlier = sweep.rules <= earlier_rules.LAST
    stuck, window = (None, earlier_rules.window_of) if earlier else (record.data, window_of)
    found = confirmed(latest(record), record.trials, stuck)
    drawn = curves(found, sweep.confirm.confidence)
    baseline_epochs = sweep.confirm.baseline.epochs
    judged = verdicts(record, found)
    return Evidence(
        record=record,
        verdicts=judged,
        curves=drawn,
        speeds=speeds(found, drawn, tuned_with, str(sweep.reference), baseline_epochs),
        arms=arm_summaries(searched, arms),
        tuning=tuning_curves(searched, arms, sweep.search.sampler, sweep.seed),
        warnings=general_warnings(record),
        scores=seed_scores(found, baseline_epochs, str(sweep.reference), window),
        exchanges=exchanges(found, arms, str(sweep.reference), sweep.confirm.confidence),
        factorials=_factorials(record, found, _margin(record, judged)),
        endings=endings(record, found),
    )


def _margin(record: StudyRecord, judged: Sequence[Verdict]) -> float:
    """A share is one of the reference's value, which is unknown if no seed of the reference trained."""
    declared = record.sweep.confirm.margin_at(math.nan)
    known = (v.margin for v in judged if v.primary and math.isfinite(v.margin))
    return next(known, declared) if math.isnan(declared) else declared


def _factorials(record: StudyRecord, found: Confirmed, margin: float) -> tuple[Factorial, ...]:
    sweep, confirm = record.sweep, record.sweep.confirm
    counts = record.data.test_class_counts if record.data else ()
    return factorials(
        found,
        [arm for arm in sweep.arms if arm.key in record.arms],
        str(sweep.reference),
        Level.of(confirm.confidence, found.metric.image_bound(counts)),
        margin,
        confirm.baseline.epochs,
    )
