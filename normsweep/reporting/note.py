"""The note that MLflow shows above a study's runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from normsweep.analysis import arms_table, best_table
from normsweep.parts import metric
from normsweep.reporting.answer import answer_sentence
from normsweep.reporting.formats import as_markdown, render
from normsweep.reporting.verdict_cells import verdict_cells
from normsweep.spec import Record, Sweep

if TYPE_CHECKING:
    from normsweep.search import StudyInfo

__all__ = ["experiment_note"]


def experiment_note(
    sweep: Sweep,
    info: StudyInfo,
    records: Sequence[Record],
    link: Callable[[str], str],
    verdicts: pd.DataFrame | None = None,
    report: str = "",
) -> str:
    """The question, the verdict, each arm's best trial with a link to its run. Markdown.

    Args:
        sweep: with the arms that ran.
        info: the study as a whole.
        records: the trials of its search.
        link: the address of a run by its id.
        verdicts: the table of verdicts, where there is one yet.
        report: the address of the report, where it is kept.
    """
    arms = [str(arm) for arm in sweep.arms]
    best = best_table(records, arms, same=info.same)
    links = zip(best["arm"], best["trial"], best["run_id"], strict=True)
    by = metric(sweep.metric)
    columns = ["arm", f"val_{by.name}", "learning_rate", "optimizer", "epochs", "trial"]
    counts = arms_table(records, arms).filter(["arm", "trials", "complete", "diverged", "failed"])
    data = info.data
    return f"""# {info.name}

{as_markdown(sweep.question)}

{_answer(sweep, verdicts, report)}

Data: {as_markdown(f"{data['name']} ({data['source']})")}, {data["train_images"]} training images. Reference arm:
{as_markdown(str(sweep.reference))}.

## Best trial of each arm, by validation {by.label} after the last epoch

{render(best.filter(items=columns), "markdown").decode()}
Runs: {", ".join(f"[{as_markdown(str(arm))}, trial {trial}]({link(run)})" for arm, trial, run in links if run)}

The best score of several trials is optimistic: it selects a configuration, and is no estimate.

## Trials

{render(counts, "markdown").decode()}
All tables: `python -m normsweep.export best --study-name {info.name}`
"""


def _answer(sweep: Sweep, verdicts: pd.DataFrame | None, report: str) -> str:
    """The answer in a sentence, the table it is taken from, and where the report is."""
    table = pd.DataFrame() if verdicts is None else verdicts
    sentence = answer_sentence(table, sweep.compare, str(sweep.reference), sweep.confirm.primary)
    parts = [f"**{as_markdown(sentence)}**"]
    if len(table):
        parts.append(render(verdict_cells(table), "markdown").decode().rstrip())
    if report:
        parts.append(f"[The whole report]({report})")
    return "\n\n".join(parts)
