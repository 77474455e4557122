"""The page in a real browser: nothing sticks out, nothing is loaded or run, light and dark are readable."""

import pytest

from tests.reporting.browser import Browser, opened

pytestmark = pytest.mark.browser

CONTRAST = """
(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const texts = "p, li, td, th, h1, h2, caption, a, summary, figcaption, dd, dt, blockquote, pre";
  const ratios = [...document.querySelectorAll(texts)].map((node) => {
      const [one, two] = [light(parse(getComputedStyle(node).color)), light(paper(node))];
      return (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    });
  return Math.min(...ratios);
})()
"""
"""Smallest contrast of text to what is behind it (WCAG 2.2, relative luminance)."""


@pytest.fixture(params=[400, 1200], ids=lambda width: f"{width}px")
def browser(request, reported, runs):
    with opened(runs / "mine" / "report" / "index.html", request.param) as browser:
        yield browser


def width_of(browser: Browser) -> tuple[int, int]:
    return browser.evaluate("document.documentElement.scrollWidth"), browser.evaluate("window.innerWidth")


def test_nothing_sticks_out_of_the_window(browser):
    needed, given = width_of(browser)
    assert given in (400, 1200)
    assert needed <= given
    browser.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
    assert width_of(browser)[0] <= given


def test_nothing_complains_and_nothing_is_run_or_loaded(browser):
    assert browser.complaints() == []
    assert browser.evaluate("document.scripts.length") == 0
    requested = [
        event["params"]["request"]["url"].partition(":")[0]
        for event in browser.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert set(requested) <= {"file", "data"}
    assert requested.count("file") == 1


def test_every_picture_is_drawn(browser):
    sizes = browser.evaluate("[...document.images].map((i) => [i.complete, i.naturalWidth, i.clientWidth])")
    assert len(sizes) >= 8
    assert all(complete and natural >= 500 and shown >= 350 for complete, natural, shown in sizes)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(browser, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.send("Emulation.setEmulatedMedia", features=features)
    dark = browser.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    assert browser.evaluate(CONTRAST) >= 4.5


def test_print_shows_what_is_folded_away(browser):
    browser.send("Emulation.setEmulatedMedia", media="print")
    height = "document.querySelector('#origin details pre').getBoundingClientRect().height"
    assert browser.evaluate(height) > 50
    assert len(browser.send("Page.printToPDF")["data"]) > 10_000
