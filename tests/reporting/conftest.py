"""A study's data frames, made up: small, and with everything that a figure has to survive."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from normsweep.reporting.content import ReportContent, ReportData, ReportFrames

AWKWARD = "$x^2$_<b>&\"' a very long name that goes on beyond every margin of every figure"
QUESTIONS = {
    "more_epochs": ("baseline", 8),
    "equal_epochs": ("baseline", 8),
    "tuned_rate": ("tuned_short", 4),
    "tuned_rate_longest": ("tuned_long", 8),
    "both_tuned_short": ("tuned_short", 4),
    "both_tuned": ("tuned_long", 8),
}
WORDS = (
    ("catches up", "catches up at epoch 6", 6, -0.0005, ""),
    ("does not catch up", "does not catch up within 8 epochs", None, -0.0062, ""),
    (
        "not enough evidence",
        "not enough evidence: about 10 more seeds would decide",
        None,
        -0.002,
        "10",
    ),
    (
        "catches up",
        "catches up at epoch 6 where it trains (2 of 10 seeds diverged)",
        6,
        0.001,
        "",
    ),
)
Build = Callable[..., ReportFrames]


def curves(arms: list[str], epochs: int = 8) -> pd.DataFrame:
    rows = [
        (arm, configuration, epoch, accuracy, accuracy - 0.001, accuracy + 0.001, 5)
        for place, arm in enumerate(arms)
        for configuration in ("baseline", "tuned_short", "tuned_long")
        for epoch in range(1, epochs + 1)
        for accuracy in (0.99 - 0.01 / epoch - 0.001 * place,)
    ]
    columns = ["arm", "configuration", "epoch", "accuracy", "low", "high", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def verdicts(arms: list[str], reference: str) -> pd.DataFrame:
    rows = []
    for question, (_, horizon) in QUESTIONS.items():
        for place, arm in enumerate(arm for arm in arms if arm != reference):
            word, text, epoch, gap, more = WORDS[place % len(WORDS)]
            rows.append(
                {
                    "question": question, "arm": arm, "reference": reference, "verdict": text,
                    "word": word, "epoch": epoch, "epoch_low": epoch and epoch - 1,
                    "horizon": horizon, "gap": gap, "low": gap - 0.0015, "high": gap + 0.0015,
                    "seeds_low": gap - 0.0007, "seeds_high": gap + 0.0007, "accuracy": 0.985,
                    "reference_accuracy": 0.985 - gap, "seeds": 5, "images": 10_000,
                    "margin": 0.002, "confidence": 0.95, "look": 1, "method": "two-way",
                    "diverged": 2 if "diverged" in text else 0, "reference_diverged": 0,
                    "more_seeds": more, "primary": question == "both_tuned",
                    "warnings": "its best rate lies at the edge; few trials" if place == 1 else "",
                }
            )  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame.astype({"epoch": "Int64", "epoch_low": "Int64"})


def learning_rates(arms: list[str]) -> pd.DataFrame:
    rows = [
        (number, arm, optimizer, 10.0 ** (-5 + step), 0.98 - 0.01 * step, 4, step == 4)
        for number, (arm, optimizer, step) in enumerate(
            (arm, optimizer, step)
            for arm in arms
            for optimizer in ("sgd", "adam")
            for step in range(5)
        )
    ]
    columns = ["trial", "arm", "optimizer", "learning_rate", "val_accuracy", "epochs", "diverged"]
    return pd.DataFrame(rows, columns=columns)


def tunability(arms: list[str]) -> pd.DataFrame:
    rows = [
        (arm, k, 0.98 - 0.05 / k, *((0.97 - 0.05 / k, 0.985) if k < 3 else (math.nan,) * 2), kind)
        for arm in arms
        for kind in ("expected best", "best so far")
        for k in range(1, 11)
    ]
    return pd.DataFrame(rows, columns=["arm", "trials", "expected", "low", "high", "kind"])


def inputs(arms: list[str]) -> pd.DataFrame:
    rows = [
        (arm, stage, 10.0**place, 3.0**place, 100.0, loss, math.log(10), 0.1)
        for place, arm in enumerate(arms)
        for stage, loss in (("initialization", 2.5 + place), ("after epoch 1", 0.1))
    ]
    return pd.DataFrame(
        rows,
        columns=[
            "arm", "stage", "input_mean", "input_std", "condition_number", "loss", "ln_classes",
            "dead_relus",
        ],
    )  # fmt: skip


def gradients(arms: list[str]) -> pd.DataFrame:
    rows = [
        (arm, stage, layer, position, 10.0 ** (place - position))
        for place, arm in enumerate(arms)
        for stage in ("initialization", "after epoch 1")
        for position, layer in enumerate(("conv2d", "dense", "dense_1"))
    ]
    return pd.DataFrame(rows, columns=["arm", "stage", "layer", "position", "norm"])


def progress(arms: list[str]) -> pd.DataFrame:
    rows = [
        (arm, len(arms) * k + place, 0.1 * (len(arms) * k + place + 1), k + 1, score, best)
        for place, arm in enumerate(arms)
        for k, (score, best) in enumerate([(0.9, 0.9), (0.8, 0.9), (math.nan, 0.9), (0.95, 0.95)])
    ]
    columns = ["arm", "trial", "hours", "done", "val_accuracy", "best"]
    return pd.DataFrame(rows, columns=columns)


def configurations(arms: list[str]) -> pd.DataFrame:
    rows = [
        {
            "arm": arm, "configuration": name, "label": name, "optimizer": "adam",
            "learning_rate": 0.001, "params": "", "trial": pd.NA if name == "baseline" else 3,
            "selected_at": pd.NA if name == "baseline" else 4,
            "trials": pd.NA if name == "baseline" else 10,
        }
        for arm in arms
        for name in ("baseline", "tuned_short", "tuned_long")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def speed(arms: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "arm": arms,
            "configuration": "baseline",
            "epochs_to_level": [3 if place % 2 else pd.NA for place in range(len(arms))],
            "seconds_to_level": [90.0 if place % 2 else np.nan for place in range(len(arms))],
            "tuning_seconds": 5400.0,
            "tuning_epochs": 54,
        }
    )


@pytest.fixture
def frames() -> Build:
    """`frames(arms, reference, epochs)`: all frames of a study with these arms."""

    def build(
        arms: tuple[str, ...] = ("none", "unit"), reference: str = "unit", epochs: int = 8
    ) -> ReportFrames:
        names = list(arms)
        return ReportFrames(
            curves=curves(names, epochs),
            verdicts=verdicts(names, reference),
            learning_rates=learning_rates(names),
            tunability=tunability(names),
            inputs=inputs(names),
            gradients=gradients(names),
            progress=progress(names),
            configurations=configurations(names),
            speed=speed(names),
            best=pd.DataFrame({"trial": [0], "arm": ["none"], "val_accuracy": [0.98]}),
            arms=pd.DataFrame({"arm": names, "trials": 10, "seconds": 60.0}),
            trials=learning_rates(names).drop(columns="diverged").assign(status="complete"),
        )

    return build


@pytest.fixture
def content(frames: Build) -> Callable[..., ReportContent]:
    """`content(arms, **changes)`: a report on these arms."""

    def build(
        arms: tuple[str, ...] = ("none", "unit", "standardize", "zca"), **changes: object
    ) -> ReportContent:
        made = ReportContent(
            study="mnist",
            question="Does raw input catch up?",
            compare="normalization",
            reference="unit",
            arms=arms,
            answer="No: it stays behind.",
            data=ReportData("mnist", 48_000, 12_000, 10_000),
            model="lenet",
            margin=0.002,
            look=1,
            seeds_done=5,
            seeds_planned=5,
            baseline_epochs=4,
            longest_epochs=8,
            machine="2 cores",
            backend="tensorflow",
            precision="float32",
            hours=1.5,
            frames=frames(arms),
            warnings=("The data are few.",),
            explanations={"input scale": "Raw pixels are large."},
            confirm_command="python -m normsweep.study mnist --phase confirm",
            commands=("python -m normsweep.study mnist",),
            versions={"keras": "3.15.1"},
        )
        return replace(made, **changes)  # type: ignore[arg-type]

    return build


@pytest.fixture
def awkward() -> str:
    """An arm's name with all that could be taken for markup, and too long for its place."""
    return AWKWARD
