import matplotlib as mpl
import numpy as np
import pytest
import torch

mpl.use("agg")

from matplotlib import pyplot as plt

from colorlib.model import build_model
from companion.report import figures


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def texts(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def drawn(figure):
    return [axis.images[0].get_array() for axis in figure.axes if axis.images]


def test_a_grid_shows_the_pixels_it_is_given():
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    rgb, gray = torch.rand(3, 8, 8), torch.rand(1, 8, 8)
    shown = drawn(figures.image_grid([[whole, rgb], [gray]]))
    np.testing.assert_array_equal(shown[0], whole)
    np.testing.assert_array_equal(shown[1], rgb.permute(1, 2, 0))
    np.testing.assert_array_equal(shown[2], gray[0])


def test_a_gray_image_is_not_stretched():
    figure = figures.image_grid([[torch.full((1, 4, 4), 0.5)]])
    assert figure.axes[0].images[0].get_clim() == (0, 1)


def test_titles_stand_where_they_belong():
    image = torch.rand(3, 4, 4)
    figure = figures.image_grid([[image, image]] * 2, ["left", "right"], ["up", "down"])
    assert [axis.get_title() for axis in figure.axes] == ["left", "right", "", ""]
    assert texts(figure) == ["up", "down"]


def test_images_are_not_smoothed():
    with mpl.rc_context():
        figures.use_style()
        figure = figures.image_grid([[torch.rand(3, 4, 4)]])
        assert figure.axes[0].images[0].get_interpolation() == "nearest"


def test_the_curves_are_those_given():
    figure = figures.learning_curves({"plain": {"train": [3, 2], "validation": [4, 3]}})
    lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert lines == {"plain, train": [3, 2], "plain, validation": [4, 3]}


def test_curves_of_two_models_differ_by_more_than_colour():
    losses = {"train": [3, 2], "validation": [4, 3]}
    lines = figures.learning_curves({"one": losses, "two": losses}).axes[0].lines
    looks = [(line.get_marker(), line.get_linestyle()) for line in lines]
    assert len(set(looks)) == 4


def test_the_diagram_shows_the_shapes_of_the_live_model():
    figure = figures.model_diagram(build_model("model2", width=0.25), size=64)
    shown = texts(figure)
    assert "64 x 8 x 8" in shown  # 256 / 4 channels, 64 / 8 pixels
    assert "2 x 64 x 64" in shown
    assert "2 backbones" in shown


def test_a_model_without_backbones_shows_none():
    shown = texts(figures.model_diagram(build_model("plain", width=0.25), size=32))
    assert not any("backbone" in text for text in shown)


def test_stage_shapes_leave_no_hook():
    model = build_model("plain", width=0.1)
    figures.stage_shapes(model, 16)
    assert not model.encoder._forward_hooks


def test_bars_end_where_the_interval_does():
    figure = figures.score_bars({"gray": 0.2}, {"gray": (0.1, 0.4)}, "RMSE")
    segments = figure.axes[0].collections[0].get_segments()
    np.testing.assert_allclose(segments[0][:, 0], [0.1, 0.4])


def test_a_forest_shows_both_intervals_and_the_line_of_no_difference():
    figure = figures.forest(
        {"one": (-1.0, (-1.5, -0.5), (-2.0, 0.1)), "two": (0.2, (0.1, 0.3), (-50, 50))},
        "change of the loss (%)",
    )
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["one", "two"]
    assert axis.get_xlabel() == "change of the loss (%)"
    widths = {line.get_linewidth() for line in axis.lines}
    assert {1, 4} <= widths
    low, high = axis.get_xlim()
    assert -4.5 < low < -1.5  # the widest bar does not set the reach
    assert 0.3 < high < 4.5
    plt.close(figure)
