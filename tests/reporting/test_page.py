import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from normsweep.analysis.endings import Endings
from normsweep.analysis.evidence import evidence
from normsweep.analysis.outcomes import EARLIER, Outcome, as_data
from normsweep.reporting.answer import study_answer
from normsweep.reporting.evidence_tables import configurations_table, speed_table
from normsweep.reporting.page import _unfinished, write_report
from normsweep.reporting.page_data import page_data
from normsweep.reporting.page_tables import configurations_of, speed_of
from normsweep.sweep.schema import Seeds
from normsweep.sweep.trial import CONFIRM
from tests.reporting.figures.reading import draw_anew

ARMS = ("none", "unit", "standardize", "zca")
VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}


class Page(HTMLParser):
    """What a page consists of, and whether its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.seen if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture
def written(found, folder) -> str:
    """The page of a study with four arms."""
    page = folder / "index.html"
    if not page.exists():
        assert write_report(found(ARMS), folder) == page
    return page.read_text(encoding="utf-8")


def test_the_page_is_html_with_landmarks_and_a_title(written):
    page = Page(written)
    assert written.startswith("<!doctype html>")
    assert page.of("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.of("meta")
    assert [len(page.of(tag)) for tag in ("title", "main", "h1", "footer", "nav")] == [1] * 5
    assert all(len(page.of(tag)) for tag in ("caption", "figcaption", "details"))


def test_it_opens_with_question_answer_and_picture(written, found):
    order = [
        written.index(each)
        for each in (
            "<h1>Does raw input catch up?</h1>",
            study_answer(found(ARMS)),
            'id="figure-accuracy"',
            'id="part-1"',
        )
    ]
    assert order == sorted(order)


def test_the_four_parts_come_in_order(written):
    text = Page(written).text
    headings = [
        "1 Why?",
        "2 More epochs?",
        "3 A tuned learning rate?",
        "4 Accuracy, or only speed?",
    ]
    places = [text.index(heading) for heading in headings]
    assert places == sorted(places)
    assert places[-1] < text.index("What is not claimed") < text.index("All 40 trials")


def test_a_verdict_is_a_row_with_all_that_it_rests_on(written):
    text = Page(written).text
    assert "✓ level from epoch 6 on (catches up); perhaps from epoch 5" in text
    assert "✕ clearly behind does not catch up within 8 epochs" in text
    assert "−0.62 percentage points 95 % interval −0.77 to −0.47" in text
    assert "On exactly this test data" in text
    assert "−0.69 to −0.55" in text
    assert "5 seeds, 10,000 test examples margin 0.2 percentage points, analysis 1" in text
    assert written.count("the primary question</span>") == 1
    assert "Warnings. its best rate lies at the edge" in text


def test_an_open_question_reads_as_an_answer_with_a_next_step(found, tmp_path):
    made = found(("a", "b", "zca", "learned", "unit"))
    record = replace(made.record, trials=(), diagnoses={})
    sequential = tuple(replace(v, most=20) if v.primary else v for v in made.verdicts)
    report = replace(
        made, record=record, verdicts=sequential, curves=(), tuning=(), endings=Endings()
    )
    page = write_report(report, tmp_path, "sqlite:///s.db")
    text = Page(page.read_text(encoding="utf-8")).text
    assert "? behind" in text
    assert (
        "What to do next. About 10 more seeds would decide: the study adds them when it is run again. "
        "python -m normsweep.study SWEEP.toml --study-name mnist --storage sqlite:///s.db"
    ) in text
    assert text.count("the study adds them when it is run again") == 1
    assert "to 15. python -m normsweep.study SWEEP.toml --study-name mnist --set" in text.replace(
        " --storage sqlite:///s.db", ""
    )  # of a secondary question
    assert "from epoch 6 on (catches up) where it trains (2 of 10 seeds diverged)" in text


def test_the_number_of_seeds_is_told(found, nothing, tmp_path):
    """On a page without figures, which take the most time."""
    analyses = found().record.analyses
    for most, words in ((5, "5 of 5 planned"), (20, "5 of at most 20 planned")):
        made = replace(nothing, record=replace(nothing.record, analyses=analyses))
        confirm = made.record.sweep.confirm.model_copy(update={"seeds": Seeds(first=5, most=most)})
        sweep = made.record.sweep.model_copy(update={"confirm": confirm})
        page = write_report(replace(made, record=replace(made.record, sweep=sweep)), tmp_path)
        assert f"Seeds {words}" in Page(page.read_text(encoding="utf-8")).text


def test_no_address_leads_out_of_the_page(written):
    assert not re.findall(r"https?://", written)
    assert not re.findall(r"@import|url\((?!#)", written)
    page = Page(written)
    targets = [
        value
        for _, attrs in page.seen
        for key, value in attrs.items()
        if key in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert targets
    assert all(
        re.match(r"#|data:,$|(tables|figures)/\w+\.(csv|png)$", each or "") for each in targets
    )


def test_every_link_leads_somewhere(written, folder):
    page = Page(written)
    identifiers = [attrs["id"] for _, attrs in page.seen if "id" in attrs]
    assert len(identifiers) == len(set(identifiers))
    for target in (attrs["href"] or "" for attrs in page.of("a")):
        if target.startswith("#"):
            assert target[1:] in identifiers
        else:
            assert (folder / target).is_file()


def test_each_picture_is_read_aloud(written):
    pictures = [svg for svg in Page(written).of("svg") if svg.get("aria-hidden") != "true"]
    assert len(pictures) == 22  # eleven, each for a desk and for a phone
    assert all(each["role"] == "img" and each["aria-label"] for each in pictures)


def test_what_an_experiment_says_opens_the_first_part(written):
    text = Page(written).text
    why, experiment, inputs = (
        text.index(words)
        for words in ("The inputs decide", "Why, by experiment", "feeds the first")
    )
    assert why < experiment < inputs
    assert "mostly because its first layer takes larger steps." in text
    assert "The gap to unit and what of it goes with each half, 95 % intervals" in text


def test_figures_and_tables_lie_beside_the_page(written, folder):
    assert written
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {"accuracy.png", "accuracy.svg", "forest.png", "progress.svg"} <= names
    assert (folder / "tables" / "verdicts.csv").read_text().startswith("question,arm,reference")


def test_the_same_report_has_the_same_bytes(written, found, tmp_path):
    draw_anew()
    assert write_report(found(ARMS), tmp_path).read_text(encoding="utf-8") == written


def test_themes_and_print_are_provided_for(written):
    assert "@media (prefers-color-scheme: dark)" in written
    assert "@media print" in written
    assert "size: A4" in written
    assert "beforeprint" in written


def test_whatever_a_user_can_name_is_escaped(found, awkward, tmp_path):
    evil = f'{awkward}<script>alert("1")</script></title></svg>{{{{ 7 * 7 }}}}'
    made = found(
        (evil, "unit"), study=evil, name=evil, question=evil, compare=evil, model__name=evil
    )
    said = tuple(replace(v, warnings=(evil,)) for v in made.verdicts)
    machine = {"device": evil, "backend": evil, f"{evil}_version": evil}
    trials = [replace(r, result=replace(r.result, machine=machine)) for r in made.record.trials]
    data = replace(made.record.data, name=evil)
    record = replace(made.record, trials=tuple(trials), data=data)
    report = replace(made, record=record, verdicts=said, warnings=(evil,))
    text = write_report(report, tmp_path, evil).read_text(encoding="utf-8")
    page = Page(text)
    assert text.count("<script") == len(page.of("script")) == 4
    (data,) = re.findall(r'id="page-data">(.*?)</script>', text)
    assert json.loads(data)["study"] == evil
    assert 'alert("1")' not in text.replace("&#34;", '"').split("<script>")[-1]
    assert "{{ 7 * 7 }}" in page.text
    assert not page.of("b") or all("alert" not in str(each) for each in page.of("b"))


def test_a_search_without_confirmation_says_what_is_missing_and_how_to_get_it(found, tmp_path):
    made = found(ARMS)
    record = replace(made.record, analyses=())
    searched = replace(made, record=record, verdicts=(), curves=(), speeds=(), factorials=())
    page = Page(write_report(searched, tmp_path).read_text("utf-8"))
    assert "Not confirmed yet." in page.text
    assert "python -m normsweep.study SWEEP.toml --study-name mnist --phase confirm" in page.text
    assert "(catches up)" not in page.text
    assert "Why, by experiment" not in page.text
    assert "nan" not in page.text.split()
    assert len(page.of("figure")) == 8
    assert not (tmp_path / "figures" / "accuracy.png").exists()


def test_a_report_of_a_study_without_trials_is_still_a_page(nothing, tmp_path):
    page = Page(write_report(nothing, tmp_path).read_text(encoding="utf-8"))
    assert page.of("svg") == []
    assert "No trial has ended yet." in page.text
    assert not {"nan", "None", "unknown"} & set(page.text.split())


def test_one_arm_beside_the_reference(found, tmp_path):
    assert write_report(found(("none", "unit")), tmp_path).is_file()


def test_trials_are_linked_to_their_runs_in_mlflow(found, tmp_path):
    made = found(ARMS)
    trials = [replace(r, run_id=f"run{r.trial.number}") for r in made.record.trials[:-1]]
    record = replace(made.record, trials=(*trials, made.record.trials[-1]))
    report = replace(made, record=record)
    text = write_report(report, tmp_path, address="http://mlflow/#/{}".format).read_text("utf-8")
    links = {a["href"]: a for a in Page(text).of("a") if str(a["href"]).startswith("http")}
    assert set(links) == {f"http://mlflow/#/run{r.trial.number}" for r in trials}
    (data,) = re.findall(r'id="page-data">(.*?)</script>', text)
    assert "http://mlflow/#/run7" in str(json.loads(data)["datasets"])


def test_very_many_trials_are_listed_in_part(found, trial_of_search, tmp_path):
    made = found(ARMS)
    trials = tuple(trial_of_search(number, "zca") for number in range(1200))
    record = replace(made.record, trials=trials, diagnoses={})
    report = replace(made, record=record, verdicts=(), curves=(), tuning=(), endings=Endings())
    page = Page(write_report(report, tmp_path).read_text("utf-8"))
    assert "The last 1,000 of 1,200 trials" in page.text
    assert len([row for row in page.of("tr") if row.get("data-arm") == "zca"]) < 1100
    assert len((tmp_path / "tables" / "trials.csv").read_text().splitlines()) == 1201


def test_the_page_may_load_and_send_nothing(written):
    (policy,) = (
        each["content"] or ""
        for each in Page(written).of("meta")
        if each.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    assert not re.findall(r"https?:|\*|connect-src", policy)


def test_the_console_imports_no_altair():
    code = (
        "import sys, normsweep.reporting.page, normsweep.reporting.answer, "
        "normsweep.console.display; sys.exit('altair' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_settings_are_told_without_what_has_a_column_of_its_own(found):
    made = found(ARMS, epochs=4)
    frame = configurations_table(made.analysis.configurations).assign(
        params="momentum = 0.9, normalization = none, epochs = 4"
    )
    table = configurations_of(frame, made)
    assert table is not None
    assert table.heads[:5] == ("Arm", "Settings", "Optimizer", "Learning rate", "Others")
    assert table.rows[0][:5] == ("none", "The baseline settings", "adam", "0.001", "momentum = 0.9")
    assert len(table.rows) == 2 * 4  # tuned for the baseline's epochs is tuned for the longest
    assert table.kinds[3] == "number"


def test_what_is_not_reached_is_told_as_such(found):
    made = found(ARMS)
    table = speed_of(speed_table(made.speeds), made)
    assert table is not None
    assert table.rows[0][2:4] == ("not within 8 epochs", "–")
    assert table.rows[1][2:4] == ("3", "90 s")


def test_an_outcome_that_no_interval_gave_is_not_read_with_another_margin(found):
    made = found()
    told = page_data(made, {})["verdicts"]
    assert {each["barred"] for each in told} == {False}
    lost = tuple(replace(v, outcome=Outcome.DOES_NOT_TRAIN) for v in made.verdicts)
    assert {each["barred"] for each in page_data(replace(made, verdicts=lost), {})["verdicts"]} == {
        True
    }


def test_a_study_under_earlier_rules_is_read_by_its_own_table(found):
    made = found()
    assert page_data(made, {})["outcomes"] == as_data()
    earlier = tuple(replace(v, rules=2) for v in made.verdicts)
    assert page_data(replace(made, verdicts=earlier), {})["outcomes"] == as_data(EARLIER)


@pytest.mark.parametrize(
    ("planned", "said"),
    [
        (99, "the confirmation is not finished: 1 run is not in this verdict; run the command again to finish it"),
        (0, "1 run of the confirmation ended after its question was decided, and is not in this verdict"),
    ],
)  # fmt: skip
def test_a_run_that_no_analysis_has_is_told(confirmed_record, planned, said):
    record = confirmed_record()
    *before, last = record.analyses
    *others, shorter = last.configurations
    one_less = replace(shorter, runs=shorter.runs[:-1])
    changed = replace(last, configurations=(*others, one_less))
    record = replace(record, analyses=(*before, changed), planned={CONFIRM: planned})
    assert _unfinished(evidence(record)) == [said]
