"""The tables of docs/reliability.md that are counted: the faults of a run of the tests, and the tests of each kind.

python -m tests.reliability faults 'WHAT WAS RUN' build/soak/*.xml
python -m tests.reliability kinds
"""

from __future__ import annotations

import os
import subprocess
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

KINDS = {
    "no spread seen is not certainty": (
        "analysis/test_estimates.py::test_no_spread_that_was_seen_is_no_certainty",
        "analysis/test_estimates.py::test_one_more_image_gives_the_moments_of_the_table_with_it",
        "analysis/test_estimates.py::test_each_bound_is_that_of_the_table_with_one_image_more_on_its_side",
        "analysis/test_verdicts.py::test_a_margin_that_few_images_cannot_confirm_gives_no_level",
        "analysis/test_verdicts.py::test_identical_arms_are_level_from_the_start_within_one_image",
        "analysis/test_warnings.py::test_a_margin_that_the_images_cannot_confirm_is_said_where_it_leaves_the_question_open",
        "parts/test_metrics.py::test_a_class_of_one_image_and_perfect_answers_are_no_trouble",
    ),
    "a normalization does what it says, at every scale": (
        "parts/test_normalizations.py",
        "training/test_preflight.py::test_normalizations_after_which_all_images_are_the_same_are_found",
        "training/test_preflight.py::test_one_image_that_differs_is_information",
    ),
    "what is not finite is a divergence": (
        "training/test_engine.py::test_a_loss_that_is_not_finite_ends_the_trial_as_diverged",
        "training/test_testing.py::test_an_epoch_that_diverged_is_not_tested",
        "training/test_metrics.py::test_a_trial_that_diverges_has_the_loss_of_guessing",
        "training/test_compiled_epoch.py::test_an_epoch_ends_at_the_first_loss_that_is_not_finite",
        "tracking/test_tracker.py::test_a_loss_that_is_not_finite_is_shown_as_nan",
        "parts/test_metrics.py::test_a_metric_that_gives_no_number_is_told_by_its_name",
    ),
    "an option's value has the option's type": (
        "sweep/test_any_sweep.py::test_a_key_of_a_wrong_type_is_named",
        "sweep/test_any_sweep.py::test_parameters_of_any_form_are_a_sweep_or_say_so",
        "sweep/test_space.py::test_stepped_reals_are_points_of_the_grid_within_the_range",
        "training/test_preflight.py::test_an_option_that_is_refused_is_told_before_any_trial",
        "training/test_preflight.py::test_an_option_of_the_formula_is_tried_too",
        "test_cases.py::test_a_switch_is_true_or_false_and_not_a_text",
    ),
    "paths are not addresses": (
        "test_any_text.py::test_any_path_is_a_file_or_says_why_not",
        "test_everyday.py::test_every_printed_command_runs_as_printed_in_any_folder",
        "parts/test_data.py::test_a_path_with_no_file_is_told_with_both_places",
        "parts/test_data.py::test_only_a_relative_path_is_looked_for_in_the_data_folder",
        "test_cases.py::test_a_folder_of_any_name_has_its_stores",
    ),
    "what MLflow never takes is not an outage": (
        "test_cases.py::test_a_name_that_mlflow_or_a_lookup_would_not_take_is_refused_where_it_is_registered",
        "tracking/test_registry.py::test_every_arm_has_an_alias_of_its_own_that_mlflow_takes",
    ),
    "names have rules where they are registered": (
        "test_cases.py::test_a_name_that_mlflow_or_a_lookup_would_not_take_is_refused_where_it_is_registered",
        "test_any_text.py::test_a_name_is_one_that_no_folder_is_left_with",
        "parts/test_parts.py::test_a_name_is_taken_once",
        "store/test_foreign.py::test_a_name_that_could_lead_elsewhere_is_no_study_of_ours",
        "parts/test_metrics.py::test_an_unknown_metric_is_a_line_with_the_known_ones",
    ),
    "logged means that this store has it": (
        "tracking/test_relocation.py",
        "tracking/test_tracker.py::test_logging_twice_makes_one_run",
        "tracking/test_registry.py::test_an_alias_means_the_model_that_was_registered_last_and_no_version_is_made_twice",
        "runner/test_endurance.py",
        "runner/test_crash_points.py::test_what_was_not_logged_of_a_phase_that_has_ended_is_logged_by_the_next_command",
    ),
    "only *would block* means locked": ("store/test_locks.py",),
    "no stream, encoding or width silences a command": (
        "console/test_screen.py",
        "console/test_display.py",
        "test_plain.py",
    ),
    "what stands around does not decide": (
        "test_cases.py::test_an_empty_variable_is_one_that_is_not_set",
        "tracking/test_settings.py",
        "parts/test_plugins.py::test_a_sweeps_folder_is_not_looked_into_without_plug_ins",
        "store/test_storage.py::test_an_import_changes_neither_optunas_verbosity_nor_the_warnings",
    ),
    "an address that cannot work is refused with one that would": (
        "test_any_text.py::test_any_address_is_one_or_says_why_not",
        "test_any_text.py::test_an_address_that_cannot_work_is_refused_with_one_that_would",
        "test_mistakes.py::test_a_storage_that_cannot_be_opened_is_one_line_and_nothing_is_made",
        "executors/test_cluster.py::test_a_cluster_that_is_not_there_is_told",
        "test_secrets.py::test_a_password_of_which_a_part_would_be_the_host_is_refused",
    ),
    "a printed command runs when pasted": (
        "reporting/test_commands.py",
        "test_everyday.py::test_every_printed_command_runs_as_printed_in_any_folder",
    ),
    "the survey tries what a trial does": (
        "training/test_preflight.py",
        "api/test_run.py::test_a_build_that_makes_no_classifier_is_refused_before_any_trial",
        "api/test_run.py::test_a_function_that_cannot_travel_is_told",
    ),
    "whatever comes from Python ends well or in an error": (
        "parts/test_any_data.py",
        "parts/test_memory.py",
        "api/test_run.py",
    ),
    "text problems name encoding, escapes, quoting": (
        "test_any_text.py::test_any_bytes_are_no_sweep",
        "test_any_text.py::test_any_change_of_a_file_is_a_sweep_or_says_why_not",
        "test_mistakes.py::test_text_that_is_none_is_told_with_what_to_do",
        "test_mistakes.py::test_a_mark_at_the_beginning_of_a_file_is_no_mistake",
        "test_mistakes.py::test_quotes_that_a_shell_took_are_missed",
        "sweep/test_malformed_sweeps.py::test_what_is_not_text_cannot_be_read",
    ),
    "durations are never negative": (
        "runner/test_clock.py",
        "console/test_overview.py::test_durations_are_told_in_words",
        "test_cases.py::test_a_study_that_starts_in_the_future_is_no_time_old",
    ),
    "a damaged or foreign store is one line": (
        "store/test_damaged.py",
        "store/test_foreign.py",
        "store/test_storage.py::test_a_database_of_something_else_is_left_as_it_is",
        "runner/test_damage.py",
    ),
    "a server that answers nonsense is an outage": (
        "tracking/test_nonsense.py",
        "runner/test_outages.py",
    ),
    "what a user names is not overwritten": (
        "console/test_screen.py::test_a_log_file_is_a_new_file_or_an_earlier_log_and_nothing_else",
        "console/test_screen.py::test_a_log_file_on_a_full_disk_is_named",
        "test_mistakes.py::test_a_file_that_cannot_be_written_is_one_line",
        "store/test_storage.py::test_a_study_of_somebody_elses_is_left_alone",
        "tracking/test_registry.py::test_a_registered_model_of_somebody_elses_is_left_alone",
    ),
    "input that no one would write": (
        "sweep/test_any_sweep.py",
        "sweep/test_malformed_sweeps.py",
        "parts/test_data.py::test_a_header_that_lies_is_one_line",
        "parts/test_data.py::test_wrong_arrays_are_one_line_with_their_file",
    ),
}  # fmt: skip
"""Kinds of situations in which studies of others went wrong, each with its files of tests or single ones."""


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
    failed: tuple[str, ...]
    """Tests that failed, of which nothing counts."""
    tests: int
    """Tests that passed."""
    seconds: float
    day: str


