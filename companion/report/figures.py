"""Every picture of the book: the only module that draws.

Images are shown pixel by pixel, without smoothing, on a neutral background. Colours of
curves are from Okabe and Ito, which the colour-blind can tell apart.
"""

import io
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.rcsetup import cycler
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from colorlib.model import ColorizationModel
from colorlib.stats import Estimate
from companion.comparisons import Result
from companion.photographs import PHOTOGRAPHS, coloured, square

if TYPE_CHECKING:
    from IPython.display import Image

INK, WHITE = "#222222", "#ffffff"
SQUARE = 400  # pixels of a photograph's side
# Those of the eight that stand out from white; the others are too light for a line.
OKABE_ITO = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", INK]
VIEW_COLOURS = (("#767676", "gray"), (OKABE_ITO[0], "colour"))
MARKERS = "os^Dv"  # one a colour: nothing is shown by colour alone
STYLE: dict[Any, Any] = {
    "figure.dpi": 110,
    "figure.facecolor": WHITE,
    "axes.prop_cycle": cycler(color=OKABE_ITO),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "font.size": 10,
    "image.interpolation": "nearest",
    "savefig.bbox": "tight",
}


def use_style() -> None:
    """Draw everything that follows in the book's style, sharp on fine screens."""
    mpl.rcParams.update(STYLE)
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("retina")  # type: ignore[no-untyped-call]


