"""A `Sweep` as dotted keys, as a study stores it, and back; which keys may change.

    {"name": "mnist", "data.dataset": "mnist", "search.space.learning_rate.low": 1e-05, ...}

No registry is used: a study can be read without the custom components that it names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from normsweep.sweep import schemes
from normsweep.sweep.arms import ARM, NORMALIZATION, Arm, arms_by, bundles, fixed_by_all
from normsweep.sweep.problems import shown
from normsweep.sweep.schema import (
    SEQUENTIAL,
    Search,
    Section,
    Seeds,
    Sweep,
    inner_section,
    with_undeclared,
)
from normsweep.sweep.space import Choice, Condition, Dimension, Range, Space

__all__ = ["GROWING", "as_begun", "as_file", "changes", "from_plain", "grown", "to_plain"]

S = TypeVar("S", bound=Section)

TRIALS, REPEATS, SEEDS = "search.trials", "search.repeats", "confirm.seeds"
NUMBERS_OF_SEEDS = (SEEDS, f"{SEEDS}.first", f"{SEEDS}.most")
GROWING = (TRIALS, REPEATS, *NUMBERS_OF_SEEDS)
"""Keys that may grow; a smaller number has no effect."""
EPOCHS = (
    "search.space.epochs",
    "search.space.epochs.high",
    "search.space.epochs.values",
    "confirm.epochs",
)
"""Keys that may grow together with the limit of epochs, but not shrink."""
FREE = (
    "labels",
    "question",
    "plugins",
    "data.task",  # the digest of the data includes it
    "search.timeout",
    "execution.trial_timeout",
    "execution.trial_memory",
    "execution.num_cpus",
    "execution.num_gpus",
    "execution.checkpoints",
    "execution.checkpoint_every",
    "execution.retries",
    "execution.stack",
    "execution.system_metrics",
)
ADDED = {
    "rules": 1,
    "plugins": [],
    "metric": "accuracy",
    "data.task": None,
    "data.class_weights": {},
    "data.target_column": None,
    "data.test_split": 0.2,
    "data.kind": None,
    "data.full_scale": None,
    "model.precision": "float32",
    "model.steps_per_epoch": None,
    "select.top": 3,
    "search.repeats": 1,
    "select.seeds": None,
    "confirm.primary": "both_tuned",
    "confirm.baseline.normalization": None,
    "execution.threads": None,
    "execution.trial_memory": None,
    "execution.num_cpus": None,
    "execution.num_gpus": None,
    "execution.checkpoints": 2.0,
    "execution.checkpoint_every": 30.0,
    "execution.retries": 1,
    "execution.stack": 1,
    "execution.system_metrics": False,
}
"""Keys that older studies lack, with the values that they imply."""
HALVING, ASHA = "halving", "asha"


def to_plain(sweep: Sweep) -> dict[str, Any]:
    """The sweep as plain values by dotted key, for storage and comparison.

    `arms` are stored if they fix more than the compared parameter, and `labels` if they differ from
    the keys: a sweep with `[arms]` that says the same as one with `compare` is stored as that one.
    A fixed number of seeds is `confirm.seeds`, as in studies from before it could be a table.
    """
    names = (name for name in Sweep.model_fields if name != "arms")
    keys = dict(_flat("", {name: _plain(getattr(sweep, name)) for name in names}))
    if sweep.compare == ARM:
        keys["arms"] = [dict(arm.params) for arm in sweep.arms]
    if _labelled(sweep.arms):
        keys["labels"] = [arm.label for arm in sweep.arms]
    return keys


def from_plain(keys: Mapping[str, Any]) -> Sweep:
    """The sweep that `to_plain` of this or an older version returned; values are not validated.

    A key with its default value counts as not set, as `as_file` needs it. What older studies call
    halving is `asha`.

    Raises:
        KeyError, TypeError, ValueError: the keys are damaged.
    """
    whole = _completed(keys)
    sweep = _section(Sweep, "", {**whole, "arms": []})
    labels = whole.get("labels", ())
    if "arms" in whole:
        arms = bundles(whole["arms"], labels)
    else:
        whole[f"search.space.{whole['compare']}"]  # without it there are no arms
        arms = arms_by(whole["compare"], sweep.search.space, labels)
    sweep = sweep.model_copy(update={"arms": arms})
    # That of an older study is declared where it is not what the space fixes.
    baseline = sweep.confirm.baseline
    other = {name for name, fixed in sweep.undeclared().items() if getattr(baseline, name) != fixed}
    baseline.model_fields_set.update(other)
    if other:
        sweep.confirm.model_fields_set.add("baseline")
        sweep.model_fields_set.add("confirm")
    return sweep


def _completed(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a study, also of an older one."""
    older = REPEATS not in keys and keys.get("search.pruner") == HALVING
    added = {key: value for key, value in ADDED.items() if not _below(f"{key}.", keys)}
    return {**added, **keys, **({"search.pruner": ASHA} if older else {})}


