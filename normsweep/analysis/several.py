"""Several studies beside one another: their primary questions, and why they must not be pooled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from normsweep.analysis.confirm_runs import Curve, SeedCurve
from normsweep.analysis.evidence import Evidence
from normsweep.analysis.verdicts import Verdict
from normsweep.parts.metrics import Metric
from normsweep.text import listed, quoted

__all__ = ["StudyLines", "by_metric", "unlike"]


@dataclass(frozen=True)
class StudyLines:
    """The verdicts on the primary questions of studies with the same metric, a line for each study and arm."""

    metric: Metric
    studies: tuple[str, ...]
    """The study of each verdict."""
    verdicts: tuple[Verdict, ...]

    @property
    def reference(self) -> str:
        """The reference, if all studies have the same; otherwise empty."""
        references = {verdict.reference for verdict in self.verdicts}
        return references.pop() if len(references) == 1 else ""

    @property
    def names(self) -> tuple[str, ...]:
        """The arms of all studies."""
        return tuple(dict.fromkeys(verdict.arm for verdict in self.verdicts))

    @property
    def labels(self) -> tuple[str, ...]:
        """What each line is called: study and arm; the reference, where studies have several."""
        same = bool(self.reference)
        return tuple(
            f"{study}: {v.arm}{'' if same else f' − {v.reference}'}"
            for study, v in zip(self.studies, self.verdicts, strict=True)
        )

    @property
    def curves(self) -> tuple[Curve, ...]:
        """None: studies have curves of their own."""
        return ()

    @property
    def data_words(self) -> str:
        """Of which data the scores are."""
        return " on the test data"

    @property
    def steps_per_epoch(self) -> None:
        """Not known."""
        return None

    def seeds_of(self, curve: Curve) -> tuple[SeedCurve, ...]:
        """None."""
        return ()

    def tuning_seconds(self, curve: Curve) -> float:
        """None."""
        return 0.0


def by_metric(studies: Sequence[Evidence]) -> tuple[StudyLines, ...]:
    """The lines of all studies, those of one metric together, in the order of the studies."""
    groups: dict[str, list[tuple[str, Verdict]]] = defaultdict(list)
    for found in studies:
        groups[found.metric.name] += [(found.record.name, verdict) for verdict in found.primary]
    return tuple(
        StudyLines(
            lines[0][1].metric,
            tuple(study for study, _ in lines),
            tuple(verdict for _, verdict in lines),
        )
        for lines in groups.values()
        if lines
    )


def unlike(studies: Sequence[Evidence]) -> tuple[str, ...]:
    """In what the studies differ so that their gaps must not be pooled, a sentence each."""
    return tuple(_unlike(studies))


def _unlike(studies: Sequence[Evidence]) -> Iterator[str]:
    yield (
        "Each line is the verdict of its own study; nothing is pooled. The level of confidence holds for each study by itself, "
        "not for all lines together."
    )
    if text := _differs(studies, lambda f: f.metric.label):
        yield f"Metrics differ ({text}): gaps in different units are never averaged, and have a figure each."
    if text := _differs(studies, _margin):
        yield f"Margins differ ({text}): the same gap may be level in one study and not in another."
    if text := _differs(studies, lambda f: f"rules {f.record.sweep.rules}"):
        yield f"Rules differ ({text}): outcomes and intervals are those of each study’s version."
    if text := _differs(studies, lambda f: f.record.sweep.confirm.primary.replace("_", " ")):
        yield f"Main questions differ ({text})."
    if text := _differs(studies, lambda f: f"{100 * f.record.sweep.confirm.confidence:g} %"):
        yield f"Confidence levels differ ({text})."
    if text := _differs(studies, lambda f: quoted(f.reference)):
        yield f"References differ ({text}): each gap is to its own."
    yield from _of_arms(studies)
    yield from _of_data(studies)
    if open_ := [found.record.name for found in studies if not found.primary]:
        verb = "has" if len(open_) == 1 else "have"
        yield f"{listed(open_)} {verb} no verdict yet."


def _margin(found: Evidence) -> str:
    if not found.primary:
        return "not known yet"
    first = found.primary[0]
    return (
        f"{100 * first.share:g} % of the reference"
        if first.share
        else first.metric.amount(first.margin)
    )


def _differs(studies: Sequence[Evidence], of: Callable[[Evidence], str]) -> str:
    """The values, each with its studies, if there are several; otherwise empty."""
    groups: dict[str, list[str]] = defaultdict(list)
    for found in studies:
        groups[of(found)].append(found.record.name)
    return (
        "; ".join(f"{value}: {listed(names)}" for value, names in groups.items())
        if len(groups) > 1
        else ""
    )


def _of_arms(studies: Sequence[Evidence]) -> Iterator[str]:
    """Arms that are called alike and are not the same."""
    meanings: dict[str, set[str]] = defaultdict(set)
    for found in studies:
        for arm in found.record.sweep.arms:
            meanings[arm.key].add(arm.described)
    alike = [quoted(arm) for arm, described in meanings.items() if len(described) > 1]
    if alike:
        yield f"{listed(alike)}: the same name, with other settings in another study."


def _of_data(studies: Sequence[Evidence]) -> Iterator[str]:
    """Studies on the same data, which are no independent evidence."""
    names: Mapping[str, list[str]] = defaultdict(list)
    for found in studies:
        if found.record.data is not None:
            names[found.record.data.digest].append(found.record.name)
    for same in names.values():
        if len(same) > 1:
            yield f"{listed(same)} share their data: {len(same)} studies of one data set, not of {len(same)}."