def read_run(files: Iterable[Path]) -> Ran:
    """Read the JUnit files of a run, of which the last word on a test counts."""
    cases: dict[tuple[str, str], Xml.Element] = {}
    seconds, days = 0.0, set[str]()
    for file in files:
        (suite,) = Xml.parse(file).getroot().iter("testsuite")
        days.add(datetime.fromisoformat(suite.attrib["timestamp"]).strftime("%Y-%m-%d"))
        seconds += float(suite.attrib["time"])
        cases.update(
            {
                (c.attrib["classname"], c.attrib["name"]): c
                for c in suite.iterfind("testcase[@name]")
            }
        )
    outcomes = {name: {child.tag for child in case} for (_, name), case in cases.items()}
    failed = [name for name, tags in outcomes.items() if tags & {"failure", "error"}]
    passed = [
        case
        for case in cases.values()
        if not {child.tag for child in case} & {"failure", "error", "skipped"}
    ]
    told = [
        (case.attrib["name"], each.attrib["name"], each.attrib["value"])
        for case in passed
        for each in case.iter("property")
    ]
    faults = tuple((test, Fault.read(value)) for test, name, value in told if name == "fault")
    inputs = tuple(int(value) for _, name, value in told if name == "inputs")
    return Ran(faults, inputs, tuple(failed), len(passed), seconds, max(days))


