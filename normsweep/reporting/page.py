"""The report: one self-contained page, with its figures and tables as files beside it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.analysis.stable_rates import stable_rates
from normsweep.errors import StoreError, UserError
from normsweep.reporting.answer import repeats_sentence, study_answer
from normsweep.reporting.commands import Commands
from normsweep.reporting.diagnosis_tables import (
    gradients_table,
    inputs_table,
    stable_rates_table,
)
from normsweep.reporting.ending_tables import endings_table, trial_endings_table
from normsweep.reporting.evidence_tables import (
    budget_table,
    configurations_table,
    curves_table,
    learning_rates_table,
    progress_table,
    speed_table,
    tunability_table,
    verdict_table,
)
from normsweep.reporting.explanations import explanations
from normsweep.reporting.formats import render
from normsweep.reporting.in_short import ShortAnswer, in_short
from normsweep.reporting.mechanism import Reason, reasons
from normsweep.reporting.methods import held_out, machine_of, paragraph
from normsweep.reporting.page_bundle import bundle
from normsweep.reporting.page_data import arm_looks, page_data
from normsweep.reporting.page_tables import (
    arms_of,
    configurations_of,
    endings_of,
    exchange_of,
    mechanism_of,
    speed_of,
    summary_of,
    trials_of,
)
from normsweep.reporting.score_tables import (
    exchange_table,
    mechanism_table,
    seeds_table,
    summary_table,
)
from normsweep.reporting.tables import arms_table, best_table, trials_table
from normsweep.reporting.verdict_text import verdict_tables
from normsweep.reporting.words import PARTS, headings, margin_words
from normsweep.sweep.study_record import DataFacts, StudyRecord
from normsweep.sweep.trial import CONFIRM
from normsweep.text import counted, duration, opening, quoted
from normsweep.urls import STORAGE

if TYPE_CHECKING:
    from jinja2 import Environment, Template

    from normsweep.reporting.figures.gallery import Picture

__all__ = [
    "Facts",
    "RunAddress",
    "page_template",
    "report_tables",
    "study_evidence",
    "write_report",
    "write_study_report",
    "write_tables",
]

TEMPLATES = Path(__file__).parent / "templates"
RunAddress = Callable[[str], str]
"""Gives the address of a run's page in MLflow, from the run's id."""
STEP = 10
"""Seeds to add where nobody knows how many are missing."""


@dataclass(frozen=True)
class Facts:
    """What a page says beside the evidence."""

    question: str
    answer: str
    """One sentence."""
    repeats: str
    """The gaps over repeats of the whole tuning, a line beside it; empty if there are none."""
    in_short: tuple[ShortAnswer, ...]
    data: DataFacts
    held_out: int
    """Images of the training set that trials are chosen by."""
    machine: str
    """Device, backend and precision of the latest trial."""
    versions: Mapping[str, str]
    """Of the packages there, by name."""
    hours: float
    """Of compute that went into the study."""
    warnings: tuple[str, ...]
    explanations: Mapping[str, str]
    """By topic, a plain sentence."""
    reasons: tuple[Reason, ...]
    """Why, by experiment."""
    methods: str
    """How it was done, a paragraph for an article."""
    article_command: str
    """The command that writes a table as LaTeX."""
    confirm_command: str
    """The command that runs the confirmation, or another one with more seeds of every configuration."""
    study_command: str
    """The command that runs the study, which adds seeds by itself to what the primary question compares."""
    commands: tuple[str, ...]
    """The commands that reproduce the study."""


def study_evidence(record: StudyRecord, storage: str = STORAGE) -> Evidence:
    """All that a study found, for its report; `storage` is the address of Optuna's database.

    Raises:
        StoreError: the study has no trial yet.
    """
    if not record.begun:
        raise StoreError(
            f"study {record.name}: has no trial yet; legal: a study that was run "
            f"({Commands(record, storage).study()})"
        )
    return evidence(record)


def write_study_report(
    found: Evidence,
    storage: str = STORAGE,
    folder: Path | None = None,
    address: RunAddress | None = None,
    width: float | None = None,
) -> Path:
    """Write the report of a study; the page's path.

    Args:
        found: as of `study_evidence`.
        storage: address of Optuna's database, for the commands.
        folder: `mlruns/reports/STUDY` where it is not given.
        address: of a run's page in MLflow, if a browser can open one.
        width: of the files of figures in pixels, 96 to an inch; by default as on a wide page.

    Raises:
        UserError: the folder cannot be written.
    """
    folder = folder or Path("mlruns") / "reports" / found.record.name
    try:
        return write_report(found, folder, storage, address, width)
    except OSError as error:
        raise UserError(f"--output: cannot write {folder}: {error.strerror}") from None


def write_report(
    found: Evidence,
    folder: Path,
    storage: str = STORAGE,
    address: RunAddress | None = None,
    width: float | None = None,
    written: Callable[[Path], None] = lambda path: None,
) -> Path:
    """Write `index.html`, `figures/` (PNG, SVG and PDF) and `tables/` (CSV) into the folder.

    Returns the page's path. What is not known yet is left out, and the page says so. `storage` is
    the address of Optuna's database, for the commands; `address` gives that of a run's page in MLflow,
    to which trials are linked; `width` is that of the files of figures; `written` is called with each of
    these files once it is written. Raises OSError if the folder cannot be written.
    """
    from normsweep.reporting.figures.gallery import draw_pictures  # vl-convert, only if needed

    folder.mkdir(parents=True, exist_ok=True)
    links = {} if address is None else _links(found.record, address)
    pictures = draw_pictures(found, folder / "figures", links, width, written)
    tables = report_tables(found)
    write_tables(tables, folder / "tables")
    page = folder / "index.html"
    made = _html(found, _facts(found, storage), pictures, tables, links)
    page.write_text(made, encoding="utf-8")
    return page


def _links(record: StudyRecord, address: RunAddress) -> dict[int, str]:
    """The addresses of runs by the trial's number."""
    return {r.trial.number: address(r.run_id) for r in record.trials if r.run_id}


