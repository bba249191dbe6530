"""Given runs in words and tables: what they cannot say, the answer, the scores behind it."""

from __future__ import annotations

from collections.abc import Iterator

from normsweep.analysis.given import Judgement
from normsweep.reporting.answer import answer_sentence
from normsweep.text import listed

__all__ = ["judged_answer", "unknowns"]


def judged_answer(found: Judgement) -> str:
    """The verdicts in one sentence."""
    return answer_sentence(found.verdicts, "arm", found.reference)


def unknowns(found: Judgement) -> tuple[str, ...]:
    """What a study would know and given runs do not say, each in a sentence."""
    return tuple(_unknowns(found))


def _unknowns(found: Judgement) -> Iterator[str]:
    runs, by = found.runs, found.metric
    yield (
        f"Whether the margin of {by.amount(found.margin)} was declared before the scores were seen. A margin that is chosen after them "
        "proves nothing."
    )
    counts = ", ".join(f"{arm.arm} {len(arm.scores)}" for arm in runs.arms)
    yield f"Whether these are all runs that were made, or chosen ones ({counts})."
    if runs.varied:
        yield (
            f"How much each arm was tuned. Runs of one arm differ in {listed(runs.varied)}: they are not repeats of one "
            "configuration, and the interval is that of such a mixture."
        )
    else:
        yield "How much each arm was tuned; the better tuned one has an advantage that no interval covers."
    seeds = "a seed" if any(arm.seeds for arm in runs.arms) else "a run"
    yield (
        f"Whether all runs share one split of the data, or each has its own. With one split the "
        f"interval says what another {seeds.removeprefix('a ')} would give, and nothing about other splits."
    )
    yield (
        "Whether the scores are those of data that nothing was chosen by, neither settings nor the best epoch. Scores of "
        "validation data, and of the best epoch, are too good."
    )
    if not runs.examples:
        yield (
            f"How the gap would differ on other test examples: intervals are for new {seeds.removeprefix('a ')}s on the same ones. "
            "Scores by example (--examples) would say it."
        )
