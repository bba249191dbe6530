"""How a study was done, as a paragraph for an article, made from what is stored about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from normsweep.analysis.evidence import Evidence
from normsweep.analysis.repeats import ended_repeats
from normsweep.reporting.words import margin_words, question_of
from normsweep.sweep.arms import ARM, fixed_by_all
from normsweep.sweep.parameters import LOSS, REGRESSION, SCHEDULE
from normsweep.sweep.schema import Sweep
from normsweep.sweep.space import Choice, Dimension
from normsweep.sweep.study_record import BASELINES, DataFacts
from normsweep.text import counted, duration, listed, quoted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["held_out", "machine_of", "methods", "methods_table", "paragraph"]

SAMPLERS = {
    "ladder": "at learning rates that are the same in all arms, evenly spaced on a log scale and refined around the best",
    "tpe": "chosen by a tree-structured Parzen estimator (Optuna's TPE)",
    "random": "drawn at random",
    "grid": "on a grid",
    "qmc": "from a scrambled Sobol sequence",
    "gp": "chosen by a Gaussian process (Optuna's GP sampler)",
}
NAMES = {"keras": "Keras", "tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch", "python": "Python"}  # fmt: skip
"""Of packages whose versions are stated, in this order."""


def paragraph(found: Evidence) -> str:
    """The sentences of `methods` as one text."""
    return " ".join(methods(found).values())


def methods(found: Evidence) -> dict[str, str]:
    """By topic, what an article has to say; only what is known of the study.

    Topics: `comparison`, `data`, `training`, `search`, `selection`, `confirmation`, `margin`, `intervals`,
    `repeats`, `software`.
    """
    said = {
        "comparison": _comparison(found),
        "data": _data(found),
        "training": _training(found),
        "search": _search(found),
        "selection": _selection(found),
        "confirmation": _confirmation(found),
        "margin": _margin(found),
        "intervals": _intervals(found),
        "repeats": _repeats(found),
        "software": _software(found),
    }
    return {topic: sentence for topic, sentence in said.items() if sentence}


def _predicted(data: DataFacts) -> str:
    """What is predicted: classes, or the targets of a regression."""
    return f"{data.classes} classes" if data.classes else counted(data.outputs, "numeric target")


def _comparison(found: Evidence) -> str:
    sweep = found.record.sweep
    named = {arm.key: quoted(arm.described) for arm in sweep.arms}
    arms = listed([named[arm] for arm in found.record.arms])
    count = counted(len(found.record.arms), "arm")
    differ = "" if sweep.compare == ARM else f" that differ in {sweep.compare.replace('_', ' ')}"
    return f"We compared {count}{differ}: {arms}, with {named[found.reference]} as the reference."


def held_out(data: DataFacts, split: float) -> int:
    """Images of the training set that are held out for validation; rounded as by scikit-learn."""
    return math.ceil(data.train_images * split - 1e-9)


def _data(found: Evidence) -> str:
    data, split = found.record.data, found.record.sweep.data.validation_split
    if data is None:
        return ""
    chosen = held_out(data, split)
    how = ", stratified by class," if data.classes else ""
    subset = " (a subset)" if found.record.sweep.data.train_size is not None else ""
    return (
        f"The data were {data.name} ({data.source}; {_predicted(data)}; SHA-256 of the arrays {data.digest[:12]}). "
        f"For each seed, the {counted(data.train_images, f'training {data.sample}')}{subset} were split anew{how} into "
        f"{data.train_images - chosen:,} for training and {chosen:,} for validation; "
        f"{counted(data.test_images, f'test {data.sample}')} were kept apart."
    )


def _training(found: Evidence) -> str:
    record, sweep = found.record, found.record.sweep
    options = ", ".join(f"{name} = {value}" for name, value in sweep.model.options.items())
    precision = record.precision or sweep.model.precision
    size = (
        f", in batches of {sweep.model.batch_size}"
        if "batch_size" not in sweep.search.space
        else ""
    )
    constant = (
        "" if SCHEDULE in sweep.space else "constant "
    )  # which arms have one, the comparison says
    steps = sweep.model.steps_per_epoch
    epoch = f" An epoch was {counted(steps, 'step')} of the optimizer." if steps else ""
    return (
        f"The network {sweep.model.name}{f' ({options})' if options else ''} was trained on {_loss(sweep)} with a {constant}"
        f"learning rate{size}, in {precision}.{epoch}"
    )


def _loss(sweep: Sweep) -> str:
    if LOSS not in sweep.space:
        return "the squared error" if sweep.task == REGRESSION else "the cross-entropy"
    losses = [str(name) for name in sweep.space.choices(LOSS)]
    return f"the loss {' or '.join(losses)}"


def _search(found: Evidence) -> str:
    sweep, space = found.record.run_sweep, found.record.sweep.search.space
    fixed = ("epochs", *fixed_by_all(sweep.arms))
    searched = [_dimension(d) for d in space if d.name not in fixed and _varies(d)]
    over = f" over {listed(searched)}" if searched else ""
    first = "; the first trial was the declared baseline" if sweep.rules > 1 else ""
    return (
        f"Each arm had {counted(sweep.points_per_arm, 'trial')} of a search of its own{over}, {SAMPLERS[sweep.sampler]}{first}; "
        f"{_epochs(sweep)}."
    )


def _epochs(sweep: Sweep) -> str:
    """How long the trials of the search were trained."""
    if sweep.samples_epochs:
        return "epochs were sampled"
    if sweep.rungs:
        parts = [f"the best {rung.going_on} after epoch {rung.epoch}" for rung in sweep.rungs]
        return (
            f"trials were read after each epoch, and of each arm {listed(parts)} were trained on, up to "
            f"{counted(sweep.longest, 'epoch')} (successive halving)"
        )
    return f"every trial was trained for {counted(sweep.longest, 'epoch')} and read after each"


def _varies(dimension: Dimension) -> bool:
    return not (isinstance(dimension, Choice) and len(dimension.values) == 1)


def _dimension(dimension: Dimension) -> str:
    name = dimension.name.replace("_", " ")
    if isinstance(dimension, Choice):
        return f"{name} ({', '.join(map(str, dimension.values))})"
    log = ", log scale" if dimension.log else ""
    return f"{name} ({dimension.low:g} to {dimension.high:g}{log})"


def _selection(found: Evidence) -> str:
    record = found.record
    by, short, longest = found.metric.label, record.sweep.confirm.baseline.epochs, found.longest
    tuned = [c for c in found.analysis.configurations if c.name not in BASELINES]
    if not tuned or longest is None:
        return ""
    last = counted(longest, "epoch")
    budgets = f"{short} and for {last}" if short != longest else last
    seeds = max(c.reselected for c in tuned)
    again = (
        f", as the mean over the search's seed and {counted(seeds, 'further seed')} of the best trials and the baseline"
        if seeds
        else ""
    )
    return f"Configurations were selected by validation {by} only, for {budgets}{again}."


def _confirmation(found: Evidence) -> str:
    baseline = found.record.sweep.confirm.baseline
    if not found.record.analyses:
        return ""
    counts = [len(each.runs) for each in found.analysis.configurations]
    least, most = min(counts), max(counts)
    seeds = counted(most, "fresh seed") if least == most else f"{least} to {most} fresh seeds"
    return (
        f"The selected configurations and the baseline ({baseline.optimizer}, learning rate {baseline.learning_rate:g}, "
        f"{counted(baseline.epochs, 'epoch')}) of every arm were then trained with {seeds}, which "
        f"all arms share (split, initial weights, order of batches), and evaluated{found.data_words} after every epoch{_analysed(found)}."
    )


def _analysed(found: Evidence) -> str:
    """How often the confirmation was analysed, unless once."""
    first = found.primary[0] if found.primary else None
    if first is not None and first.most is not None:
        return f"; seeds were added until each arm was decided, at most {first.most}, with an analysis after each"
    if first is not None and first.analysis > 1:
        return f", and analysed {counted(first.analysis, 'time')} as seeds were added"
    return ""


def _margin(found: Evidence) -> str:
    confirm = found.record.sweep.confirm
    asked = question_of(confirm.primary).given(found.reference)
    return (
        f"An equivalence margin of {_amount(found)}, a confidence of "
        f"{100 * confirm.confidence:g} % and the primary question ({asked}) were declared before the search."
    )


def _amount(found: Evidence) -> str:
    by, share = found.metric, found.record.sweep.confirm.share
    amount = margin_words(found.margin, share, by)
    if share:
        return f"{amount}'s {by.label}"
    return f"{amount} of {by.label}" if by.unit else amount


def _intervals(found: Evidence) -> str:
    if not found.primary:
        return ""
    return f"Intervals of a difference to the reference: {found.primary[0].method}."


def _repeats(found: Evidence) -> str:
    """How the whole tuning was repeated, once it was."""
    sweep, ended = found.record.sweep, ended_repeats(found.record)
    if sweep.search.repeats == 1 or ended < sweep.search.repeats:
        return ""
    return (
        f"Search and selection were done {ended} times, each with other splits, initial weights and orders of "
        f"batches; what each chose was trained with {counted(sweep.confirm.seeds.first, 'seed')} of its own, and the "
        f"interval over the {ended} gaps is Student's t."
    )


def _software(found: Evidence) -> str:
    machine = machine_of(found)
    versions = [
        f"{name} {machine[f'{key}_version']}"
        for key, name in NAMES.items()
        if f"{key}_version" in machine
    ]
    ours = f"normsweep {machine.get('normsweep_version', '')}".strip()
    seconds = sum(r.result.worker_seconds for r in found.record.trials if r.result is not None)
    on = f" on {machine['device']}" if machine.get("device") else ""
    used = f" ({', '.join(versions)})" if versions else ""
    return f"All trials were run with {ours}{used}{on} and took {duration(seconds)} of compute."


def machine_of(found: Evidence) -> Mapping[str, str]:
    """Where the latest trial ran, with versions; empty if no trial did."""
    known = (r.result.machine for r in reversed(found.record.trials) if r.result is not None)
    return next((machine for machine in known if machine), {})


def methods_table(said: Mapping[str, str]) -> pd.DataFrame:
    """One row a topic."""
    import pandas as pd

    return pd.DataFrame(list(said.items()), columns=["topic", "sentence"])
