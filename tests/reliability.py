"""The tables of docs/reliability.md that are counted: the faults of a run of the tests, and the tests of each kind.

    python -m tests.reliability faults "make soak" build/soak/*.xml
    python -m tests.reliability kinds
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as Xml

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
KILL = "driver killed with SIGKILL"
MOMENTS = ("start", "search", "selection", "confirmation", "logging", "export", "report")
STORES = ("SQLite", "PostgreSQL", "Ray")


@dataclass(frozen=True)
class Fault:
    """What a test did to a study, how often, and what was lost by it."""

    event: str
    times: int
    lost: str = "nothing"
    moment: str = ""
    store: str = ""

    def __str__(self) -> str:
        return " | ".join((self.event, str(self.times), self.lost, self.moment, self.store))

    @classmethod
    def read(cls, text: str) -> Fault:
        event, times, *others = text.split(" | ")
        return cls(event, int(times), *others)


@dataclass(frozen=True)
class Ran:
    """What pytest wrote of one run: only tests that passed count."""

    faults: tuple[tuple[str, Fault], ...]
    """With the names of their tests."""
    properties: tuple[int, ...]
    """On how many inputs each of Hypothesis's properties was tried."""
    tests: int
    seconds: float
    day: str


def read_run(files: Iterable[Path]) -> Ran:
    """Read the JUnit files of a run.

    Raises:
        SystemExit: a test of it has failed.
    """
    faults: list[tuple[str, Fault]] = []
    properties: list[int] = []
    tests, seconds, days = 0, 0.0, set[str]()
    for file in files:
        (suite,) = Xml.parse(file).getroot().iter("testsuite")
        days.add(datetime.fromisoformat(suite.attrib["timestamp"]).strftime("%Y-%m-%d"))
        seconds += float(suite.attrib["time"])
        for case in suite.iter("testcase"):
            outcomes = {child.tag for child in case} & {"failure", "error", "skipped"}
            if outcomes - {"skipped"}:
                raise SystemExit(f"{file}: {case.attrib['name']} has failed; the table stays as it is")
            if outcomes:
                continue
            tests += 1
            for told in case.iter("property"):
                if told.attrib["name"] == "fault":
                    faults.append((case.attrib["name"], Fault.read(told.attrib["value"])))
                elif told.attrib["name"] == "inputs":
                    properties.append(int(told.attrib["value"]))
    return Ran(tuple(faults), tuple(properties), tests, seconds, max(days))


def faults_tables(ran: Ran, command: str) -> str:
    """Kills by moment and store, the other faults by kind, and what was run."""
    kills, others = Counter[tuple[str, str]](), Counter[str]()
    lost: dict[str, set[str]] = {}
    tests: dict[str, set[str]] = {}
    for test, fault in ran.faults:
        lost.setdefault(fault.event, set()).add(fault.lost)
        tests.setdefault(fault.event, set()).add(test.partition("[")[0])
        if fault.event == KILL:
            kills[fault.moment, fault.store] += fault.times
        else:
            others[fault.event] += fault.times
    rows = [
        [moment, *(str(kills[moment, store] or "") for store in STORES)]
        for moment in MOMENTS
        if any(kills[moment, store] for store in STORES)
    ]
    total = ["in all", *(str(sum(kills[m, store] for m in MOMENTS)) for store in STORES)]
    events = [
        [event, str(times), _joined(lost[event]), "<br>".join(f"`{t}`" for t in sorted(tests[event]))]
        for event, times in others.items()
    ]
    minutes = round(ran.seconds / 60)
    said = (
        f"From `{command}` on {ran.day}: {ran.tests} tests in {minutes} min on {os.cpu_count()} cores; the driver "
        f"was killed {kills.total()} times, and there were {others.total()} other faults. "
        f"Lost by the kills: {_joined(lost.get(KILL, set()))}."
    )
    if ran.properties:
        fewest = min(ran.properties)
        said += (
            f" In the same run, each of {len(ran.properties)} properties was tried on at least {fewest:,} inputs "
            f"({sum(ran.properties):,} in all), and no input was found that breaks one."
        )
    return "\n\n".join(
        (
            said,
            _table([f"{KILL} during", *STORES], [*rows, total]),
            _table(["event", "times", "what was lost", "tests"], events),
        )
    )


def _joined(words: set[str]) -> str:
    """What was lost, with `nothing` only if there is nothing else."""
    return "; ".join(sorted(words - {"nothing"})) or "nothing"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def placed(page: str, name: str, text: str) -> str:
    """The page with the text between its markers of this name."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{begin} and {end} are not on the page")
    return f"{before}{begin}\n{text}\n{end}{after}"
