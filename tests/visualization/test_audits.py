"""Plots of what an audit found."""

import numpy as np
import pytest
from PIL import Image

from tensorflow_similarity.evaluation import audit
from tensorflow_similarity.visualization import viz_audit
from tensorflow_similarity.visualization.figures import NEUTRAL, OTHER, SAME

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 2
X = 10 * np.eye(4)[LABELS] + RNG.normal(size=(60, 4))
X[5] = X[3] + 1e-4  # a copy of another example
X[9] = X[3] + 2e-4
X[22] = X[20] + 0.04
X[24] = X[20] + 0.08  # by way of the other
LABELS[8] = 1  # wrong
X[40] = 90  # an outlier
X[2] = X[::2].mean(axis=0)  # a hub
TRAIN = X[[12, 30]] + 1e-4
REPORT = audit(X, LABELS, TRAIN, distance="euclidean", max_distance=0.1, k=5, hub_factor=1.5)
IMAGES = RNG.random((60, 6, 6, 3))
FINDINGS = ["duplicates", "leaks", "mislabelled", "outliers", "hubs"]


def plot(finding, examples=IMAGES, **options):
    options = {"labels": LABELS, "reference": examples[:2], **options}
    figure = viz_audit(REPORT, examples, finding, show=False, **options)
    figure.canvas.draw()
    return figure


def cells(figure):
    """The title, and the frame of each drawn axis."""
    drawn = [axis for axis in figure.axes if axis.axison]
    return [(axis.get_title(), next(iter(axis.spines.values())).get_edgecolor()) for axis in drawn]


def color(name):
    from matplotlib.colors import to_rgba

    return to_rgba(name)


def rows_of(report, finding):
    """Examples and those beside them, written out."""
    near = report.neighbors[0].tolist()
    if finding == "duplicates":
        return {3: [5, 9], 20: [22, 24]}
    if finding == "leaks":
        rows = {}
        for first, second, _ in zip(*(column.tolist() for column in report.leaks), strict=True):
            rows.setdefault(first, []).append(second)
        return rows
    positions = getattr(report, finding)[0].tolist()
    if finding == "hubs":
        return {i: [j for j, row in enumerate(near) if i in row] for i in positions}
    return {i: near[i] for i in positions}


@pytest.mark.parametrize("finding", FINDINGS)
@pytest.mark.slow_cases("hubs", "outliers")
def test_rows_are_those_of_the_report(finding):
    expected = rows_of(REPORT, finding)
    assert expected
    shown = cells(plot(finding, count=100, others=100))
    drawn, row = {}, None
    for title, edge in shown:
        position = int(title.split()[0])
        if edge in (color(SAME), color(OTHER), color(NEUTRAL)):
            drawn[row].append(position)
            if finding == "leaks":
                assert edge == color(NEUTRAL)
            else:
                assert edge == color(SAME if LABELS[row] == LABELS[position] else OTHER)
        else:
            row = position
            drawn[row] = []
    assert list(drawn) == list(expected)
    for position, others in expected.items():
        assert sorted(drawn[position]) == sorted(others)
    if finding != "hubs":
        assert drawn == expected


def test_as_many_as_asked_for_and_what_is_said():
    figure = plot("mislabelled", count=1, others=2, class_names=["cat", "dog"])
    titles = [title for title, _ in cells(figure)]
    assert len(titles) == 3
    assert titles[0] == "8 dog\n100% cat"
    assert "Doubtful labels: 1 in 60 examples" in figure.get_suptitle()
    assert cells(plot("duplicates", count=1))[0][0] == "3 1\n2 copies"
    assert [title for title, _ in cells(plot("duplicates"))][3:] == [
        *("20 0\n2 copies", "22 0\n0.08", "24 0\nby way of others")
    ]
    assert "× as far" in cells(plot("outliers", count=1))[0][0]
    assert "near " in cells(plot("hubs", count=1))[0][0]


@pytest.mark.further
def test_examples_of_any_kind(tmp_path):
    texts = [f"text number {i}" for i in range(60)]
    for examples in (texts, [{"text": text} for text in texts]):
        written = [text.get_text() for text in plot("duplicates", examples).axes[0].texts]
        assert any("3: text number 3" in line for line in written)
        assert "text number 5" in written
    assert len(cells(plot("outliers", X))) > 1  # vectors
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    figure = plot("duplicates", [{"path": "a.png"}] * 60, folder=tmp_path)
    assert figure.axes[0].images


@pytest.mark.parametrize("finding", FINDINGS)
def test_nothing_found(finding):
    x = 10 * np.eye(2)[np.arange(20) % 2] + np.random.default_rng(1).normal(size=(20, 2))
    report = audit(x, None, distance="euclidean", max_distance=0, outlier_ratio=1e6, hub_factor=1e6)
    figure = viz_audit(report, x, finding, labels=np.zeros(20, int), reference=x[:0], show=False)
    assert "in 20 examples." in figure.texts[0].get_text()


@pytest.mark.parametrize(
    ("options", "kind", "match"),
    [
        ({"report": 3}, TypeError, "`report` must be what"),
        ({"finding": "copies"}, ValueError, "`finding` must be one of"),
        ({"examples": IMAGES[:3]}, ValueError, "expected 60. Received: 3"),
        ({"finding": "mislabelled"}, ValueError, "`labels` must be given"),
        ({"finding": "leaks"}, ValueError, "`reference` must be given"),
        ({"finding": "leaks", "reference": IMAGES[:1]}, ValueError, "from position 1"),
        ({"count": 0}, ValueError, "`count`"),
        ({"labels": LABELS[:2]}, ValueError, "labels"),
    ],
)
def test_what_cannot_be(options, kind, match):
    with pytest.raises(kind, match=match):
        viz_audit(**{"report": REPORT, "examples": IMAGES, "show": False, **options})
