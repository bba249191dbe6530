"""The page as a person meets it: in Chromium, on a desk and on a phone, by day and by night."""

from __future__ import annotations

import io
import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from normsweep.analysis.estimates import Estimate
from normsweep.analysis.outcomes import outcome
from normsweep.palette import COLOURS
from normsweep.parts.input_checks import Finding
from normsweep.reporting.checkup import Checkup, SchemeStart
from normsweep.reporting.figures.gallery import CHARTS
from normsweep.reporting.figures.theme import Style
from normsweep.reporting.page import write_report

ARMS = ("none", "unit", "standardize", "zca")
POPPLER = ("pdftotext", "pdftoppm")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FOUND = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(FOUND is None, reason=f"none of {', '.join(BROWSERS)} is installed"),
]

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
sizes = pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])

CONTRAST = """() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    paint.clearRect(0, 0, 1, 1); paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b]
    .map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (each) => {
    for (; each; each = each.parentElement) {
      const colour = rgb(getComputedStyle(each).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  for (const each of document.querySelectorAll("body *")) {
    const own = [...each.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !each.checkVisibility() || ["SCRIPT", "STYLE"].includes(each.tagName)) continue;
    const style = getComputedStyle(each), inside = each.closest("svg");
    const back = behind(each);
    let ink = rgb(inside ? (style.fill === "none" ? style.color : style.fill) : style.color);
    let opacity = ink[3] / 255;
    for (let e = each; e && inside && e !== inside; e = e.parentElement) opacity *= +getComputedStyle(e).opacity;
    ink = ink.slice(0, 3).map((v, i) => v * opacity + back[i] * (1 - opacity));
    const [a, b] = [light(ink), light(back)].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), each.tagName + ": " + each.textContent.trim().slice(0, 40)]);
  }
  return found.sort((x, y) => x[0] - y[0]).slice(0, 3);
}"""

OUTSIDE = """() => [...document.querySelectorAll("svg")].filter((svg) => svg.checkVisibility())
  .flatMap((svg) => { const box = svg.getBoundingClientRect();
    return [...svg.querySelectorAll("text")].filter((text) => {
      const own = text.getBoundingClientRect();
      return own.left < box.left - 2 || own.right > box.right + 2; })
      .map((text) => text.textContent); })"""

SEEN = "(each) => each.innerText ?? each.textContent"
"""The text of an element of the page, or of a figure."""
Opened = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=FOUND, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """`opened(file, size, scheme)`: the page, of which no script may fail and nothing else load."""
    contexts, troubles = [], []

    def open_page(
        file: Path, size: dict[str, int], scheme: str = "light", scripts: bool = True
    ) -> Page:
        context = browser.new_context(
            viewport=size,  # type: ignore[arg-type]
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=scripts,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.split("#")[0] in (file.as_uri(), "data:,")
                or request.url.startswith(("blob:", "data:"))
                or troubles.append(request.url)
            ),
        )
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture
def file(found, folder) -> Path:
    page = folder / "index.html"
    return page if page.exists() else write_report(found(ARMS), folder)


@sizes
def test_a_person_sees_question_answer_picture_and_the_four_parts(opened, file, size):
    page = opened(file, size)
    assert page.get_by_text("Does raw input catch up?", exact=True).first.is_visible()
    assert page.get_by_text("With both tuned, compared with “unit”").first.is_visible()
    headings = page.locator("main h2").all_inner_texts()
    assert [" ".join(each.split()) for each in headings[:5]] == [
        "In short",
        "1 Why?",
        "2 More epochs?",
        "3 A tuned learning rate?",
        "4 Accuracy, or only speed?",
    ]
    shown = [each for each in page.locator("figure svg").all() if each.is_visible()]
    assert len(shown) == 11
    assert all((each.bounding_box() or {"width": 0})["width"] > 300 for each in shown)
    assert page.get_by_role("img", name="Accuracy after each epoch").count() == 1


LONG_INTERVALS = """
document.querySelectorAll('.verdicts .whole').forEach((one) => { one.textContent = '−163,070.5 to +1,189,327.5'; }),
[...document.querySelectorAll('.verdicts td')].filter((cell) => cell.scrollWidth > cell.clientWidth)
    .map((cell) => cell.textContent)
"""
"""With intervals as of a regression's large targets, the cells that their text leaves."""


def test_nothing_makes_the_page_scroll_sideways(opened, found, awkward, tmp_path):
    file = write_report(found((awkward * 2, "none", "unit")), tmp_path)
    for size in (DESK, PHONE):
        page = opened(file, size)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate(LONG_INTERVALS) == []