def report_tables(found: Evidence) -> dict[str, pd.DataFrame]:
    """The tables that lie beside a page, by name; those without rows are left out."""
    record, by = found.record, found.metric
    searched, classes = record.searched, record.data.classes if record.data else 0
    tables = {
        "curves": curves_table(found.curves, by),
        "verdicts": verdict_table(found.verdicts, by),
        "endings": endings_table(found.endings.arms),
        "trial_endings": trial_endings_table(found.endings.searched, by),
        "learning_rates": learning_rates_table(searched),
        "tunability": tunability_table(found.tuning),
        "budget": budget_table(searched, record.arms),
        "inputs": inputs_table(record.diagnoses, record.arms, classes),
        "gradients": gradients_table(record.diagnoses, record.arms),
        "stable_rates": stable_rates_table(stable_rates(record)),
        "progress": progress_table(searched),
        "configurations": configurations_table(found.analysis.configurations),
        "speed": speed_table(found.speeds),
        "summary": summary_table(found.scores, by),
        "seeds": seeds_table(found.scores, by, found.level),
        "exchange": exchange_table(found.exchanges, by),
        "mechanism": mechanism_table(found.factorials),
        "best": best_table(searched, record.arms, same=record.same),
        "arms": arms_table(found.arms, record.equal),
        "trials": trials_table(record.trials, record.same),
    }
    return {name: table for name, table in tables.items() if not table.empty}


def write_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write the tables as CSV files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        (folder / f"{name}.csv").write_bytes(render(table, "csv"))


