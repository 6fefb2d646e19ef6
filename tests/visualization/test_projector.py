import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tensorflow_similarity.visualization import projector

RNG = np.random.default_rng(0)


def data_of(page):
    """What the page's script reads, found as a browser would: up to the end of the script."""
    match = re.search(r'<script id="data"[^>]*>(.*?)</script>', page.html, re.DOTALL)
    return json.loads(match[1])


def sprites(data):
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))
        for url in data["sprites"]["sheets"]
    ]


def test_places_keep_the_shape_of_the_projection():
    points = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0]])
    data = data_of(projector(points, method=lambda x: x, neighbors=0))
    assert (data["width"], data["height"]) == (10_000, 5_000)
    assert data["x"] == [0, 10_000, 10_000]
    assert data["y"] == [5_000, 5_000, 0]  # Pages count downwards.
    assert data["neighbors"] is None
    assert not data["labelled"]


def test_classes_have_names_colours_and_sizes():
    data = data_of(projector(RNG.normal(size=(4, 3)), [7, 2, 7, 7], {7: "seven"}))
    assert data["cls"] == [1, 0, 1, 1]
    assert [(c["name"], c["count"]) for c in data["classes"]] == [("2", 1), ("seven", 3)]
    assert len({c["color"] for c in data["classes"]}) == 2


def test_labels_may_be_names():
    data = data_of(projector(RNG.normal(size=(3, 3)), ["owl", "cat", "owl"]))
    assert [c["name"] for c in data["classes"]] == ["cat", "owl"]
    assert data["cls"] == [1, 0, 1]


def test_a_click_shows_the_nearest_of_the_space_not_of_the_plane():
    x = RNG.normal(size=(30, 5))
    x[7] = x[3]  # An example and its double.
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    distances = 1 - unit @ unit.T
    np.fill_diagonal(distances, np.inf)
    data = data_of(projector(x, neighbors=4))
    for i, found in enumerate(data["neighbors"]):
        assert set(found) == set(np.argsort(distances[i])[:4].tolist())


def test_no_more_neighbours_than_there_are():
    assert data_of(projector([[1.0, 0.0], [0.0, 1.0]]))["neighbors"] == [[1], [0]]
    assert data_of(projector([[1.0, 0.0]]))["neighbors"] is None


def test_thumbnails_are_the_images():
    images = RNG.integers(0, 256, (1030, 4, 6), np.uint8)
    images[0, 0, :2] = 0, 255
    data = data_of(projector(RNG.normal(size=(1030, 3)), images=images, neighbors=0))
    s = data["sprites"]
    assert (s["width"], s["height"], len(s["sheets"])) == (6, 4, 2)
    sheets = sprites(data)
    for i in (0, 500, 1023, 1024, 1029):
        k = i % s["per_sheet"]
        top, left = k // s["columns"] * 4, k % s["columns"] * 6
        np.testing.assert_array_equal(
            sheets[i // s["per_sheet"]][top : top + 4, left : left + 6], images[i]
        )


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_thumbnails_in_colour_of_either_range(scale):
    images = np.zeros((2, 4, 4, 3))
    images[1, ..., 0] = scale
    (sheet,) = sprites(data_of(projector(RNG.normal(size=(2, 3)), images=images)))
    assert sheet[0, 0].tolist() == [0, 0, 0]
    assert sheet[0, 4].tolist() == [255, 0, 0]


def test_large_images_shrink():
    data = data_of(projector(RNG.normal(size=(2, 3)), images=np.zeros((2, 100, 50)), image_size=20))
    assert (data["sprites"]["width"], data["sprites"]["height"]) == (10, 20)


def test_texts_cannot_leave_their_place():
    hostile = '</script><script>alert("x")</script><!-- <b>'
    page = projector(
        RNG.normal(size=(1, 3)), [0], [hostile], texts=[hostile], tooltips_info={hostile: [hostile]}
    )
    data = data_of(page)
    assert data["texts"] == [hostile]
    assert data["classes"][0]["name"] == hostile
    assert data["info"] == {hostile: [hostile]}
    assert page.html.count("<script") == 2


class Sources(HTMLParser):
    """Collects what a page loads."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href")]


def test_page_loads_nothing():
    page = projector(RNG.normal(size=(3, 3)), images=np.zeros((3, 2, 2)))
    sources = Sources()
    sources.feed(page.html)
    assert sources.found == []
    assert not re.search(r"https?:|@import|url\(", page.html)


def test_saved_and_shown(tmp_path):
    page = projector(RNG.normal(size=(3, 3)), plot_size=300)
    path = page.save(tmp_path / "page.html")
    assert path.read_text(encoding="utf-8") == page.html
    assert repr(page).startswith("ProjectorPage(3 points")
    shown = page._repr_html_()
    assert "height: 300px" in shown
    assert "<!doctype" not in shown  # It is an attribute, escaped.


def test_bad_input_is_named():
    x = RNG.normal(size=(3, 3))
    with pytest.raises(ValueError, match="`labels` must hold one"):
        projector(x, ["a", "b"])
    with pytest.raises(
        ValueError, match=r"`texts` must hold one value per example, 3\. Received: 1"
    ):
        projector(x, texts=["a"])
    with pytest.raises(ValueError, match="`images` must have the shape"):
        projector(x, images=np.zeros((3, 5)))
    with pytest.raises(ValueError, match="`neighbors`"):
        projector(x, neighbors=-1)