@sizes
def test_the_page_of_a_diagnosis_shows_findings_and_figures(
    opened, found, trial_of_search, size, tmp_path
):
    record = replace(found(ARMS).record, trials=(), analyses=())
    starts = [
        SchemeStart(arm, trial_of_search(0, arm).trial, record.diagnoses[arm]) for arm in ARMS
    ]
    findings = (Finding("dead-units", "90% of the ReLUs are zero for every row"),)
    made = Checkup("8 rows", findings, tuple(starts), 10, record)
    page = opened(made.report(tmp_path), size)
    assert page.get_by_text("Inputs: 8 rows.").is_visible()
    assert page.get_by_text("90% of the ReLUs are zero for every row").is_visible()
    shown = [each for each in page.locator("figure svg").all() if each.is_visible()]
    assert len(shown) == 3
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    weakest = page.evaluate(CONTRAST)
    assert weakest[0][0] >= 4.5, weakest


@sizes
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_by_day_and_by_night(opened, file, size, scheme):
    page = opened(file, size, scheme)
    weakest = page.evaluate(CONTRAST)
    assert weakest[0][0] >= 4.5, weakest


@pytest.mark.parametrize("width", [700, 1000, 1040, 1280])
def test_no_cell_of_a_verdict_runs_into_the_next(opened, file, width):
    wider = opened(file, {"width": width, "height": 800}).evaluate(
        """() => [...document.querySelectorAll(".verdicts td, .verdicts th")]
          .filter((cell) => cell.checkVisibility() && cell.scrollWidth > cell.clientWidth + 1)
          .map((cell) => cell.textContent.trim())"""
    )
    assert wider == []


def test_the_background_follows_the_theme(opened, file):
    colours = {
        scheme: opened(file, DESK, scheme).evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        for scheme in ("light", "dark")
    }
    assert colours["light"][0] == "rgb(255, 255, 255)"
    assert colours["dark"][0] != colours["light"][0]
    assert colours["dark"][1] != colours["light"][1]


def test_texts_of_a_picture_stay_inside_it(opened, file):
    assert opened(file, DESK, scripts=False).evaluate(OUTSIDE) == []


def test_on_paper_the_trials_are_unfolded_and_the_theme_is_light(opened, file):
    page = opened(file, DESK, "dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
    assert page.locator("#reproduce details[open]").count() == 1
    assert not page.locator("#controls").is_visible()


@pytest.mark.skipif(not all(map(shutil.which, POPPLER)), reason=f"needs {' and '.join(POPPLER)}")
def test_a_printed_page_has_the_static_figures_and_every_table(opened, file, tmp_path):
    page = opened(file, DESK, "dark")
    figure = drawn(page, "accuracy")
    page.get_by_role("checkbox", name="none").uncheck()
    page.pdf(path=tmp_path / "page.pdf", format="A4", print_background=True)
    page.emulate_media(media="print")
    assert figure.locator(".static .desk svg").is_visible()
    assert not figure.locator(".live").is_visible()
    printed = subprocess.check_output(["pdftotext", tmp_path / "page.pdf", "-"], text=True)
    words = set(printed.split())
    for part in ("table", "figure .static .desk svg text", "figcaption", "pre"):
        seen = [each for each in page.locator(part).all() if each.is_visible()]
        said = [word for each in seen for word in each.evaluate(SEEN).split()]
        assert said, part
        assert [word for word in said if word not in words] == [], part
    subprocess.check_call(["pdftoppm", "-r", "50", "-png", "page.pdf", "sheet"], cwd=tmp_path)
    seen = [set(map(tuple, shades(sheet))) for sheet in sorted(tmp_path.glob("sheet*.png"))]
    assert all((255, 255, 255) in colours for colours in seen)
    for colour in COLOURS[:3]:
        assert any(tuple(bytes.fromhex(colour[1:])) in colours for colours in seen)


def shades(sheet: Path) -> list[list[int]]:
    """The colours of a picture."""
    with Image.open(sheet) as image:
        return np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0).tolist()


def drawn(page: Page, name: str) -> Locator:
    """A figure once its view has taken the place of the static one."""
    figure = page.locator(f"#figure-{name}")
    figure.scroll_into_view_if_needed()
    expect(page.locator(f"#figure-{name}.explored")).to_be_visible()
    return figure


def marks(figure: Locator) -> Locator:
    """The points of a view."""
    return figure.locator(".live .mark-symbol path")


