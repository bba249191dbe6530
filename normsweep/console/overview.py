"""The plan of a study, the list of studies, and one trial in full."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from normsweep.analysis.trials import best_of_arms, ended_trials
from normsweep.console.screen import print_table, say
from normsweep.parts import metrics, models
from normsweep.parts.catalog import is_trained, schedules_of_length
from normsweep.parts.losses import DEFAULT
from normsweep.parts.metrics import ACCURACY, metric
from normsweep.reporting.commands import Commands
from normsweep.reporting.rows import Rows, epoch_rows
from normsweep.search.plan import Plan, halving_trials
from normsweep.search.selection import budgets, most_configurations
from normsweep.sweep.arms import ARM
from normsweep.sweep.parameters import LOSS, RAW, REGRESSION, TARGET
from normsweep.sweep.schema import AUTO, Sweep
from normsweep.sweep.space import Choice
from normsweep.sweep.study_record import StudyRecord, TrialRecord
from normsweep.sweep.trial import RARE, SEARCH
from normsweep.text import counted, duration, milliseconds
from normsweep.training.precision import BFLOAT16, FLOAT32, processor_computes_bfloat16

__all__ = [
    "Overview",
    "overview",
    "plan_lines",
    "print_plan",
    "print_trial",
    "studies_table",
    "trial_facts",
    "trial_lines",
]

DAY = 86_400.0
LEAST_SAVED = 600.0
"""Seconds that halving has to save to be proposed."""


@dataclass(frozen=True)
class Overview:
    """A study as a row of the list of studies."""

    study: str
    status: str
    """running, new, stopped, searched or done."""
    trials: str
    """Done and planned trials of the search, and of selection and confirmation if they have started."""
    best: str
    """The best validation score of the search, and its arm."""
    started: str
    """How long ago the first trial started."""


def overview(record: StudyRecord, running: bool, now: float) -> Overview:
    """The row of a study.

    Args:
        record: the study.
        running: whether a process runs it now.
        now: Unix time.
    """
    plan = {SEARCH: _planned(record), **record.planned}
    done = {phase: ended_trials(record.trials, phase) for phase in plan}
    started = [r.result.started for r in record.trials if r.result is not None and r.result.started]
    best = _best(record.searched)
    return Overview(
        record.name,
        "running" if running else _status(record, done, plan),
        " + ".join(f"{done[phase]}/{total}" for phase, total in plan.items()),
        f"{_shown(best, best.result.score)} {best.trial.arm}" if best and best.result else "",
        f"{_ago(max(now - min(started), 0.0))} ago" if started else "",
    )


def _shown(record: TrialRecord, score: float) -> str:
    return metric(record.trial.metric).shown(score)


def _best(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """The best trial; None if the metric is a plug-in's, which the list of studies does not load."""
    if any(record.trial.metric not in metrics.registry for record in records):
        return None
    known = [(r, r.result) for r in best_of_arms(records).values() if r.result is not None]
    by = metrics.metric(records[0].trial.metric) if known else metrics.ACCURACY
    return max(known, key=lambda pair: by.sign * pair[1].score, default=(None, None))[0]


def _planned(record: StudyRecord) -> int:
    """Planned trials of the search, for a study that has not stored its plan."""
    arms = max(len(record.arms), 1)
    return math.ceil(record.sweep.search.trials / arms) * arms


def _status(record: StudyRecord, done: Mapping[str, int], plan: Mapping[str, int]) -> str:
    if not done[SEARCH]:
        return "new"
    if any(done[phase] < total for phase, total in plan.items()):
        return "stopped"
    return "done" if record.analyses else "searched"


def _ago(seconds: float) -> str:
    return duration(seconds) if seconds < 2 * DAY else f"{seconds / DAY:.0f} days"


def studies_table(rows: Sequence[Overview]) -> Rows:
    """Studies as a table of texts."""
    return Rows(tuple(Overview.__dataclass_fields__), tuple(map(asdict, rows)))


def print_trial(record: TrialRecord, commands: Commands) -> None:
    """Print everything stored about a trial; `commands` are those of its study."""
    say(f"trial {record.trial.number} of {commands.record.name}")
    for name, value in trial_lines(record):
        indented = value.strip().replace("\n", f"\n{'':32}")
        say(f"  {name:30}{indented}")
    curve = epoch_rows([record]).without("trial", "arm")
    if len(curve):
        print_table(curve, "curve")
    say(f"train it again without storing anything:\n  {commands.rerun(record.trial.number)}")


