"""`normsweep new`: a commented sweep file to begin with."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from normsweep.errors import SweepError, UserError
from normsweep.sweep.parameters import CLASSIFICATION, REGRESSION
from normsweep.text import counted

if TYPE_CHECKING:
    from normsweep.parts.dataset import Dataset

__all__ = ["new"]

TEMPLATE = """\
# {about}
#
#     normsweep check {file}
#     python -m normsweep.study {file}
#
# All keys: docs/sweep-files.md.

name = "{name}"
# What the study is to answer; it is printed beside the answer.
question = "Does the network on raw inputs keep up with normalized ones?"
# The arm that all others are compared with.
reference = "{reference}"

[data]
# A registered dataset (normsweep list parts), or a file: .npz, .csv or .parquet.
dataset = {dataset}
{more_data}
[model]
# lenet for images, mlp for images and tables, or a model of your own.
name = "{model}"
batch_size = {batch}

[search]
# All arms together; more trials tune better, and take longer.
trials = {trials}

[search.space]
# The arms: what is done to the inputs. none is raw.
normalization = [{arms}]
# Tuned in each arm by itself.
learning_rate = {{ low = 1e-4, high = 1e-1, log = true }}
optimizer = ["adam"]
# Trials train for the most epochs and are read at every epoch.
epochs = {{ low = 1, high = 10 }}
{more_space}
[confirm]
# Fresh seeds for each arm: more are added until the question is decided.
seeds = {{ first = 5, most = 10 }}
{margin}
# What is trained without any tuning.
baseline = {{ optimizer = "adam", learning_rate = 0.001, epochs = 5 }}
"""

NAME_LINE = re.compile(r'^name = ".*"$', re.MULTILINE)


TARGET_COLUMN = """\
# The column to predict; all others are inputs. A fifth of the rows are for testing.
target_column = {target}
"""
TASK = """\
# What is predicted: classes, or in a regression numbers.
task = "{task}"
"""
SCALED_TARGET = """\
# How the target is scaled for the training; scores are in its own unit.
target = "standardize"
"""
MARGIN = """\
# The difference in accuracy that would not matter: 0.01 is one percentage point.
margin = {margin}"""
SHARE = """\
# The difference in RMSE that would not matter, as a share of the reference's.
margin = "5 %\""""


@dataclass(frozen=True)
class _Facts:
    """What a sweep file is made for; texts are TOML."""

    about: str
    dataset: str
    target: str = ""
    """The column to predict, if the data is a table in a file."""
    task: str = CLASSIFICATION
    declared: bool = False
    """Whether the sweep has to name the task, because the labels do not say it."""
    table: bool = False
    scaled: bool = True
    """Whether `unit` has a divisor of its own: integers have that of their type."""
    images: int = 1797
    test_images: int = 360

    @property
    def margin(self) -> float:
        """About two standard errors of an accuracy of 0.95 on the test images; smaller ones stay open."""
        return max(0.005, round(0.44 / self.test_images**0.5, 3))


def new(
    name: Annotated[str, Parameter(help="Name of the sweep and of its study.")],
    /,
    *,
    from_: Annotated[
        str | None,
        Parameter(name="--from", help="Included sweep to begin with (normsweep list sweeps)."),
    ] = None,
    data: Annotated[
        Path | None,
        Parameter(
            help="File to begin with: .npz with x_train, y_train, x_test and y_test, or .csv or .parquet."
        ),
    ] = None,
    target: Annotated[
        str | None, Parameter(help="The column to predict, of a .csv or .parquet file.")
    ] = None,
    task: Annotated[
        Literal["classification", "regression"] | None,
        Parameter(help="What is predicted, if the labels do not say it, as whole numbers."),
    ] = None,
) -> int:
    """Write a commented sweep file, NAME.toml, into the current folder.

    Without options it is for scikit-learn's digits.
    """
    from normsweep.parts.catalog import read_sweep
    from normsweep.sweep.problems import shown
    from normsweep.sweep.schema import is_name

    if from_ is not None and data is not None:
        raise UserError("--from, --data: only one of them is allowed")
    if data is None and (target is not None or task is not None):
        raise UserError("--target, --task: allowed with --data only")
    if not is_name(name):
        raise UserError(
            "NAME: must be letters, digits, '.', '_' and '-', the first one a letter or digit, "
            f"got {shown(name)}"
        )
    path = Path(f"{name}.toml")
    text = (
        _copied(name, from_) if from_ is not None else _made(name, path, _facts(data, target, task))
    )
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"NAME: {path} exists already and is not changed") from None
    except OSError as error:
        raise UserError(f"NAME: cannot write {path}: {error.strerror}") from None
    read_sweep(path)
    print(f"wrote {path}; next:")
    for command in ("normsweep check", "python -m normsweep.study"):
        print(f"  {command} {quote(str(path))}")
    return 0