def test_every_figure_becomes_a_view_and_stays_inside_itself(opened, file):
    page = opened(file, DESK)
    for name in CHARTS:
        figure = drawn(page, name)
        assert not figure.locator(".static").is_visible()
        (view,) = figure.locator(".live svg").all()
        assert view.get_attribute("role") == "img"
        assert len(view.get_attribute("aria-label") or "") > 40
    assert page.evaluate(OUTSIDE) == []


def test_a_point_says_what_it_is(opened, file):
    page = opened(file, DESK)
    figure, tip = drawn(page, "accuracy"), page.get_by_role("tooltip")
    expect(tip).to_be_hidden()
    marks(figure).last.hover()
    expect(tip).to_be_visible()
    assert any(arm in tip.inner_text() for arm in ARMS)
    page.locator("h1").hover()
    expect(tip).to_be_hidden()


def test_a_drag_moves_the_axes_the_wheel_zooms_with_control_and_both_are_taken_back(opened, file):
    page = opened(file, DESK)
    view, reset = drawn(page, "accuracy").locator(".live"), page.get_by_role("button", name="Reset")
    seen = view.inner_text()
    box = marks(page.locator("#figure-accuracy")).first.bounding_box()
    assert box
    x, y = box["x"] + 60, box["y"] + 40
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    expect(view).not_to_have_text(seen, use_inner_text=True)
    reset.first.click()
    expect(view).to_have_text(seen, use_inner_text=True)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 90, y + 60, steps=5)
    page.mouse.up()
    expect(view).not_to_have_text(seen, use_inner_text=True)
    reset.first.click()
    expect(view).to_have_text(seen, use_inner_text=True)
    page.mouse.move(x, y)
    page.mouse.wheel(0, 300)
    page.wait_for_function("before => scrollY > before", arg=page.evaluate("scrollY") - 1)
    expect(view).to_have_text(seen, use_inner_text=True)


def test_one_legend_chooses_the_arms_of_figures_and_tables(opened, file):
    page = opened(file, DESK)
    figure = drawn(page, "accuracy")
    count, rows = marks(figure).count(), page.locator("tr[data-arm=none]")
    assert rows.first.is_visible()
    page.get_by_role("checkbox", name="none").uncheck()
    expect(marks(figure)).not_to_have_count(count)
    assert [row.is_visible() for row in rows.all()].count(True) == 0
    assert page.locator("tr[data-arm=zca]").first.is_visible()
    page.get_by_role("button", name="All", exact=True).click()
    expect(marks(figure)).to_have_count(count)
    assert rows.first.is_visible()


def test_the_axes_follow_the_controls(opened, file):
    page = opened(file, DESK)
    figure = drawn(page, "accuracy")
    view = figure.locator(".live")
    expect(view).to_contain_text("accuracy on the test images")
    page.get_by_label("Show").select_option("error")
    expect(view).to_contain_text("error on the test images")
    expect(view).to_contain_text("epochs trained")
    page.get_by_label("Along").select_option("seconds")
    expect(view).not_to_contain_text("epochs trained")


def test_another_margin_is_read_afterwards(opened, file, found):
    page = opened(file, DESK)
    declared = page.locator("#reading").inner_text()
    assert "0.2 percentage points" in declared
    expect(page.locator(".afterwards").first).to_be_hidden()
    slider = page.get_by_role("slider", name="Margin")
    slider.fill("25")
    expect(page.locator("#reading")).to_contain_text(
        "Read afterwards, with a margin of 0.5 percentage"
    )
    notes = page.locator(".afterwards").all_inner_texts()
    told = found(ARMS).verdicts
    assert len(notes) == len(told)
    expected = [outcome(v.gap.low, v.gap.high, 0.005).value for v in told]
    assert [note.rpartition(": ")[2] for note in notes] == expected
    assert len(set(expected)) > 1
    slider.press("ArrowRight")
    expect(page.locator("#margin-value")).to_have_text("0.52 percentage points")
    page.get_by_role("button", name="As declared").click()
    expect(page.locator("#reading")).to_have_text(declared)


def test_a_margin_that_is_a_share_moves_in_percent(opened, found, tmp_path):
    """Read off the relative gaps, and drawn in the metric's unit."""
    made = found(ARMS, confirm__margin="2 %")
    told = tuple(
        replace(
            v, share=0.02, margin=0.02 * v.reference_value, relative=Estimate(gap, gap - 0.01, gap + 0.01, 5)
        )
        for v, gap in zip(made.verdicts, itertools.cycle((-0.05, -0.025, 0.001)), strict=False)
    )  # fmt: skip
    page = opened(write_report(replace(made, verdicts=told), tmp_path), DESK)
    reading = page.locator("#reading")
    expect(reading).to_contain_text("The declared margin, 2 % of the reference")
    slider = page.get_by_role("slider", name="Margin")
    slider.fill("31")
    expect(page.locator("#margin-value")).to_have_text("6.2 % of the reference")
    expect(reading).to_contain_text("a margin of 6.2 % of the reference in place of the declared 2")
    notes = page.locator(".afterwards").all_inner_texts()
    read = [outcome(*v.relative.bounds, 0.062).value for v in told if v.relative]
    assert [note.rpartition(": ")[2] for note in notes] == read
    assert len(set(read)) > 1
    drawn(page, "forest")
    band = page.evaluate("views.get('forest').view.signal('margin')")
    first = next(v for v in told if v.primary)
    assert band == pytest.approx(0.062 * first.reference_value)