def trial_facts(record: TrialRecord) -> dict[str, object]:
    """Everything stored about a trial, for programs; `curve`: a mapping for each epoch."""
    curve = epoch_rows([record]).without("trial", "arm")
    return {**_content(record), "curve": curve.mappings}


def trial_lines(record: TrialRecord) -> list[tuple[str, str]]:
    """Everything stored about a trial except its curve, as pairs of name and value."""
    content = _content(record)
    return [(name, _text(value)) for name, value in content.items() if value not in ("", None, {})]


def _content(record: TrialRecord) -> dict[str, object]:
    trial, result = record.trial, record.result
    content: dict[str, object] = {"status": result.status.value if result else "running"}
    hidden = ("data", "params", *RARE)
    content |= {k: v for k, v in asdict(trial).items() if k not in hidden and v != ""}
    content |= trial.changed
    content |= {f"data.{key}": value for key, value in asdict(trial.data).items()}
    content |= {"params": dict(trial.params), "fingerprint": trial.fingerprint}
    if result is not None:
        content |= {
            f"val_{trial.metric}": result.score,
            "chance": result.chance,
            "started": _clock(result.started),
            "seconds": round(result.seconds, 3),
            **{f"machine.{key}": value for key, value in result.machine.items()},
            "loop": result.loop,
            "test_digest": result.test_digest,
            **({"restored_epoch": result.last.epoch} if result.restores and result.curve else {}),
            "reused_epochs": result.reused,
            "reused_from": "" if result.origin is None else result.origin,
            "reused_study": result.origin_study,
            "mlflow_run": record.run_id,
            "error": result.error,
        }
    return content


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def print_plan(plan: Plan) -> None:
    """Print the plan of a study."""
    for line in plan_lines(plan):
        say(line)


def plan_lines(plan: Plan) -> list[str]:
    """The plan as lines of text."""
    sweep = plan.sweep
    parameters = plan.findings.parameters if plan.findings else 0
    return [
        f"study     {sweep.name}" + (f": {sweep.question}" if sweep.question else ""),
        f"data      {_data(plan)}",
        *([f"task      {_task(plan)}"] if sweep.task == REGRESSION else []),
        f"model     {sweep.model.name}" + (f", {parameters:,} parameters" if parameters else ""),
        f"precision {_precision(plan)}",
        f"arms      {described_arms(sweep)}",
        f"trials    {len(sweep.arms)} arms × {sweep.points_per_arm} = "
        f"{len(sweep.arms) * sweep.points_per_arm}, {_sampler(sweep)}{_pruner(sweep)}",
        f"epochs    {_epochs(sweep)}",
        *([f"select    {_selection(sweep)}"] if sweep.selection_seeds else []),
        f"confirm   {_confirmation(sweep)}",
        *([f"repeats   {_repeats(sweep)}"] if sweep.search.repeats > 1 else []),
        *(f"note      {text}" for text in _notes(plan)),
        *_measured(plan),
    ]


def described_arms(sweep: Sweep) -> str:
    """The arms with what they do, and the reference."""
    bundles = sweep.compare == ARM
    by, between = ("", "; ") if bundles else (f" by {sweep.compare}", ", ")
    arms = between.join(arm.described for arm in sweep.arms)
    return f"{len(sweep.arms)}{by}: {arms}; reference {sweep.label(str(sweep.reference))}"


def _precision(plan: Plan) -> str:
    """The precision of the trials, and what `auto` would save, as far as it is known."""
    own, found = plan.sweep.model.precision, plan.findings
    if not is_trained(plan.sweep.model.name):
        return own
    if found is None:
        return f"{own}{_on_this_processor(own)}"
    if not found.seconds:
        return own
    took = {name: milliseconds(seconds) for name, seconds in found.seconds.items()}
    if own != found.automatic:
        change = _change(found.seconds[own], found.seconds[found.automatic])
        return f"{own}, {took[own]} a step; auto would take {found.automatic}: {took[found.automatic]}, {change}"
    if own == FLOAT32:
        return f"{own}, {took[own]} a step; auto would take it too"
    change = _change(found.seconds[FLOAT32], found.seconds[own])
    return f"{own}, which auto takes here: {took[own]} a step, {change} than the {took[FLOAT32]} of float32"


