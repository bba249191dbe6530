"""A diagnosis without a study: the inputs, and the start of every arm's network."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from normsweep.errors import DataError, NormsweepError
from normsweep.executors.protocol import Executor
from normsweep.parts.arrays import ARRAYS, Arrays, four_arrays
from normsweep.parts.catalog import resolve_trial
from normsweep.parts.dataset import Dataset
from normsweep.parts.input_checks import Finding, described, input_findings
from normsweep.reporting.checkup import Checkup, SchemeStart, network_findings, sorted_findings
from normsweep.runner.interrupts import Signals
from normsweep.runner.prepare import decided, identified, load_data
from normsweep.runner.workers import Settings, Workers
from normsweep.sweep.parameters import RAW
from normsweep.sweep.schema import Sweep
from normsweep.sweep.study_record import DataFacts, StudyRecord
from normsweep.sweep.trial import DataKey
from normsweep.training.diagnosis import diagnose_start

__all__ = ["check_arrays", "check_setup", "checked", "read_arrays", "starts", "sweep_of"]

SCALED = ("target-scale", "skewed-target")
"""Findings about targets that are of no matter where they are scaled."""


def read_arrays(data: Any) -> Arrays:
    """Data in memory as four arrays; of a `Dataset`, its own.

    Raises:
        DataError: it cannot be converted.
    """
    if isinstance(data, Dataset):
        return {key: getattr(data, key) for key in ARRAYS}
    return four_arrays(data)


def check_arrays(arrays: Arrays) -> Checkup | None:
    """What is wrong with arrays that cannot be trained on; None if they can."""
    try:
        Dataset.checked("data", "arrays in memory", arrays)
    except DataError as error:
        lines = [Finding("refused", line) for line in error.lines]
        return Checkup("", sorted_findings([*input_findings(arrays), *lines]), ())
    return None


def sweep_of(
    dataset: str,
    model: str,
    schemes: Sequence[str],
    optimizer: str,
    learning_rate: float,
    batch_size: int,
    seed: int = 0,
) -> dict[str, Any]:
    """The tables of a sweep with these baseline settings; the first of the schemes is the reference."""
    return {
        "name": "diagnosis",
        "reference": schemes[0],
        "seed": seed,
        "data": {"dataset": dataset},
        "model": {"name": model, "batch_size": batch_size},
        "search": {
            "trials": 2 * len(schemes),
            "space": {
                "normalization": list(schemes),
                "learning_rate": [learning_rate],
                "optimizer": [optimizer],
                "epochs": [1],
            },
        },
        "confirm": {
            "margin": 0.01,
            "baseline": {"optimizer": optimizer, "learning_rate": learning_rate, "epochs": 1},
        },
    }


def check_setup(sweep: Sweep, settings: Settings, given: Arrays | None = None) -> Checkup:
    """Diagnose data and network of a sweep with the baseline settings of each arm; nothing is stored.

    Args:
        sweep: its reference is the arm that is asked for.
        settings: where it runs.
        given: arrays as a person gave them, with their own labels.

    Raises:
        UserError: the data cannot be loaded.
    """
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        signals = stack.enter_context(Signals())
        workers = stack.enter_context(Workers(sweep, settings, root))
        executor = workers.start(sweep, None)
        with signals.waiting():
            sweep, facts = load_data(sweep, sweep.data.candidates, settings.data_dir, root)
        executor.provide(facts.digest)
        return checked(
            sweep, facts, given or read_arrays(Dataset.open(root, facts.digest)), executor, signals
        )


def checked(
    sweep: Sweep, facts: DataFacts, arrays: Arrays, executor: Executor, signals: Signals
) -> Checkup:
    """The same with loaded data and a running executor."""
    about = (sweep.data.kind, sweep.data.full_scale, facts.task)
    findings = input_findings(arrays, *about)
    found: list[SchemeStart] = []
    try:
        sweep = identified(decided(sweep, None, executor, signals), facts, executor, signals)
        found = starts(sweep, facts, executor, signals)
        if all(start.trial.target != RAW for start in found):  # every arm scales its targets
            findings = [each for each in findings if each.name not in SCALED]
        findings += network_findings(found[0], facts.classes)
    except NormsweepError as error:
        findings.append(Finding("network", str(error).splitlines()[-1][:300]))
    return Checkup(
        described(arrays, *about),
        sorted_findings(findings),
        tuple(found),
        facts.classes,
        _as_study(sweep, facts, found) if found else None,
    )


def _as_study(sweep: Sweep, facts: DataFacts, found: Sequence[SchemeStart]) -> StudyRecord:
    """The starts as the record of a study that has no trial."""
    diagnoses = {start.trial.arm: start.diagnosis for start in found}
    arms = tuple(arm for arm in sweep.arms if arm.key in diagnoses)
    known = sweep.model_copy(update={"arms": arms})
    return StudyRecord(sweep.name, "", known, facts, diagnoses=diagnoses).labelled()


def starts(
    sweep: Sweep, facts: DataFacts, executor: Executor, signals: Signals
) -> list[SchemeStart]:
    """The start of every arm that can be built for the data, the reference first."""
    data = DataKey(facts.name, facts.digest, sweep.data.validation_split)
    arms = sorted(sweep.arms, key=lambda arm: arm.key != str(sweep.reference))
    found: list[SchemeStart] = []
    for arm in arms:
        params = sweep.baseline(arm, 1)
        trial = resolve_trial(sweep, data, arm.key, params, number=-1, slot=-1)
        try:
            with signals.waiting():
                found.append(SchemeStart(arm.label, trial, executor.call(diagnose_start, trial)))
        except NormsweepError:
            if not found:  # the arm that is asked for
                raise
    return found
