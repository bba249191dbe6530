"""What a study found, made up: small, and with everything that a figure has to survive."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from normsweep.analysis.confirm_runs import Curve, Speed, confirmed
from normsweep.analysis.endings import endings
from normsweep.analysis.estimates import Estimate
from normsweep.analysis.evidence import Evidence
from normsweep.analysis.factorial import Cells, Control, Effects, Factorial, Part
from normsweep.analysis.outcomes import Outcome
from normsweep.analysis.parity import Parity
from normsweep.analysis.rules import Missing, Trained
from normsweep.analysis.trials import TuningCurve, arm_summaries
from normsweep.analysis.verdicts import Verdict
from normsweep.parts.catalog import catalog
from normsweep.parts.metrics import ACCURACY
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.recorded import from_plain, to_plain
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import (
    Analysis,
    Configuration,
    DataFacts,
    Diagnosis,
    Stage,
    StudyRecord,
    TrialRecord,
)
from normsweep.sweep.trial import DataKey, Epoch, Result, Status, Trial
from tests.analysis.conftest import LEVELS, LONG, Planted

AWKWARD = "$x^2$_<b>&\"' a very long name that goes on beyond every margin of every figure"
CONFIGURATIONS = ("baseline", "tuned_short", "tuned_long")
HORIZONS = {
    "more_epochs": 8,
    "equal_epochs": 8,
    "tuned_rate": 4,
    "tuned_rate_longest": 8,
    "both_tuned_short": 4,
    "both_tuned": 8,
}
ANSWERS: tuple[dict[str, Any], ...] = (
    {"outcome": Outcome.LEVEL, "parity": Parity(5, 6, behind=True), "gap": -0.0005},
    {"outcome": Outcome.CLEARLY_BEHIND, "gap": -0.0062},
    {
        "outcome": Outcome.BEHIND,
        "gap": -0.002,
        "missing": Missing.MORE_SEEDS,
        "more_seeds": "10",
        "reason": "about 10 more seeds would decide",
    },
    {
        "outcome": Outcome.LEVEL,
        "parity": Parity(5, 6, behind=True),
        "gap": 0.001,
        "seeds": 8,
        "trained": (Trained(8, 2), Trained(10)),
    },
)
WARNINGS = ("its best rate lies at the edge", "few trials")


def make_verdict(gap: float = -0.0005, **changed: Any) -> Verdict:
    """A verdict on accuracies after 5 seeds and 10,000 images."""
    content: dict[str, Any] = {
        "question": "both_tuned", "arm": "none", "reference": "unit", "outcome": Outcome.CLEARLY_BEHIND,
        "parity": Parity(), "horizon": 8, "window": 2,
        "gap": Estimate(gap, gap - 0.0015, gap + 0.0015, 5),
        "plain": Estimate(gap, gap - 0.0014, gap + 0.0014, 5),
        "last_epoch": Estimate(gap - 0.0001, gap - 0.002, gap + 0.002, 5),
        "on_these_images": Estimate(gap, gap - 0.0007, gap + 0.0007, 5),
        "seeds": 5, "images": 10_000, "margin": 0.002, "confidence": 0.95, "tail": 0.025, "analysis": 1,
        "comparisons": 1, "missing": Missing.NOTHING, "more_seeds": "", "reason": "",
        "trained": (Trained(5), Trained(5)), "value": 0.985, "reference_value": 0.985 - gap, "margin_needed": 0.001,
        "metric": ACCURACY, "primary": False, "baseline_epochs": 4, "warnings": (),
    }  # fmt: skip
    return Verdict(**{**content, **changed})


def verdicts(arms: Sequence[str], reference: str) -> Iterator[Verdict]:
    for question, horizon in HORIZONS.items():
        for place, arm in enumerate(arm for arm in arms if arm != reference):
            yield make_verdict(
                question=question,
                arm=arm,
                reference=reference,
                horizon=horizon,
                primary=question == "both_tuned",
                warnings=WARNINGS if place == 1 else (),
                **ANSWERS[place % len(ANSWERS)],
            )


def curves(arms: Sequence[str], epochs: int) -> Iterator[Curve]:
    for place, arm in enumerate(arms):
        levels = [0.99 - 0.01 / epoch - 0.001 * place for epoch in range(1, epochs + 1)]
        estimates = tuple(Estimate(level, level - 0.001, level + 0.001, 5) for level in levels)
        for configuration in CONFIGURATIONS:
            yield Curve(arm, configuration, estimates)


def tuning(arms: Sequence[str]) -> Iterator[TuningCurve]:
    scores = tuple(0.98 - 0.05 / k for k in range(1, 11))
    unknown = (math.nan,) * 8
    low, high = (*(0.97 - 0.05 / k for k in (1, 2)), *unknown), (0.985, 0.985, *unknown)
    for arm in arms:
        for kind in ("expected best", "best so far"):
            yield TuningCurve(arm, kind, scores, low, high, tuple(360.0 * k for k in range(1, 11)))


def diagnoses(arms: Sequence[str]) -> dict[str, Diagnosis]:
    made = {}
    for place, arm in enumerate(arms):
        norms = tuple(
            (layer, 10.0 ** (place - i)) for i, layer in enumerate(("conv2d", "dense", "dense_1"))
        )
        start = Stage(
            10.0**place, 3.0**place, 2.5 + place, 0.1, norms, moment=1e4, condition=100.0, sharpness=10.0
        )  # fmt: skip
        later = replace(start, sharpness=math.nan, stable_rate=0.01)
        steps = tuple(replace(later, step=step) for step in (10, 100))
        made[arm] = Diagnosis(start, replace(later, step=375, loss=0.1), steps, "adam")
    return made


def make_searched(
    number: int, arm: str, score: float = 0.9, status: Status = Status.COMPLETE, **changed: Any
) -> TrialRecord:
    """A trial of four epochs that ended with this score, a tenth of an hour after the one before."""
    content: dict[str, Any] = {
        "seed": 0, "slot": number, "model": "lenet", "model_options": {}, "optimizer": "adam",
        "optimizer_options": {}, "learning_rate": 0.001, "batch_size": 128, "epochs": 4,
    }  # fmt: skip
    content |= {"data": DataKey("mnist", "d" * 64, 0.2), "normalization": arm, **changed}
    trial = Trial(number=number, arm=arm, **content)
    curve = tuple(Epoch(number, e, 0.1, 0.9, 0.1, score, 0.5) for e in range(1, 5))
    machine = {"device": "2 cores", "backend": "tensorflow", "keras_version": "3.15.1"}
    started = 1e9 + 360.0 * number
    return TrialRecord(trial, Result(number, status, curve, 0.1, 360.0, started, machine))


def searched(arms: Sequence[str]) -> tuple[TrialRecord, ...]:
    places = [(a, o, step) for a in arms for o in ("sgd", "adam") for step in range(5)]
    return tuple(
        make_searched(
            number,
            arm,
            0.98 - 0.01 * step,
            Status.DIVERGED if step == 4 else Status.COMPLETE,
            optimizer=optimizer,
            learning_rate=10.0 ** (-5 + step),
        )
        for number, (arm, optimizer, step) in enumerate(places)
    )


def configurations(arms: Sequence[str], longest: int) -> Iterator[Configuration]:
    for arm in arms:
        for name in CONFIGURATIONS:
            chosen = (None, None, 0) if name == "baseline" else (3, 4, 10)
            params = {"optimizer": "adam", "learning_rate": 0.001, "epochs": longest}
            yield Configuration(arm, name, params, *chosen)


def speeds(arms: Sequence[str]) -> Iterator[Speed]:
    for place, arm in enumerate(arms):
        epochs, seconds = (3, 90.0) if place % 2 else (None, math.nan)
        yield Speed(arm, "baseline", epochs, seconds, 5400.0, 54)


def make_factorial(arms: Sequence[str], reference: str, **changed: Any) -> Factorial:
    """A gap of −0.012, of which −0.010 goes with the steps alone; the arms are taken in their order."""
    others = [arm for arm in arms if arm != reference]
    raw, start, step, both = (others[place % len(others)] for place in range(4))
    values = {"gap": -0.012, "start": -0.001, "step": -0.010, "joint": -0.001}
    effects = Effects(
        **{name: Estimate(v, v - 0.002, v + 0.002, 5) for name, v in values.items()},
        most=(Part.STEP,),
    )
    content: dict[str, Any] = {
        "cells": Cells(raw, start, step, reference, 255.0, both), "configuration": "baseline", "epochs": 4,
        "window": 1, "seeds": 5, "images": 10_000, "scores": (0.978, 0.979, 0.988, 0.99),
        "trained": (Trained(5),) * 4, "effects": effects,
        "controls": (Control(both, reference, Estimate(-0.0001, -0.0012, 0.001, 5), 0.002),),
        "tail": 0.025, "metric": ACCURACY,
    }  # fmt: skip
    return Factorial(**{**content, **changed})


@functools.cache
def shipped() -> dict[str, Any]:
    return to_plain(load_sweep("quickstart", catalog()))


def make_sweep(arms: Sequence[str], reference: str, **keys: Any) -> Sweep:
    """A sweep over these arms, whatever they are called; `keys` are its own, `__` for a dot."""
    plain = {key: value for key, value in shipped().items() if ".normalization" not in key}
    plain |= {
        "name": "mnist",
        "question": "Does raw input catch up?",
        "reference": reference,
        "confirm.margin": 0.002,
        "confirm.baseline.epochs": 4,
        **{key.replace("__", "."): value for key, value in keys.items()},
    }
    return from_plain({**plain, f"search.space.{plain['compare']}": list(arms)})


Build = Callable[..., Evidence]


@pytest.fixture
def verdict() -> Callable[..., Verdict]:
    return make_verdict


@pytest.fixture
def factorial() -> Callable[..., Factorial]:
    """`factorial(arms, reference, **changed)`: raw, start, step and both in the order of the arms."""
    return make_factorial


@pytest.fixture
def trial_of_search() -> Callable[..., TrialRecord]:
    """`trial_of_search(number, arm, score, status, **changed)`: a trial of the search."""
    return make_searched


@pytest.fixture
def found() -> Build:
    """`found(arms, reference, epochs, **keys)`: all that a study with these arms found.

    Keys are the sweep's own, with `__` for a dot; `study` is the study's name.
    """

    def build(
        arms: Sequence[str] = ("none", "unit"),
        reference: str = "unit",
        epochs: int = 8,
        study: str = "mnist",
        **keys: Any,
    ) -> Evidence:
        record = StudyRecord(
            name=study,
            id="abc",
            sweep=make_sweep(arms, reference, **keys),
            data=DataFacts("mnist", "Keras", "d" * 64, 60_000, 10_000, 10),
            trials=searched(arms),
            analyses=(Analysis(5, tuple(configurations(arms, epochs))),),
            diagnoses=diagnoses(arms),
        )
        return Evidence(
            record=record,
            endings=endings(record, confirmed(record.analyses[-1], record.trials)),
            verdicts=tuple(verdicts(arms, reference)),
            curves=tuple(curves(arms, epochs)),
            speeds=tuple(speeds(arms)),
            arms=arm_summaries(record.searched, record.arms),
            tuning=tuple(tuning(arms)),
            warnings=("The data are few.",),
            factorials=(
                make_factorial(arms, reference),
                make_factorial(arms, reference, configuration="tuned_long", epochs=epochs),
            ),
        )

    return build


@pytest.fixture
def nothing(found: Build) -> Evidence:
    """A study with two arms that was begun, and of which no trial has ended."""
    made = found()
    record = replace(made.record, trials=(), analyses=(), diagnoses={})
    arms = arm_summaries((), record.arms)
    return Evidence(record, (), (), (), arms, (), ())


@pytest.fixture
def awkward() -> str:
    """An arm's name with all that could be taken for markup, and too long for its place."""
    return AWKWARD


@pytest.fixture
def confirmed_record(trial: Callable[..., Trial]) -> Callable[..., StudyRecord]:
    """`confirmed_record(arms)`: the record of a study of two arms, the second its reference, with all its trials."""

    def build(
        arms: tuple[str, str] = ("none", "unit"),
        study: str = "mnist",
        spread: float = 0.0,
        diverged: Sequence[str] = (),
        **keys: Any,
    ) -> StudyRecord:
        known = dict(zip(("none", "unit"), arms, strict=True))
        levels = {(known[arm], name): values for (arm, name), values in LEVELS.items()}
        lost = {key: dict.fromkeys(range(5), 1) for key in levels if key[0] in diverged}
        made = Planted(trial, levels=levels, spread=spread, diverged=lost)
        sweep = make_sweep(arms, arms[1], **{"confirm__epochs": LONG, **keys})
        return StudyRecord(
            name=study,
            id="abc",
            sweep=sweep,
            data=DataFacts("mnist", "Keras", "d" * 64, 60_000, 10_000, 10),
            trials=(*searched(arms), *made.records),
            analyses=(made.look,),
            diagnoses=diagnoses(arms),
        )

    return build