def _copied(name: str, source: str) -> str:
    """An included sweep under another name."""
    from normsweep.sweep.loading import shipped_sweeps
    from normsweep.sweep.problems import unknown

    shipped = shipped_sweeps()
    if source not in shipped:
        raise SweepError(f"--from: {unknown('sweep', source, shipped)}")
    text = shipped[source].read_text(encoding="utf-8")
    body = text[text.index("\nname = ") + 1 :]  # the comments before it are about its own study
    named = NAME_LINE.sub(f'name = "{name}"', body, count=1)
    return f"# Made from the included sweep {source}.\n\n{named}"


def _facts(data: Path | None, target: str | None, task: str | None) -> _Facts:
    if data is None:
        return _Facts("Scikit-learn's handwritten digits, 8×8, which need no download.", '"digits"')
    from normsweep.parts.datasets import load
    from normsweep.parts.tables import Table, is_table
    from normsweep.sweep.checks import FILES
    from normsweep.sweep.problems import quoted

    if data.suffix not in FILES:
        raise UserError(f"--data: expected a file that ends in {', '.join(FILES)}, got {data}")
    if not str(data).isprintable():
        raise UserError(f"--data: expected a path of printable characters, got {quoted(str(data))}")
    if is_table(str(data)) != (target is not None):
        rule = "must be set to the column to predict" if target is None else "must not be set"
        raise UserError(f"--target: {rule} with {data}")
    table = Table(target, numbers=task == REGRESSION)
    found = load(str(data), table=table, task=task)
    declared = "" if target is None else quoted(target)
    return replace(_of(found, quoted(str(data)), declared), declared=task is not None)


def _of(data: Dataset, written: str, target: str) -> _Facts:
    train, test = data.x_train, data.x_test
    shape = "×".join(map(str, data.sample_shape))
    what = f"rows of {shape} features" if train.ndim == 2 else f"images of {shape}"
    regression = data.task == REGRESSION
    predicted = counted(data.outputs, "target") if regression else counted(data.classes, "class")
    return _Facts(
        f"{len(train):,} {what} to train on, {len(test):,} to test; {train.dtype}, {predicted}.",
        written,
        target,
        data.task,
        table=train.ndim == 2,
        scaled=train.dtype.kind in "iu" and train.ndim > 2,
        images=len(train),
        test_images=len(test),
    )


def _made(name: str, path: Path, facts: _Facts) -> str:
    arms = ("none", "unit", "standardize") if facts.scaled else ("none", "standardize")
    regression = facts.task == REGRESSION
    more_data = TARGET_COLUMN.format(target=facts.target) if facts.target else ""
    return TEMPLATE.format(
        about=facts.about,
        file=path,
        name=name,
        reference=arms[1],
        dataset=facts.dataset,
        more_data=more_data
        + (TASK.format(task=facts.task) if regression or facts.declared else ""),
        model="mlp" if facts.table else "lenet",
        batch=32 if facts.images < 5000 else 128,
        trials=10 * len(arms),
        arms=", ".join(f'"{arm}"' for arm in arms),
        more_space=SCALED_TARGET if regression else "",
        margin=SHARE if regression else MARGIN.format(margin=facts.margin),
    )
