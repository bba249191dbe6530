"""What a report is made of: plain values and data frames, whoever computed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from normsweep.parts.metrics import ACCURACY, Metric

__all__ = ["ReportContent", "ReportData", "ReportFrames"]


@dataclass(frozen=True)
class ReportData:
    """The data of a study; numbers of images, 0 where unknown."""

    name: str
    training_images: int = 0
    validation_images: int = 0
    test_images: int = 0


@dataclass(frozen=True)
class ReportFrames:
    """The data frames, with the columns stated in docs/columns.md; any of them may be empty."""

    curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    verdicts: pd.DataFrame = field(default_factory=pd.DataFrame)
    learning_rates: pd.DataFrame = field(default_factory=pd.DataFrame)
    tunability: pd.DataFrame = field(default_factory=pd.DataFrame)
    inputs: pd.DataFrame = field(default_factory=pd.DataFrame)
    gradients: pd.DataFrame = field(default_factory=pd.DataFrame)
    progress: pd.DataFrame = field(default_factory=pd.DataFrame)
    configurations: pd.DataFrame = field(default_factory=pd.DataFrame)
    speed: pd.DataFrame = field(default_factory=pd.DataFrame)
    best: pd.DataFrame = field(default_factory=pd.DataFrame)
    arms: pd.DataFrame = field(default_factory=pd.DataFrame)
    trials: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class ReportContent:
    """Everything that a report says. The margin is in the metric's unit, the confidence a fraction."""

    study: str
    question: str
    compare: str
    """The compared parameter; its values are the arms."""
    reference: str
    arms: Sequence[str]
    answer: str
    """One sentence, as `answer_sentence` makes it."""
    data: ReportData
    model: str
    margin: float
    metric: Metric = ACCURACY
    confidence: float = 0.95
    primary: str = "both_tuned"
    """Key of the main question."""
    look: int = 0
    """How many times the seeds of this study were judged; 0 before the confirmation."""
    seeds_done: int = 0
    seeds_planned: int = 0
    baseline_epochs: int | None = None
    longest_epochs: int | None = None
    machine: str = ""
    backend: str = ""
    precision: str = ""
    hours: float = 0.0
    """Hours of compute that went into the study."""
    frames: ReportFrames = field(default_factory=ReportFrames)
    warnings: Sequence[str] = ()
    explanations: Mapping[str, str] = field(default_factory=dict)
    """Topic and a plain sentence, for the first part."""
    confirm_command: str = ""
    """The command that runs the confirmation, or adds seeds to it."""
    commands: Sequence[str] = ()
    """The commands that reproduce the study."""
    versions: Mapping[str, str] = field(default_factory=dict)
