"""The page as a person meets it: in Chromium, on a desk and on a phone, by day and by night."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from normsweep.reporting.page import write_report

ARMS = ("none", "unit", "standardize", "zca")
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

    def open_page(file: Path, size: dict[str, int], scheme: str = "light") -> Page:
        context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.split("#")[0] in (file.as_uri(), "data:,")
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
    assert page.get_by_text("It depends: with both tuned").first.is_visible()
    headings = page.locator("main h2").all_inner_texts()
    assert [" ".join(each.split()) for each in headings[:4]] == [
        "1 Why?",
        "2 More epochs?",
        "3 A tuned learning rate?",
        "4 Accuracy, or only speed?",
    ]
    shown = [each for each in page.locator("svg").all() if each.is_visible()]
    assert len(shown) == 8
    assert all((each.bounding_box() or {"width": 0})["width"] > 300 for each in shown)
    assert page.get_by_role("img", name="Accuracy after each epoch").count() == 1


def test_nothing_makes_the_page_scroll_sideways(opened, found, awkward, tmp_path):
    file = write_report(found((awkward * 2, "none", "unit")), tmp_path)
    for size in (DESK, PHONE):
        page = opened(file, size)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


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
    outside = opened(file, DESK).evaluate(
        """() => [...document.querySelectorAll("svg")].filter((svg) => svg.checkVisibility())
          .flatMap((svg) => { const box = svg.getBoundingClientRect();
            return [...svg.querySelectorAll("text")].filter((text) => {
              const own = text.getBoundingClientRect();
              return own.left < box.left - 2 || own.right > box.right + 2; })
              .map((text) => text.textContent); })"""
    )
    assert outside == []


def test_on_paper_the_trials_are_unfolded_and_the_theme_is_light(opened, file):
    page = opened(file, DESK, "dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
    assert page.locator("details[open]").count() == 1