def _change(before: float, now: float) -> str:
    """The change of a time: `38 % less`."""
    return f"{abs(100 * (1 - now / before)):.0f} % {'less' if now <= before else 'more'}"


def _on_this_processor(own: str) -> str:
    """What `auto` would be without a GPU, from the processor's flags."""
    automatic = BFLOAT16 if processor_computes_bfloat16() else FLOAT32
    if own == AUTO:
        return f": {automatic} on this processor"
    return "" if own == automatic else f"; auto would take {automatic} on this processor"


def _sampler(sweep: Sweep) -> str:
    first = "" if sweep.rules == 1 else "the baseline first, then "
    if sweep.sampler == "ladder":
        return f"{first}a ladder of learning rates, the same in every arm"
    return f"{first}sampler {sweep.sampler}"


def _pruner(sweep: Sweep) -> str:
    """Which trials are stopped early; with rungs, how many go on."""
    if sweep.rungs:
        parts = [f"{rung.going_on} go on after epoch {rung.epoch}" for rung in sweep.rungs]
        return (
            f"; halving: of each arm {' and '.join(parts)}, which takes as long as "
            f"{sweep.trials_per_arm} full trials"
        )
    return (
        "" if sweep.search.pruner == "none" else f", pruner {sweep.search.pruner} within each arm"
    )


def _data(plan: Plan) -> str:
    if plan.data is None or plan.findings is None:
        return " or ".join(plan.sweep.data.candidates)
    data, found = plan.data, plan.findings
    return (
        f"{data.name} ({data.source}): {found.train_images} {data.sample}s to train on, "
        f"{found.val_images} to validate, digest {data.digest[:12]}"
    )


def _task(plan: Plan) -> str:
    """What a regression predicts, what it is trained for, and the metric."""
    sweep, space = plan.sweep, plan.sweep.space
    of = f" of {counted(plan.data.outputs, 'target')}" if plan.data else ""
    losses = space.choices(LOSS) if LOSS in space else (DEFAULT[REGRESSION],)
    scaled = space.choices(TARGET) if TARGET in space else (RAW,)
    return (
        f"{sweep.task}{of}, scored by {metric(sweep.metric).label}; "
        f"loss {' or '.join(map(str, losses))}, target {' or '.join(map(str, scaled))}"
    )


def _notes(plan: Plan) -> Iterator[str]:
    """What may differ from what the sweep's author expects."""
    sweep, total = plan.sweep, plan.sweep.total_trials
    if total > sweep.search.trials:
        yield (
            f"{sweep.search.trials} trials are not a multiple of {len(sweep.arms)} arms: "
            f"rounded up to {total}"
        )
    if total < sweep.search.trials:
        yield f"the grid has {sweep.trials_per_arm} points per arm: {total} trials in total"
    used = sweep.space.choices("normalization")
    for name, kept in plan.findings.same.items() if plan.findings else ():
        if name not in used:
            yield f"{name} is equivalent to {kept} on this data: run once, as {kept}"
    sample = plan.data.sample if plan.data else "image"
    for name in plan.findings.empty if plan.findings else ():
        yield (
            f"warning: all training {sample}s are the same after {name}, so that no network can learn from them; "
            "check its divisor and the dtype of the data"
        )
    if sweep.search.longest_every and not sweep.samples_epochs:
        yield "search.longest_every has no effect: every trial trains for the largest number of epochs"
    model = sweep.model.name
    known = model in models.registry and "initial" not in sweep.space
    if known and isinstance(models.registry[model].function, models.Copies):
        yield (
            "the weights of the model object are not used: each seed draws new ones; "
            'search.space.initial = "built" keeps them'
        )
    if names := schedules_of_length(sweep):
        yield (
            f"the learning rates of {', '.join(names)} depend on the number of epochs: no training holds a shorter one, "
            "so trials sample their lengths, and the confirmation trains the baseline for both of its lengths"
        )
    if "robust" in map(str, sweep.space.choices("normalization")):
        yield (
            "robust takes the median and quartiles of the non-zero pixels, of all rows of a table"
        )


