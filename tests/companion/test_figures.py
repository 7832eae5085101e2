import matplotlib as mpl
import numpy as np
import pytest
import torch

mpl.use("agg")

from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from skimage.color import rgb2xyz

from colorlib.model import build_model
from colorlib.stats import Estimate
from companion.comparisons import Contrast, Result
from companion.report import figures


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def texts(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_a_grid_shows_the_pixels_it_is_given_without_smoothing():
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    rgb, gray = torch.rand(3, 8, 8), torch.rand(1, 8, 8)
    with mpl.rc_context():
        figures.use_style()
        figure = figures.image_grid([[whole, rgb], [gray]], ["a", "b"], ["up", "down"])
    shown = [axis.images[0] for axis in figure.axes if axis.images]
    given = (whole, rgb.permute(1, 2, 0), gray[0])
    for image, expected in zip(shown, given, strict=True):
        np.testing.assert_array_equal(image.get_array(), expected)
        assert image.get_interpolation() == "nearest"
    assert shown[2].get_clim() == (0, 1)  # gray is not stretched
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "", ""]
    assert texts(figure) == ["up", "down"]


def test_curves_are_those_given_and_differ_by_more_than_colour():
    losses = {"train": [3, 2], "validation": [4, 3]}
    lines = figures.learning_curves({"one": losses, "two": losses}).axes[0].lines
    found = {line.get_label(): list(line.get_ydata()) for line in lines}
    assert found == {
        f"{model}, {part}": losses[part] for model in ("one", "two") for part in losses
    }
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == 4


@pytest.mark.parametrize(
    ("name", "shown"),
    [("model2", {"2 backbones", "mean of 2", "softmax"}), ("plain", set())],
)
def test_the_diagram_shows_the_shapes_of_the_live_model(name, shown):
    found = set(texts(figures.model_diagram(build_model(name, width=0.25), size=64)))
    assert {"64 x 8 x 8", "2 x 64 x 64"} | shown <= found  # 256 / 4 channels, 64 / 8 px
    assert any("backbone" in text for text in found) == bool(shown)


@pytest.mark.parametrize("colour", [*figures.OKABE_ITO, figures.INK, "gray"])
def test_curves_stand_out_from_the_paper(colour):
    paper, line = (rgb2xyz(to_rgb(one))[1] for one in (figures.WHITE, colour))
    assert (paper + 0.05) / (line + 0.05) >= 3  # WCAG 2.1, 1.4.11; Y is luminance


def result(*effect, conclusion="inconclusive"):
    contrast = Contrast({"maps": 1, "none": -1}, "none", "lfw", "test")
    estimate = Estimate(*effect, se=1, df=9, p=0.5)
    return Result(contrast, estimate, 5, 9, 0, True, conclusion)


def test_effects_have_their_intervals_and_are_filled_where_significant():
    one, other = result(-3, -4, -2, conclusion="significant"), result(0.2, -1, 1)
    panels = {"seen": {("maps", 1): one, ("maps", 2): other}}
    (axis,) = figures.effects_by_networks(panels, "change (%)").axes
    parts = [container.lines for container in axis.containers]
    hollow = [dot.get_markerfacecolor() == figures.WHITE for dot, *_ in parts]
    assert hollow == [False, True]
    segments = [bars.get_segments()[0] for *_, (bars,) in parts]
    np.testing.assert_allclose(
        segments, [[(0.82, -4), (0.82, -2)], [(1.82, -1), (1.82, 1)]]
    )
