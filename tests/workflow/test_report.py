"""`snakemake --report`: one file that shows figures and what they mean, without a network."""

import re

import pytest
from test_dag import EXPERIMENT, change_configuration

NAME = EXPERIMENT.rpartition("/")[2]
FIGURES = {
    f"tiny / {NAME} > 2 Diagnosis": {
        "gradient analysis": "The gradients of tiny on 6 windows of 16 tokens of words",
        "pruning rates": f"under {NAME}, where 20 % of all parameters were to be removed",
        "importance heatmap": "by taylor, T = 1, tau = 0; low scores go first",
        "trials": "What tiny loses on held-out text under other settings",
    },
    "tiny / comparison / alone": {
        "2 perplexity": "Perplexity of the experiments of alone",
        "3 pruning rates": "how much every layer of tiny lost",
        "4 choice of groups": "Jaccard similarity",
        "5 gradients": "a curve per gradient run",
    },
}


@pytest.fixture(scope="module")
def report(finished, tmp_path_factory):
    project = finished.copy(tmp_path_factory.mktemp("report") / "project")
    change_configuration(project, sweeps={"alone": {"model": "tiny", "experiments": [NAME]}})
    project.run("sweep_alone")
    project.call("snakemake", "--report", "report.html", "sweep_alone")
    return project.folder / "report.html"


@pytest.fixture
def page(browser, report):
    """The report in a browser without a network, and what its console said."""
    context = browser.new_context(offline=True)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(request.url))
    page.goto(report.as_uri())
    yield page
    context.close()
    assert said == []


def open_category(page, path):
    page.goto(page.url)  # back to the start
    for name in path.split(" > "):
        page.locator("#app li", has_text=name).last.locator("a").click()


def row(page, title):
    return page.locator("tbody tr", has_text=title)


def test_the_start_page_lists_what_there_is(page):
    text = page.locator("#app .prose").inner_text()
    assert re.search(
        rf"tiny / {NAME}: taylor, T = 1, tau = 0; 6 windows of 16 tokens of words\. Removed 19\.\d% .* \d+\.\d → \d+",
        text,
    )
    assert "tiny / comparison / alone: 1 experiment" in text
    page.locator("#app .prose a", has_text=NAME).click()
    page.get_by_text("2 Diagnosis").wait_for()


@pytest.mark.parametrize("category", FIGURES)
def test_figures_show_and_say_what_they_are(page, category):
    for title, caption in FIGURES[category].items():
        open_category(page, category)
        row(page, title).locator("a").first.click()
        figure = page.locator("#app img[src^='data:image/png']")
        figure.wait_for()
        assert figure.evaluate("image => image.decode().then(() => image.naturalWidth)") > 1000
        row(page, title).locator("a").last.click()
        assert caption in page.locator("#app .prose-invert").inner_text().replace("\n", " ")


@pytest.mark.parametrize(
    ("category", "title", "heading", "figures"),
    [
        (f"tiny / {NAME} > 1 Summary", "page", f"tiny / {NAME}", 4),
        ("tiny / comparison / alone", "1 summary", "tiny / alone", 4),
    ],
)
def test_pages_hold_their_figures(page, category, title, heading, figures):
    open_category(page, category)
    row(page, title).locator("a").first.click()
    inside = page.frame_locator("#app iframe")
    assert inside.locator("h1").inner_text() == heading
    assert inside.locator("img").count() == figures
    for figure in inside.locator("img").all():
        assert figure.evaluate("image => image.decode().then(() => image.naturalWidth)") > 1000