def image_grid(
    rows: Sequence[Sequence[Tensor | NDArray[Any]]],
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    cell: float = 1.3,
) -> Figure:
    """Images in rows and columns.

    Args:
        rows: For each row its images: RGB (3, H, W) in [0, 1] or (H, W, 3) uint8; or
            gray (1, H, W) or (H, W) in [0, 1].
        column_titles: One above each column.
        row_titles: One beside each row.
        cell: Side of an image, inches.

    Returns:
        The figure.
    """
    count = max(len(row) for row in rows)
    size = (cell * count, cell * len(rows))
    figure, axes = plt.subplots(
        len(rows), count, figsize=size, squeeze=False, layout="compressed"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for r, row in enumerate(rows):
        for axis, image in zip(axes[r], row, strict=False):
            axis.imshow(_displayable(image), cmap="gray", vmin=0, vmax=1)
    for axis, title in zip(axes[0], column_titles, strict=False):
        axis.set_title(title)
    for axis, title in zip(axes[:, 0], row_titles, strict=False):
        axis.text(
            -0.06, 0.5, title, transform=axis.transAxes, ha="right", va="center",
            rotation=90,
        )  # fmt: skip
    return figure


def photograph_grid(
    predictions: Mapping[str, NDArray[Any]],
    names: Sequence[str] = PHOTOGRAPHS,
    lying: bool = False,
    cell: float = 1.7,
) -> Figure:
    """Photographs that packages have: gray, with predicted colours, in their own.

    Args:
        predictions: title of a column -> chroma of all `PHOTOGRAPHS`, (P, 2, s, s) Lab
            units, such as `kept_predictions()` holds.
        names: Which photographs, one a row.
        lying: Whether a photograph is a column instead.
        cell: Side of an image, inches.

    Returns:
        The figure; images are squares of 400 pixels, so that a cell of 1.7 inches is
        sharp on a fine screen.
    """
    rows = []
    for name in names:
        place = PHOTOGRAPHS.index(name)
        gray = np.zeros((2, 8, 8))  # no chroma
        chroma = [gray, *(ab[place] for ab in predictions.values())]
        seen = [coloured(name, ab, SQUARE) for ab in chroma]
        rows.append([*seen, square(name, SQUARE)])
    titles = ["gray", *predictions, "ground truth"]
    if lying:
        return image_grid([*zip(*rows, strict=True)], row_titles=titles, cell=cell)
    return image_grid(rows, titles, cell=cell)


def top_classes(
    images: Sequence[NDArray[Any]], scores: Sequence[Mapping[str, tuple[float, float]]]
) -> Figure:
    """Images beside the probabilities of their classes, in gray and in colour.

    Args:
        images: (H, W) or (H, W, 3) uint8, one a row.
        scores: For each image: class -> its probability in gray and in colour.

    Returns:
        The figure, two bars for each class.
    """
    figure, axes = plt.subplots(
        len(images), 2, figsize=(7, 1.7 * len(images)), squeeze=False,
        layout="constrained", width_ratios=(1, 2),
    )  # fmt: skip
    for (left, right), image, classes in zip(axes, images, scores, strict=True):
        left.imshow(image, cmap="gray", vmin=0, vmax=255)
        left.set_axis_off()
        places, values = np.arange(len(classes)), np.array(list(classes.values()))
        for column, (colour, view) in enumerate(VIEW_COLOURS):
            y = places + 0.4 * column - 0.2
            right.barh(y, values[:, column], height=0.38, color=colour, label=view)
        right.set(xlim=(0, 1), ylim=(len(classes) - 0.5, -0.5))
        right.set_yticks(places, classes)
    axes[0, 1].legend(frameon=False, loc="lower right")
    axes[-1, 1].set_xlabel("probability, mean of three networks")
    return figure


def jpeg(figure: Figure) -> "Image":
    """A figure of photographs for a notebook: a tenth of the bytes of a PNG.

    Args:
        figure: Closed, so that it is not shown twice.

    Returns:
        What a cell shows, sharp on fine screens.
    """
    from IPython.display import Image

    file = io.BytesIO()
    pixels = {"quality": 90, "subsampling": 0}
    figure.savefig(file, dpi=2 * figure.dpi, format="jpeg", pil_kwargs=pixels)
    plt.close(figure)
    return Image(file.getvalue(), retina=True)  # type: ignore[no-untyped-call]


def _displayable(image: Tensor | NDArray[Any]) -> NDArray[Any]:
    """(3, H, W), (1, H, W) or (H, W, 3) -> what `imshow` takes."""
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.dtype != np.uint8:
        array = np.moveaxis(array, 0, -1)  # (C, H, W) -> (H, W, C)
    return array.squeeze(-1) if array.shape[-1] == 1 else array


def learning_curves(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """The loss of Eq. 1 after each epoch, for each model that was trained by it.

    Args:
        curves: model -> part (`train`, `validation`) -> loss of each epoch, (ab/128)².
            The cross-entropy of a classifier, in nats, has no place on this axis.

    Returns:
        The figure; a model has one colour and marker, a part one line style.
    """
    size = (6, 3 + 0.2 * len(curves))  # the legend, a row a model, stands above
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    for part, style in (("train", ":"), ("validation", "-")):
        looks = zip(OKABE_ITO, MARKERS, curves.items(), strict=False)
        for colour, marker, (model, parts) in looks:
            losses = parts.get(part, [])
            axis.plot(
                np.arange(1, len(losses) + 1), losses, style, marker=marker,
                markersize=3, color=colour, label=f"{model}, {part}",
            )  # fmt: skip
    axis.set(xlabel="epoch", ylabel="loss of Eq. 1, (ab/128)²")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.legend(frameon=False, loc="outside upper center", ncols=2)
    return figure


def model_diagram(model: ColorizationModel, size: int = 256) -> Figure:
    """The paper's Figure 2, drawn from a model that exists.

    From the top down, in a column that a phone has room for; the features of the
    backbones come from beside. The shape below a stage's name is that of the tensor it
    returned for a gray image of `size` pixels, measured, not written down.

    Args:
        model: Any of `build_model`.
        size: Side of the gray image, pixels.

    Returns:
        The figure.
    """
    shapes = _stage_shapes(model, size)
    wide = 4.6 if model.config.backbones else 2.0  # inches, as all lengths here
    figure, axis = plt.subplots(figsize=(wide, 4.9), layout="constrained")
    axis.set(xlim=(0, wide), ylim=(0, 4.9))
    axis.set_axis_off()
    x, beside = 1.0, 3.6
    places = dict(zip(shapes, (4.45, 3.45, 2.45, 1.45, 0.45), strict=True))
    for name, y in places.items():
        kind = "data" if name in ("L_norm", "ab_norm") else "stage"
        _box(axis, x, y, name, " x ".join(map(str, shapes[name])), kind)
        if name != "L_norm":
            _arrow(axis, (x, y + 0.66), (x, y + 0.34))
    if count := len(model.config.backbones):
        average = model.config.aggregation == "average"
        detail = f"{'mean' if average else model.config.aggregation} of {count}"
        plural = "s" * (count > 1)
        encoder, fusion = places["encoder"], places["fusion"]
        _box(axis, beside, encoder, f"{count} backbone{plural}", "frozen", "frozen")
        _box(axis, beside, fusion, model.config.features, detail, "data")
        _arrow(axis, (x + 0.85, places["L_norm"]), (beside, encoder + 0.34))
        _arrow(axis, (beside, encoder - 0.34), (beside, fusion + 0.34))
        _arrow(axis, (beside - 0.85, fusion), (x + 0.85, fusion))
    return figure


@torch.no_grad()
def _stage_shapes(model: ColorizationModel, size: int) -> dict[str, tuple[int, ...]]:
    """Shapes (C, H, W) of what enters, what each stage returns, and what leaves."""
    L_norm, shape = torch.zeros(1, 1, size, size), model.config.feature_shape()
    features = torch.zeros(1, *shape) if shape else None
    given = model.feature_input(features) if model.feature_input else None
    pyramid = model.encoder(L_norm)
    fused = model.fusion(pyramid[-1], given)
    stages = {
        "L_norm": L_norm,
        "encoder": pyramid[-1],
        "fusion": fused,
        "decoder": model.decoder(fused, pyramid),
        "ab_norm": model(L_norm, features),
    }
    return {name: tuple(values.shape[1:]) for name, values in stages.items()}


FILL = {"data": "#f2f2f2", "stage": "#cfe5f2", "frozen": "#f6dfcf"}


def _box(axis: Axes, x: float, y: float, name: str, detail: str, kind: str) -> None:
    """A named box around (x, y), with a second, smaller line; lengths in inches."""
    box = FancyBboxPatch(
        (x - 0.78, y - 0.27), 1.56, 0.54, "round,pad=0.06",
        fc=FILL[kind], ec=INK, lw=0.8,
    )  # fmt: skip
    axis.add_patch(box)
    axis.text(x, y + 0.13, name, ha="center", va="center", size=11, color=INK)
    axis.text(x, y - 0.13, detail, ha="center", va="center", size=10, color=INK)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """An arrow between two points."""
    axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": INK})


def effects_by_networks(
    panels: Mapping[str, Mapping[tuple[str, int], Result]], label: str
) -> Figure:
    """What one, two and three fused networks change, with 95 % intervals.

    Args:
        panels: title of a panel -> (what is fused, number of networks) -> effect.
        label: What is changed, with its unit.

    Returns:
        The figure: one panel beside the other on one axis, a colour and a marker for
        each reading, filled where the effect is significant; effects too small to be
        of interest are on a gray band.
    """
    figure, axes = _panels([*panels], label)
    found = [one for panel in panels.values() for one in panel.values()]
    small = max((one.contrast.smallest_effect for one in found), default=0)
    readings = list(dict.fromkeys(of for panel in panels.values() for of, _ in panel))
    for axis, panel in zip(axes, panels.values(), strict=True):
        axis.axhspan(-small, small, color=INK, alpha=0.1, linewidth=0)
        axis.axhline(0, color=INK, linewidth=0.8)
        for (reading, count), one in panel.items():
            _upright_effect(axis, readings.index(reading), reading, count, one)
        axis.set(xlim=(0.5, 3.5), xticks=(1, 2, 3), xlabel="networks")
    _legend_above(figure)
    return figure


def _panels(titles: Sequence[str], label: str) -> tuple[Figure, Sequence[Axes]]:
    """Panels beside each other on one vertical axis, with its label."""
    figure, axes = plt.subplots(
        1, len(titles), figsize=(8, 3.4), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title)
        axis.grid(axis="y", alpha=0.3)
    axes[0, 0].set_ylabel(label)
    return figure, axes[0]


def _legend_above(figure: Figure) -> None:
    """The labels of the first panel, each once, above all panels."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))
    figure.legend(
        shown.values(), shown, frameon=False, loc="outside upper center", ncols=4
    )


def _upright_effect(
    axis: Axes, place: int, reading: str, count: int, one: Result
) -> None:
    """One effect over the number of networks; readings stand beside each other."""
    x, mean = count + 0.18 * (place - 1), one.effect.mean
    ends = [mean - one.effect.ci_low], [one.effect.ci_high - mean]
    axis.errorbar(
        x, mean, yerr=ends, fmt=MARKERS[place], color=OKABE_ITO[place], label=reading,
        markerfacecolor=None if one.sign else WHITE, capsize=2,
    )  # fmt: skip


def removed_by_fifths(
    panels: Mapping[str, Mapping[str, Sequence[Estimate]]],
) -> Figure:
    """How much of the mean-image loss is removed, from similar to other images.

    Args:
        panels: title of a panel -> model -> fraction in each fifth of the images.

    Returns:
        The figure, in percent, with 95 % intervals.
    """
    figure, axes = _panels([*panels], "mean-image loss removed, %")
    for axis, models in zip(axes, panels.values(), strict=True):
        looks = zip(OKABE_ITO, MARKERS, models.items(), strict=False)
        for place, (colour, marker, (model, fifths)) in enumerate(looks):
            mean = 100 * np.array([one.mean for one in fifths])
            ends = 100 * np.array([(one.ci_low, one.ci_high) for one in fifths]).T
            x = np.arange(1, len(fifths) + 1) + 0.08 * (place - 1.5)
            axis.errorbar(
                x, mean, yerr=abs(ends - mean), marker=marker, color=colour,
                capsize=2, label=model,
            )  # fmt: skip
        axis.set_xlabel("fifth, most similar images first")
        axis.set_xticks(range(1, 1 + max(map(len, models.values()))))
    _legend_above(figure)
    return figure