def faults_tables(ran: Ran, what: str) -> str:
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
        [
            event,
            str(times),
            _joined(lost[event]),
            "<br>".join(f"`{t}`" for t in sorted(tests[event])),
        ]
        for event, times in sorted(others.items())
    ]
    minutes = round(ran.seconds / 60)
    said = (
        f"From {what} on {ran.day}: {ran.tests} tests in {minutes} min on {os.cpu_count()} cores; the driver "
        f"was killed {kills.total()} times, and there were {others.total()} other faults. "
        f"Lost by the kills: {_joined(lost.get(KILL, set()))}."
    )
    if ran.failed:
        said += f" Failed, and not counted: {', '.join(f'`{test}`' for test in ran.failed)}."
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


def collected() -> list[str]:
    """The ids of all tests in the files of `KINDS`, as pytest finds them."""
    files = {place.partition("::")[0] for places in KINDS.values() for place in places}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-m",
        "",
        "-n0",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, *sorted(f"tests/{file}" for file in files)], cwd=PAGE.parents[1],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [line.removeprefix("tests/") for line in done.stdout.splitlines() if "::" in line]


def kinds_table(ids: Sequence[str]) -> str:
    """How many tests each kind of situation has.

    Raises:
        ValueError: a place of `KINDS` has none.
    """
    rows = []
    for number, (kind, places) in enumerate(KINDS.items(), start=1):
        tests = {place: _below(place, ids) for place in places}
        if missing := [place for place, found in tests.items() if not found]:
            raise ValueError(f"no such test: {', '.join(missing)}")
        files = dict.fromkeys(place.partition("::")[0] for place in places)
        count = len(set().union(*tests.values()))
        rows.append([str(number), kind, str(count), ", ".join(f"`{file}`" for file in files)])
    return _table(["", "kind", "tests", "in tests/"], rows)


def _below(place: str, ids: Sequence[str]) -> set[str]:
    """The tests of a file, or those of one function."""
    return {one for one in ids if one == place or one.startswith((f"{place}::", f"{place}["))}


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


def main(name: str, *given: str) -> None:
    """Write a table into the page."""
    if name == "faults":
        what, *files = given
        text = faults_tables(read_run(map(Path, files)), what)
    else:
        text = kinds_table(collected())
    PAGE.write_text(placed(PAGE.read_text(), name, text))


if __name__ == "__main__":
    main(*sys.argv[1:])
