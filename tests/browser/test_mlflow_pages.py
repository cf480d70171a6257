"""What a user sees in MLflow, in a real browser on a real server."""

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Page, expect

expect.set_options(timeout=30_000)


def open_run(page: Page, name: str, tab: str) -> None:
    page.get_by_role("link", name=name, exact=True).first.click()
    page.get_by_role("tab", name=tab).click()


def test_the_link_opens_a_table_with_the_numbers_that_decide(page, site, picture):
    for name in site.experiments:
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    for column in ("ppl/", "prune/ratio_of_total", "prune/max_layer_rate", "diagnosis/findings_critical"):
        expect(page.get_by_role("columnheader", name=column).first).to_be_visible()
    picture("runs")


def test_perplexity_against_ratio_and_curves_over_the_layers_are_drawn(page, site, picture):
    page.goto(f"{site.link}&compareRunsMode=CHART")
    for title in ("method.ratio vs. ppl/", "prune/rate_by_layer", "prune/mlp_rate_by_layer"):
        expect(page.get_by_text(title).first).to_be_visible()
    points = page.locator(".scatterlayer .points path.point")
    expect(points.nth(50)).to_be_attached()  # more than perplexities: layers
    assert page.locator(".scatterlayer path.js-line").count() >= 2
    picture("charts")


def test_two_experiments_are_compared(page, site, picture):
    for name in site.experiments:
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))
        row.first.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_role("heading", name="Comparing 2 Runs")).to_be_visible()
    for name in site.experiments:
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    for section in ("Visualizations", "Run details"):
        page.get_by_text(section, exact=True).click()
    for section in ("Parameters", "Metrics"):
        page.get_by_role("switch", name=f"{section} - Show diff only").click()
    for name in ("method.temperature", "diagnosis/extreme_layers", "ppl/"):
        expect(page.get_by_text(name).filter(visible=True).first).to_be_visible()
    picture("compare")


def test_a_curve_of_one_run_is_drawn(page, site):
    open_run(page, site.experiments[0], "Model metrics")
    page.get_by_placeholder("Search metric charts").fill("^prune/rate_by_layer")
    expect(page.get_by_text("rate_by_layer").first).to_be_visible()
    expect(page.locator(".scatterlayer path.js-line").first).to_be_attached()


def test_figure_and_diagnosis_open_as_artifacts(page, site, picture):
    name = site.experiments[0]
    open_run(page, name, "Artifacts")
    page.get_by_text("analysis", exact=True).click()
    page.get_by_text("diagnosis.html", exact=True).click()
    report = page.frame_locator("iframe")
    expect(report.get_by_role("heading", name=f"Diagnosis: {site.model} / {name}")).to_be_visible()
    expect(report.get_by_role("img", name="Gradient analysis")).to_have_js_property("complete", True)
    assert report.get_by_role("img", name="Gradient analysis").evaluate("image => image.naturalWidth") > 0
    picture("diagnosis")
    page.get_by_text("visualization", exact=True).click()
    page.get_by_text("gradient_analysis.png", exact=True).click()
    figure = page.locator("img[src^='blob:'], img[src*='gradient_analysis']").first
    expect(figure).to_be_visible()
    assert figure.evaluate("image => image.naturalWidth") > 500


def test_parent_and_pruned_checkpoint_are_listed_as_models(page, site):
    page.get_by_role("link", name="Models", exact=True).click()
    for name in (site.model, *site.experiments):
        expect(page.get_by_role("link", name=name, exact=True).first).to_be_visible()