def as_file(sweep: Sweep) -> dict[str, Any]:
    """The keys that were set, as the tables of a sweep file."""
    tables = _given(sweep)
    tables.pop("arms", None)
    if sweep.compare != ARM and not _labelled(sweep.arms):
        return tables
    tables.pop("compare", None)
    for name in fixed_by_all(sweep.arms):
        del tables["search"]["space"][name]
    arms = {arm.label: _as_file(arm) for arm in sweep.arms}
    return tables | {"arms": arms, "reference": sweep.label(str(sweep.reference))}


def _as_file(arm: Arm) -> dict[str, Any]:
    """An arm's parameters, with its schemes by column as a table."""
    table = schemes.as_table(str(arm.params.get(NORMALIZATION, "")))
    return {**arm.params, **({NORMALIZATION: table} if table else {})}


def _labelled(arms: Sequence[Arm]) -> bool:
    return any(arm.label != arm.key for arm in arms)


def changes(
    before: Sweep | Mapping[str, Any],
    now: Sweep,
    more_epochs: bool = True,
    analysed: bool = False,
) -> list[str]:
    """A line `  KEY: BEFORE -> NOW` for each changed key that must stay the same in a study.

    Args:
        before: the sweep that the study was created with, or its keys.
        now: the sweep to resume it with.
        more_epochs: whether the stored trials allow more epochs.
        analysed: whether there is an analysis, so that the seeds must stay as they are.
    """
    was = to_plain(before) if isinstance(before, Sweep) else _completed(before)
    is_ = to_plain(now)
    growing = more_epochs and _more_epochs(was, is_)
    free = (TRIALS, *FREE, *(EPOCHS if growing else ()))
    if _may_add_seeds(was, is_, analysed):
        free += NUMBERS_OF_SEEDS
    if is_["rules"] >= SEQUENTIAL:
        free += (REPEATS,)
    return [
        f"  {key}: {_shown(was, key)} -> {_shown(is_, key)}"
        for key in sorted(was.keys() | is_.keys())
        if key not in free and was.get(key) != is_.get(key)
    ]


def _may_add_seeds(was: Mapping[str, Any], is_: Mapping[str, Any], analysed: bool) -> bool:
    """Under earlier rules a fixed number may always be raised, as each analysis halves the level."""
    if is_["rules"] < SEQUENTIAL:
        return SEEDS in was and SEEDS in is_
    return not analysed


def as_begun(before: Sweep, now: Sweep) -> Sweep:
    """The sweep with which its study is resumed: with no fewer seeds, and the rules it was created with.

    Seeds and a baseline that are not declared are those of the study, and its halving is `asha` if it was created before
    trials could pause. Rules that are declared are kept. Under the first
    rules epochs were sampled, the default sampler was TPE, and `longest_every` applied.
    """
    seeds = now.confirm.seeds
    if "seeds" not in now.confirm.model_fields_set or seeds.most <= before.confirm.seeds.most:
        seeds = before.confirm.seeds
    if seeds != now.confirm.seeds:
        now = now.model_copy(update={"confirm": now.confirm.model_copy(update={"seeds": seeds})})
    now = _of_task(before, _of_baseline(before, now))
    if (before.search.pruner, now.search.pruner) == (ASHA, HALVING):
        now = now.model_copy(update={"search": now.search.model_copy(update={"pruner": ASHA})})
    if "rules" in now.model_fields_set or before.rules == now.rules:
        return now
    search = _searched_as_begun(before, now) if before.rules == 1 else now.search
    return now.model_copy(update={"rules": before.rules, "search": search})


def _of_baseline(before: Sweep, now: Sweep) -> Sweep:
    """The sweep with the baseline of its study, where that is not declared: it was not always that of the space."""
    own = {name: getattr(before.confirm.baseline, name) for name in now.undeclared()}
    return now.model_copy(update={"confirm": with_undeclared(now.confirm, own)}) if own else now


def _of_task(before: Sweep, now: Sweep) -> Sweep:
    """The sweep with the task that was found in the data of its study, and with that task's metric."""
    if before.data.task is None or now.data.task is not None:
        return now
    metric = now.metric if "metric" in now.model_fields_set else before.metric
    data = now.data.model_copy(update={"task": before.data.task})
    return now.model_copy(update={"data": data, "metric": metric})


def _searched_as_begun(before: Sweep, now: Sweep) -> Search:
    search, was = now.search, before.search
    declared = "longest_every" in search.model_fields_set
    space = Space(
        tuple(replace(d, sample=False) if d.name == "epochs" else d for d in search.space)
    )
    as_was = {
        "sampler": "tpe" if search.sampler == "auto" else search.sampler,
        "longest_every": search.longest_every if declared else was.longest_every,
        "space": space,
    }
    return search.model_copy(update=as_was)


def grown(before: Mapping[str, Any], now: Sweep) -> dict[str, Any]:
    """The keys of a sweep, with what was larger in those that its study has stored."""
    plain = to_plain(now)
    for key in (TRIALS, REPEATS):
        plain[key] = max(plain[key], before.get(key, 0))
    if _most_seeds(before) > _most_seeds(plain):
        kept = {key: value for key, value in before.items() if key in NUMBERS_OF_SEEDS}
        plain = {key: value for key, value in plain.items() if key not in NUMBERS_OF_SEEDS} | kept
    return plain