def test_the_page_reads_outcomes_as_python_does(opened, file):
    values = (-0.03, -0.02, -0.0200001, -0.01, 0.0, 0.01, 0.02, None)
    grid = [
        (low, high, margin)
        for low, high in itertools.product(values, values)
        for margin in (0.0, 0.01, 0.02, 0.3)
    ]
    page = opened(file, DESK)
    said = page.evaluate("(grid) => grid.map((each) => outcomeOf(...each).outcome)", grid)
    nan = float("nan")
    assert said == [outcome(*(nan if v is None else v for v in each)).value for each in grid]
    assert len(set(said)) == 7


def test_the_numbers_of_a_figure_are_saved_as_csv(opened, file, found, tmp_path):
    page = opened(file, DESK)
    for name, draw in CHARTS.items():
        with page.expect_download() as download:
            drawn(page, name).get_by_role("button", name="CSV").click()
        assert download.value.suggested_filename == f"mnist-{name}.csv"
        download.value.save_as(tmp_path / "saved.csv")
        saved, frame = pd.read_csv(tmp_path / "saved.csv"), draw(found(ARMS), Style()).data
        assert frame is not None
        read = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
        pd.testing.assert_frame_equal(saved, read, check_dtype=False, rtol=1e-6)


def test_a_figure_is_saved_as_it_is_seen(opened, file, tmp_path):
    page = opened(file, DESK, "dark")
    figure = drawn(page, "accuracy")
    for kind, head in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as download:
            figure.get_by_role("button", name=kind).click()
        download.value.save_as(tmp_path / kind)
        content = (tmp_path / kind).read_bytes()
        assert content.startswith(head)
        assert b"currentColor" not in content
        assert len(content) > 10_000


def test_rates_are_drawn_on_a_linear_axis_too(opened, file):
    page = opened(file, DESK)
    figure = drawn(page, "learning_rate")
    before = figure.locator(".live").inner_text()
    figure.get_by_role("button", name="Linear rates").click()
    expect(figure.locator(".live")).not_to_have_text(before)
    assert figure.get_by_role("button", name="Linear rates").get_attribute("aria-pressed") == "true"


def test_without_scripts_there_are_the_static_figures_and_every_table(opened, file):
    page = opened(file, DESK, scripts=False)
    assert not page.locator("#controls").is_visible()
    assert [each.is_visible() for each in page.locator("figure svg").all()].count(True) == 11
    assert page.locator("tr[data-arm]").first.is_visible()


@pytest.mark.parametrize("sandbox", ["allow-scripts", ""])
def test_in_a_frame_the_page_does_what_the_frame_allows(browser, file, sandbox):
    """The first is the frame in which MLflow shows an artifact."""
    page = browser.new_page()
    page.evaluate(
        """([html, sandbox]) => {
          const frame = Object.assign(document.createElement("iframe"), { width: 1200, height: 900 });
          frame.setAttribute("sandbox", sandbox);
          frame.src = URL.createObjectURL(new Blob([html], { type: "text/html" }));
          document.body.append(frame); }""",
        [file.read_text(encoding="utf-8"), sandbox],
    )
    frame = page.frame_locator("iframe")
    figure = frame.locator("#figure-accuracy")
    expect(figure).to_be_visible()
    figure.scroll_into_view_if_needed()  # it is drawn when it comes into view
    if sandbox:
        expect(frame.locator("#figure-accuracy.explored")).to_be_visible()
        assert figure.get_by_role("button", name="CSV").count() == 0
    else:
        assert figure.locator(".static .desk svg").is_visible()
        assert not frame.locator("#controls").is_visible()
    page.close()


def test_a_view_follows_the_theme_while_the_page_is_open(opened, file):
    page = opened(file, DESK)
    label = drawn(page, "accuracy").locator(".live .role-axis-label text").first
    colour = "(one) => getComputedStyle(one).fill"
    light = label.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    assert label.evaluate(colour) != light
