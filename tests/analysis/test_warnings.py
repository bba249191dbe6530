"""What changes how a verdict is read is said beside it, and nothing is said without reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.sweep.recorded import from_plain, to_plain
from normsweep.sweep.schema import QUESTIONS
from normsweep.sweep.study_record import BASELINE, TUNED_LONG, TUNED_SHORT, TrialRecord
from normsweep.sweep.trial import Status

TUNED_RAW = ("none", TUNED_LONG)


@pytest.fixture
def found(planted, sweep, recorded) -> Callable[..., Evidence]:
    def made(*overrides: str, searched: tuple[TrialRecord, ...] = (), default=None, **fields):
        study = planted(**fields)
        records = [*searched, *study.records]
        made = from_plain({**to_plain(sweep(*overrides)), **(default or {})})
        return evidence(recorded(made, records, [study.look]))

    return made


@pytest.fixture
def said(found) -> Callable[..., dict[str, list[str]]]:
    """The warnings of each question."""

    def made(*overrides: str, **fields) -> dict[str, list[str]]:
        return {v.question: list(v.warnings) for v in found(*overrides, **fields).verdicts}

    return made


def only(line: str, *questions: str) -> dict[str, list[str]]:
    """The line beside these questions, and nothing beside the others."""
    return {question: [line] if question in questions else [] for question in QUESTIONS}


def test_nothing_is_said_where_nothing_is_to_be_said(said, found):
    assert said() == only("")
    assert found().warnings == ()


def test_a_subset_of_the_data_is_said_everywhere(said, found):
    line = "a subset of the data: 1,000 training images, validation included"
    assert said("data.train_size=1000") == only(line, *QUESTIONS)
    assert found("data.train_size=1000").warnings == (line,)


def test_unequal_numbers_of_trials_are_said(said, record):
    trials = [record(0, "none"), record(1, "none"), record(2, "unit")]
    line = "unequal numbers of search trials: none 2, unit 1"
    assert said(searched=tuple(trials)) == only(line, *QUESTIONS)
    bad = record(3, "unit", (), Status.CRASHED)  # its place is taken all the same
    assert said(searched=(*trials, bad)) == only("")
    again = record(3, "unit", (), Status.INTERRUPTED)
    assert said(searched=(*trials, again)) == only(line, *QUESTIONS)


def test_pruned_trials_are_said(said, record):
    trials = (record(0, "none", status=Status.PRUNED), record(1, "unit"))
    line = "trials stopped early by the pruner (censored): none"
    assert said(searched=trials) == only(line, *QUESTIONS)


def test_an_arm_that_no_trial_of_trained_is_said(said, planted):
    levels = {key: values for key, values in planted().levels.items() if key != TUNED_RAW}
    line = "no search trial of none completed, so none could be selected"
    assert said(levels=levels) == only(line, "tuned_rate_longest", "both_tuned")


EDGE = "the best learning rate of none is at the edge of its range"


@pytest.mark.parametrize(
    ("rate", "at_edge"),
    [(1e-4, True), (1.35e-4, True), (1.5e-4, False), (0.068, False), (0.072, True), (0.1, True)],
)
def test_the_last_twentieth_of_a_logarithmic_range_is_its_edge(said, rate, at_edge):
    questions = ("tuned_rate_longest", "both_tuned") if at_edge else ()
    assert said(rates={TUNED_RAW: rate}) == only(EDGE, *questions)


@pytest.mark.parametrize(
    ("space", "rate", "at_edge"),
    [
        pytest.param("{ low = 1e-4, high = 0.1 }", 0.001, True, id="low-of-a-linear-range"),
        pytest.param("{ low = 1e-4, high = 0.1 }", 0.05, False, id="middle-of-a-linear-range"),
        pytest.param("[0.001, 0.01, 0.1]", 0.001, True, id="first-of-a-list"),
        pytest.param("[0.1, 0.001, 0.01]", 0.1, True, id="largest-of-a-list"),
        pytest.param("[0.001, 0.01, 0.1]", 0.01, False, id="middle-of-a-list"),
        pytest.param("[0.001, 0.01]", 0.001, False, id="a-list-of-two-has-no-middle"),
        pytest.param("0.001", 0.001, False, id="fixed"),
    ],
)
def test_the_edge_of_other_spaces(said, space, rate, at_edge):
    rates = {("none", name): rate for name in (BASELINE, TUNED_LONG)}
    rates |= {("none", TUNED_SHORT): 0.05, ("unit", TUNED_SHORT): 0.05, ("unit", TUNED_LONG): 0.05}
    questions = ("tuned_rate_longest", "both_tuned") if at_edge else ()
    assert said(f"search.space.learning_rate={space}", rates=rates) == only(EDGE, *questions)


@pytest.mark.parametrize(("rate", "at_edge"), [(0.0003, True), (0.003, False), (0.03, True)])
def test_the_ends_of_a_ladder_are_its_edges(said, record, rate, at_edge):
    trials = [record(i, "none", learning_rate=r) for i, r in enumerate((0.0003, 0.003, 0.03))]
    trials += [record(3 + i, "unit", learning_rate=r) for i, r in enumerate((0.0001, 0.001, 0.05))]
    questions = ("tuned_rate_longest", "both_tuned") if at_edge else ()
    assert said(searched=trials, rates={TUNED_RAW: rate}) == only(EDGE, *questions)


def test_a_baseline_at_the_edge_is_declared_and_not_found(said):
    assert said(rates={("none", BASELINE): 1e-4, ("unit", BASELINE): 0.1}) == only("")


@pytest.mark.parametrize(
    ("name", "at", "wanted", "questions"),
    [
        (TUNED_LONG, 4, 6, ("tuned_rate_longest", "both_tuned")),
        (TUNED_SHORT, 1, 2, ("tuned_rate", "both_tuned_short")),
    ],
)
def test_tuning_that_came_to_fewer_epochs_is_said(said, name, at, wanted, questions):
    line = f"no search trial of none reached epoch {wanted}: selected at epoch {at}"
    assert said(selected_at={("none", name): at}) == only(line, *questions)


def test_tuning_for_a_baseline_longer_than_the_confirmation_is_held_to_its_end(said, planted):
    levels = {key: values[:3] for key, values in planted().levels.items()}
    short = {("none", TUNED_SHORT): 2, ("unit", TUNED_SHORT): 3}
    long = {("none", TUNED_LONG): 3, ("unit", TUNED_LONG): 3}
    default = {"confirm.baseline.epochs": 4}  # not given, and so legal
    warned = said("confirm.epochs=3", levels=levels, selected_at=short | long, default=default)
    line = "no search trial of none reached epoch 3: selected at epoch 2"
    assert warned == only(line, "tuned_rate", "both_tuned_short")


def test_seeds_that_diverged_are_said_where_they_are_left_out(said):
    diverged = {("none", TUNED_LONG): {0: 5, 1: 2}, ("unit", TUNED_SHORT): {3: 4}}
    line = "2 seeds of “none” diverged and are excluded from the gap"
    assert said(seeds=8, diverged=diverged) == only(line, "tuned_rate_longest", "both_tuned")
    (one,) = said(seeds=8, diverged={("unit", TUNED_LONG): {0: 6}})["both_tuned"]
    assert one == "1 seed of “unit” diverged and is excluded from the gap"


def test_seeds_that_failed_are_said(said):
    line = "2 seeds of “unit” failed and are excluded"
    assert said(seeds=8, failed={("unit", TUNED_SHORT): [1, 2]}) == only(line, "both_tuned_short")
    (one,) = said(seeds=8, failed={("unit", TUNED_SHORT): [1]})["both_tuned_short"]
    assert one == "1 seed of “unit” failed and is excluded"


def test_a_margin_that_the_images_cannot_confirm_is_said_where_it_leaves_the_question_open(said):
    line = (
        "the margin of 0.1 percentage points is too small for “none” with 1,000 test examples, which can confirm "
        "0.296 percentage points or more"
    )
    assert said("confirm.margin=0.001") == only(
        line, "more_epochs"
    )  # the others are clearly behind


def test_a_reference_near_guessing_is_said(said, planted):
    levels = {key: [v / 2 for v in values] for key, values in planted().levels.items()}
    line = "unit itself is closer to chance than to the best possible value"
    assert said(levels=levels) == only(line, *QUESTIONS)


def test_an_arm_that_tuning_made_worse_is_said(said, planted):
    levels = {**planted().levels, TUNED_RAW: (0.55, 0.65, 0.75, 0.80, 0.82, 0.79)}
    warned = said(levels=levels)
    assert {q for q, lines in warned.items() if lines} == {"tuned_rate_longest", "both_tuned"}
    for question in ("tuned_rate_longest", "both_tuned"):
        (line,) = warned[question]
        assert line.startswith("none is worse after tuning than with the baseline (0.7900 vs. 0.86")


def test_tuning_is_held_against_the_baseline_at_the_questions_own_epoch(said, planted):
    """Tuned for 2 epochs, and worse after 6 of them, where nobody asks it."""
    levels = {**planted().levels, ("none", TUNED_SHORT): (0.70, 0.78, 0.78, 0.78, 0.78, 0.78)}
    assert said(levels=levels) == only("")
