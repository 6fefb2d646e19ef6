import colorsys

import pytest
from matplotlib import colors

from tensorflow_similarity.visualization.colors import class_colors, class_markers


@pytest.mark.parametrize("count", [1, 7, 8, 10, 11, 100, 500])
def test_every_class_has_its_own_colour(count):
    found = class_colors(count)
    assert len(set(found)) == count
    assert all(0.3 < colorsys.rgb_to_hls(*colors.to_rgb(color))[1] < 0.75 for color in found)


def test_markers_help_where_colours_are_many():
    assert set(class_markers(10)) == {"o"}
    assert len(class_markers(100)) == 100
    assert len(set(class_markers(100))) > 5
