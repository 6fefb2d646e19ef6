"""The built site: anchors, links, and what a browser makes of its pages.

Pictures of the pages go to the folder in SITE_PICTURES, where that is set.
"""

import base64
import os
import re
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import public_api
from browser import Browser

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTHS = (390, 768, 1440)
# Words that people look for, each with a page that must be among what is found.
SEARCHES = {
    "triplet": "losses",
    "hyperparameter": "faq",
    "siamese": "concepts",
    "cosine": "distances",
    "threshold": "calibration",
    "faiss": "index-and-lookup",
    "milvus": "scaling",
    "curl": "serving",
    "map@r": "evaluation",
    "backbone": "backbones",
}


class Page(HTMLParser):
    """The ids of a page, and where it leads."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids |= {values[key] for key in ("id", "name") if values.get(key)}
        for key in ("href", "src"):
            if values.get(key):
                self.links.append(values[key])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="the extra [docs] is not installed")
    pytest.importorskip("material", reason="the extra [docs] is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_every_public_name_has_an_entry(site, pages):
    ids = set().union(*(page.ids for path, page in pages.items() if path.parent.name == "api"))
    missing = [
        f"{package.__name__}.{name}"
        for package in public_api.packages()
        for name in package.__all__
        if f"{package.__name__}.{name}" not in ids
    ]
    assert missing == []


def test_no_link_is_dead(site, pages):
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            fragment = unquote(parts.fragment)
            if not target.exists() or (
                fragment and target in pages and fragment not in pages[target].ids
            ):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert dead == []


def test_papers_and_losses_are_linked(site):
    reference = (site / "api" / "losses.html").read_text(encoding="utf-8")
    bare = re.findall(r'(?<!["\'>])https://arxiv\.org/abs/[\d.]+(?!</a>)', reference)
    assert bare == []
    losses = (site / "losses.html").read_text(encoding="utf-8")
    assert 'href="api/losses.html#tensorflow_similarity.losses.CircleLoss"' in losses


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    browser = Browser(CHROMIUM, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def complaints(events):
    """Errors in the console, and requests to elsewhere."""
    for event in events:
        method, params = event["method"], event["params"]
        if method == "Runtime.exceptionThrown":
            yield params["exceptionDetails"]["text"]
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            yield params["entry"]["text"] + " " + params["entry"].get("url", "")
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            yield str(params["args"])
        elif method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if urlsplit(url).scheme not in ("about", "blob", "data", "file"):
                yield f"asks for {url}"


# What is wider than the window, unless something around it scrolls.
CLIPPED = """
(() => {
  const width = document.documentElement.clientWidth, found = [];
  for (const one of document.querySelectorAll(".md-content *")) {
    const box = one.getBoundingClientRect();
    if (box.width === 0 || box.right <= width + 1) continue;
    let around = one.parentElement, scrolls = false;
    while (around && !scrolls) {
      scrolls = ["auto", "scroll"].includes(getComputedStyle(around).overflowX);
      around = around.parentElement;
    }
    if (!scrolls) found.push(one.tagName + ": " + one.textContent.trim().slice(0, 60));
  }
  return found.slice(0, 3);
})()
"""


def test_pages_in_a_browser(site, pages, browser):
    wrong = []
    pictures = os.environ.get("SITE_PICTURES")
    for path in pages:
        name = str(path.relative_to(site))
        if "md-content" not in path.read_text(encoding="utf-8") or path.name == "404.html":
            continue  # such as a projector, which is shown in a page
        browser.scheme("light")
        browser.size(WIDTHS[-1])
        wrong += [f"{name}: {text}" for text in complaints(browser.open(path.as_uri()))]
        for width in WIDTHS:
            browser.size(width)
            wrong += [f"{name} at {width}: {text}" for text in browser.run(CLIPPED)]
            for scheme in ("light", "dark") if pictures else ():
                browser.scheme(scheme)  # of a projector within
                palette = {"light": "default", "dark": "slate"}[scheme]
                chosen = f"document.querySelector('input[data-md-color-scheme={palette}]')"
                browser.run(f"{chosen}.click()")
                time.sleep(0.2)  # colours fade
                height = browser.run("document.documentElement.scrollHeight")
                clip = {"x": 0, "y": 0, "width": width, "height": min(height, 12000), "scale": 1}
                shot = browser.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
                file = Path(pictures, f"{name.replace('/', '-')}-{width}-{scheme}.png")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(base64.b64decode(shot["data"]))
    assert wrong == []


def test_formulas_are_drawn(site, browser):
    browser.size(1440)
    assert list(complaints(browser.open((site / "formulas.html").as_uri()))) == []
    count = "document.querySelectorAll('.arithmatex').length"
    drawn = "document.querySelectorAll('.arithmatex math').length"
    assert browser.run(count) > 80
    assert browser.run(drawn) == browser.run(count)
    assert browser.run("document.querySelectorAll('merror').length") == 0


def test_plots_are_no_white_cards_in_the_dark(site, browser):
    browser.open((site / "pictures.html").as_uri())
    style = "getComputedStyle(document.querySelector('.md-content img')).filter"
    for scheme, wanted in (("default", "none"), ("slate", "invert")):
        browser.run(f"document.body.setAttribute('data-md-color-scheme', {scheme!r}); true")
        assert wanted in browser.run(style)


@pytest.mark.parametrize("word", SEARCHES)
def test_search_finds(word, site, browser):
    browser.size(1440)
    browser.open((site / "index.html").as_uri())
    box = "document.querySelector('[data-md-component=search-query]')"
    browser.run(f"{box}.focus(); {box}.value = {word!r}; true")
    results = (
        "Array.from(document.querySelectorAll('.md-search-result__link')).map(one => one.href)"
    )

    def found():
        browser.run(f"{box}.dispatchEvent(new Event('input', {{bubbles: true}})); true")
        browser.run(f"{box}.dispatchEvent(new KeyboardEvent('keyup', {{bubbles: true}})); true")
        return any(SEARCHES[word] in link for link in browser.run(results))

    browser.wait(found)