def _facts(found: Evidence, storage: str) -> Facts:
    record, sweep = found.record, found.record.sweep
    assert record.data is not None
    machine, commands = machine_of(found), Commands(record, storage)
    seconds = sum(r.result.worker_seconds for r in record.trials if r.result is not None)
    asked = sweep.question or f"Does every {sweep.compare} do as well as the reference?"
    return Facts(
        question=asked,
        answer=study_answer(found),
        repeats=repeats_sentence(found.verdicts),
        in_short=in_short(found),
        data=record.data,
        held_out=held_out(record.data, sweep.data.validation_split),
        machine=_machine_words(record, machine),
        versions={
            key.removesuffix("_version"): version
            for key, version in machine.items()
            if key.endswith("_version")
        },
        hours=seconds / 3600,
        warnings=(*found.warnings, *_unfinished(found)),
        explanations=explanations(found),
        reasons=reasons(found),
        methods=paragraph(found),
        article_command=commands.export(
            "summary" if record.analyses else "best", "--format", "latex"
        ),
        confirm_command=_confirm_command(found, commands),
        study_command=commands.study(),
        commands=commands.reproduce(),
    )


def _machine_words(record: StudyRecord, machine: Mapping[str, str]) -> str:
    device, name = machine.get("device", ""), machine.get("backend", "")
    backend = f"{name} {machine.get(f'{name}_version', '')}".strip()
    precision = record.trials[0].trial.precision if device or backend else ""
    return ", ".join(filter(None, (device, backend, precision)))


def _unfinished(found: Evidence) -> list[str]:
    """What of the confirmation is not in an analysis yet."""
    analysed = {number for c in found.analysis.configurations for number in c.runs}
    ended = [r for r in found.record.confirmed if r.result is not None and r.result.status.scored]
    new = [r for r in ended if r.trial.number not in analysed]
    if not new:
        return []
    runs, are = counted(len(new), "run"), "is" if len(new) == 1 else "are"
    if len(ended) >= found.record.planned.get(CONFIRM, 0):
        return [
            f"{runs} of the confirmation ended after its question was decided, and {are} not in this verdict"
        ]
    return [
        f"the confirmation is not finished: {runs} {are} not in this verdict; run the command again to finish it"
    ]


def _confirm_command(found: Evidence, commands: Commands) -> str:
    """The command that gives a verdict, or more certain ones: once there is an analysis, in a new study."""
    if not found.record.analyses:
        return commands.confirm()
    known = [v.further_seeds for v in found.primary if v.further_seeds is not None]
    return commands.confirm(found.analysis.seeds + max(known, default=STEP))


def _html(
    found: Evidence,
    facts: Facts,
    pictures: Mapping[str, Picture],
    tables: Mapping[str, pd.DataFrame],
    links: Mapping[int, str],
) -> str:
    data = page_data(found, pictures)
    return page_template("report.html").render(
        evidence=found,
        record=found.record,
        sweep=found.record.sweep,
        facts=facts,
        headings=headings(found.metric),
        verdicts={
            part: verdict_tables(found.verdicts, part, facts.confirm_command, facts.study_command)
            for part in PARTS
        },
        pictures=pictures,
        hero=_hero(pictures),
        configurations=configurations_of(tables.get("configurations"), found),
        speed=speed_of(tables.get("speed"), found),
        summary=summary_of(found),
        exchange=exchange_of(found),
        mechanism=mechanism_of(found),
        endings=endings_of(found),
        arms=arms_of(tables.get("arms"), found.metric),
        trials=trials_of(tables.get("trials"), found.metric, links),
        tables=list(tables),
        data=data,
        looks=arm_looks(found),
        bundle=bundle() if data["figures"] else "",
    )


def page_template(name: str) -> Template:
    """A template of a page, with the filters that all of them have."""
    return _templates().get_template(name)


@functools.cache
def _templates() -> Environment:
    """All templates: each is compiled once in a process."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        counted=counted, margin_words=margin_words, quoted=quoted, duration=duration
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.filters["breakable"] = _breakable
    environment.filters["opening"] = opening
    return environment


def _breakable(name: str) -> str:
    """A name that may be broken after its underscores, as markup."""
    from markupsafe import Markup, escape

    return escape(name).replace("_", Markup("_<wbr>"))


def _hero(pictures: Mapping[str, Picture]) -> str:
    """The name of the picture that opens the page."""
    return "accuracy" if pictures["accuracy"].wide else "learning_rate"