def _measured(plan: Plan) -> Iterator[str]:
    if plan.findings is not None:
        machine = plan.findings.machine
        yield f"device    {machine['device']}, {machine['threads']} threads"
    if plan.seconds is not None:
        selection = plan.select_seconds
        again = f", {_from_to(selection)} for the selection round" if selection[1] else ""
        yield (
            f"time      about {duration(plan.seconds)} for the search{again} and "
            f"{_from_to(plan.confirm_seconds)} for its confirmation{_of_repeats(plan)}, from one measured step"
        )
    if plan.halving_seconds is not None and plan.halving_seconds > LEAST_SAVED:
        yield f"halving   {_proposed(plan.sweep)} {duration(plan.halving_seconds)} of the search"


def _of_repeats(plan: Plan) -> str:
    """The time of further repeats of the tuning."""
    if plan.sweep.search.repeats == 1:
        return ""
    return f", then {_from_to(plan.repeat_seconds)} for repeats of the tuning"


def _proposed(sweep: Sweep) -> str:
    """What to write for halving."""
    if sweep.sampler != "ladder":
        return "search.pruner=halving would stop the worst trials of each arm early and save about"
    return (
        "search.pruner=halving would try twice as many learning rates in the same time; with "
        f"search.trials={halving_trials(sweep)} as many, and save about"
    )


def _from_to(seconds: tuple[float, float]) -> str:
    fewest, most = map(duration, seconds)
    return f"up to {most}" if fewest == most else f"{fewest} to {most}"


def _selection(sweep: Sweep) -> str:
    several = len({budget.epochs for budget in budgets(sweep)}) > 1
    each = " for each of two numbers of epochs," if several else ""
    return f"the {sweep.select.top} best trials of each arm{each} and its baseline, × {counted(len(sweep.selection_seeds), 'further seed')}"


def _confirmation(sweep: Sweep) -> str:
    seeds = sweep.confirm.seeds
    further = (
        ""
        if seeds.fixed
        else f", then one by one up to {seeds.most} until {sweep.confirm.primary} is decided"
    )
    return (
        f"up to {counted(most_configurations(sweep), 'configuration')} of each arm × {seeds.first} fresh seeds{further}, "
        f"{counted(sweep.confirm_epochs, 'epoch')}; margin {_margin(sweep)}"
    )


def _repeats(sweep: Sweep) -> str:
    return (
        f"the whole tuning {sweep.search.repeats} times, each with seeds of its own, for an interval beside the "
        f"outcome; what {sweep.confirm.primary} compares × {counted(sweep.confirm.seeds.first, 'seed')}"
    )


def _margin(sweep: Sweep) -> str:
    """The margin in its unit, with the metric unless it is accuracy."""
    by, confirm = metric(sweep.metric), sweep.confirm
    if confirm.share:
        return f"{confirm.margin} of the reference's {by.label}"
    number = by.scale * confirm.margin_at(math.nan)
    amount = f"{number:g} {by.unit.removesuffix('s') if number == 1 else by.unit}".rstrip()
    return amount if by is ACCURACY else f"{amount} of {by.label}"


def _epochs(sweep: Sweep) -> str:
    """The epochs of the trials, and what an epoch is."""
    steps = sweep.model.steps_per_epoch
    unit = f"; an epoch is {counted(steps, 'step')} of the optimizer" if steps else ""
    return f"{_lengths(sweep)}{unit}"


def _lengths(sweep: Sweep) -> str:
    dimension = sweep.search.space["epochs"]
    if isinstance(dimension, Choice):
        text = ", ".join(map(str, dimension.values))
    else:
        text = f"{dimension.low:g} to {dimension.high:g}"
    every = sweep.search.longest_every
    if sweep.samples_epochs:
        rest = f"; one trial in {every} of each arm trains for {sweep.longest}" if every else ""
        return f"{text}, sampled{rest}" if sweep.rules > 1 else text + rest
    if dimension.count == 1:
        return text
    if sweep.rungs:
        return f"{text}: trials train for up to {sweep.longest} and are read at every epoch"
    return f"{text}: every trial trains for {sweep.longest} and is read at every epoch"