def _most_seeds(keys: Mapping[str, Any]) -> int:
    return keys.get(SEEDS) or keys.get(f"{SEEDS}.most") or 0


def _shown(keys: Mapping[str, Any], key: str) -> str:
    return "(not set)" if keys.get(key) is None else shown(keys[key])


def _more_epochs(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a sweep keeps all numbers of epochs, and its confirmation is not shorter."""
    listed = [set(_listed(plain)) for plain in (before, now)]
    longest = [_longest(plain) for plain in (before, now)]
    confirmed = [
        plain["confirm.epochs"] or most for plain, most in zip((before, now), longest, strict=True)
    ]
    return listed[0] <= listed[1] and longest[0] <= longest[1] and confirmed[0] <= confirmed[1]


def _listed(plain: Mapping[str, Any]) -> Sequence[int]:
    key = "search.space.epochs"
    return plain.get(key) or plain.get(f"{key}.values") or ()


def _longest(plain: Mapping[str, Any]) -> float:
    listed = _listed(plain)
    return max(listed) if listed else plain["search.space.epochs.high"]


def _plain(value: Any) -> Any:
    """A value as JSON, with sections and the space as objects."""
    match value:
        case Seeds() if value.fixed:
            return value.most
        case Section():
            return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
        case Space():
            return {dimension.name: _plain_dimension(dimension) for dimension in value}
        case list() | tuple():
            return [_plain(item) for item in value]
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value


def _plain_dimension(dimension: Dimension) -> Any:
    if isinstance(dimension, Choice) and not dimension.when and not dimension.sample:
        return list(dimension.values)
    content = {key: _plain(value) for key, value in vars(dimension).items() if value is not None}
    content["when"] = {c.parent: list(c.values) for c in dimension.when}
    del content["name"]
    if not dimension.sample:
        del content["sample"]
    return content


def _flat(prefix: str, content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(f"{prefix}{key}.", value)
        else:
            yield prefix + key, value


def _section(kind: type[S], prefix: str, keys: Mapping[str, Any]) -> S:
    values: dict[str, Any] = {}
    given: set[str] = set()
    for name, field in kind.model_fields.items():
        key = prefix + name
        if key == SEEDS and key in keys:
            values[name] = Seeds.plain(keys[key])
            given.add(name)
            continue
        if inner := inner_section(field):
            values[name] = _section(inner, f"{key}.", keys)
            if field.is_required() or values[name].model_fields_set:
                given.add(name)
            continue
        if field.annotation is Space:
            values[name] = _space(_below(f"{key}.", keys))
        elif key == OPTIONS:
            values[name] = keys.get(key) or _options(keys)
        elif key == WEIGHTS:
            values[name] = keys.get(key) or _below(f"{key}.", keys)
        else:
            values[name] = _frozen(keys.get(key) if field.default is None else keys[key])
        if field.is_required() or values[name] != field.get_default(call_default_factory=True):
            given.add(name)
    return kind.model_construct(_fields_set=given, **values)


OPTIONS, WEIGHTS = "model.options", "data.class_weights"


def _options(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the model; one may have a value for each arm, and names of arms can have dots."""
    options: dict[str, Any] = {}
    for path, value in _below(f"{OPTIONS}.", keys).items():
        name, dot, arm = path.partition(".")
        if dot:
            options.setdefault(name, {})[arm] = value
        else:
            options[name] = value
    return options


def _space(keys: Mapping[str, Any]) -> Space:
    names = dict.fromkeys(key.partition(".")[0] for key in keys)
    return Space(tuple(_dimension(name, keys) for name in names))


def _dimension(name: str, keys: Mapping[str, Any]) -> Dimension:
    if name in keys:
        return Choice(name, tuple(keys[name]))
    content = _below(f"{name}.", keys)
    when = tuple(
        Condition(parent, tuple(values)) for parent, values in _below("when.", content).items()
    )
    if "values" in content:
        return Choice(name, tuple(content["values"]), when, content.get("sample", False))
    ends = {key: value for key, value in content.items() if key.partition(".")[0] != "when"}
    return Range(name, **ends, when=when)


def _below(prefix: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key[len(prefix) :]: value for key, value in keys.items() if key.startswith(prefix)}


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _given(section: Section) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Space):
            content[name] = {d.name: _as_written(d) for d in value}
        elif name in section.model_fields_set:
            table = isinstance(value, Section) and not isinstance(value, Seeds)
            content[name] = _given(value) if table else _plain(value)
    return content


def _as_written(dimension: Dimension) -> Any:
    content = _plain_dimension(dimension)
    if isinstance(content, list):
        return content
    if isinstance(dimension, Choice):
        content["choices"] = content.pop("values")
    return {key: value for key, value in content.items() if key != "integer"}
