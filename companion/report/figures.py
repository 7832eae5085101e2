"""Every picture of the book: the only module that draws.

Photographs are shown pixel by pixel, without smoothing, on a neutral background.
Colours of curves are from Okabe and Ito, which the colour-blind can tell apart.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.rcsetup import cycler
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from colorlib.backbones import NUM_CLASSES
from colorlib.model import ColorizationModel
from colorlib.stats import Estimate

INK, PAPER = "#222222", "#ffffff"
# Those of the eight that stand out from white; the others are too light for a line.
OKABE_ITO = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", INK]
MARKERS = "os^Dv"  # one a colour: nothing is told by colour alone
STYLE: dict[Any, Any] = {
    "figure.dpi": 110,
    "figure.facecolor": PAPER,
    "axes.prop_cycle": cycler(color=OKABE_ITO),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "font.size": 10,
    "image.interpolation": "nearest",
    "savefig.bbox": "tight",
}


def use_style() -> None:
    """Draw everything that follows in the book's style."""
    mpl.rcParams.update(STYLE)


def image_grid(
    rows: Sequence[Sequence[Tensor | NDArray[Any]]],
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    cell: float = 1.3,
) -> Figure:
    """Photographs in rows and columns.

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
        _title_beside(axis, title)
    return figure


def _displayable(image: Tensor | NDArray[Any]) -> NDArray[Any]:
    """(3, H, W), (1, H, W) or (H, W, 3) -> what `imshow` takes."""
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.dtype != np.uint8:
        array = np.moveaxis(array, 0, -1)  # (C, H, W) -> (H, W, C)
    return array.squeeze(-1) if array.shape[-1] == 1 else array


def _title_beside(axis: Axes, title: str) -> None:
    """A row's title, left of its first image."""
    axis.text(
        -0.06,
        0.5,
        title,
        transform=axis.transAxes,
        ha="right",
        va="center",
        rotation=90,
    )


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
    styles = {"train": ":", "validation": "-"}
    looks = zip(OKABE_ITO, MARKERS, strict=True)
    for (colour, marker), (model, parts) in zip(looks, curves.items(), strict=False):
        for part, losses in parts.items():
            epochs = np.arange(1, len(losses) + 1)
            axis.plot(
                epochs, losses, styles[part], marker=marker, markersize=3, color=colour,
                label=f"{model}, {part}",
            )  # fmt: skip
    axis.set(xlabel="epoch", ylabel="loss of Eq. 1, (ab/128)²")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    lines, labels = axis.get_legend_handles_labels()
    by_part = [*range(0, len(lines), 2), *range(1, len(lines), 2)]  # columns fill first
    figure.legend(
        [lines[i] for i in by_part], [labels[i] for i in by_part],
        frameon=False, loc="outside upper center", ncols=2,
    )  # fmt: skip
    return figure


def model_diagram(model: ColorizationModel, size: int = 256) -> Figure:
    """The paper's Figure 2, drawn from a model that exists.

    From the top down, in a column that a phone has room for; what the backbones say
    comes from beside. The shape below a stage's name is that of the tensor it
    returned for a gray image of `size` pixels, measured, not written down.

    Args:
        model: Any of `build_model`.
        size: Side of the gray image, pixels.

    Returns:
        The figure.
    """
    shapes = stage_shapes(model, size)
    wide = 4.6 if model.backbones else 2.0  # inches, as all lengths here
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
    if model.backbones:
        count = len(model.backbones)
        detail = f"mean of {count} x {NUM_CLASSES}"
        plural = "s" * (count > 1)
        encoder, fusion = places["encoder"], places["fusion"]
        _box(axis, beside, encoder, f"{count} backbone{plural}", "frozen", "frozen")
        _box(axis, beside, fusion, "class scores", detail, "data")
        _arrow(axis, (x + 0.85, places["L_norm"]), (beside, encoder + 0.34))
        _arrow(axis, (beside, encoder - 0.34), (beside, fusion + 0.34))
        _arrow(axis, (beside - 0.85, fusion), (x + 0.85, fusion))
    return figure


@torch.no_grad()
def stage_shapes(model: ColorizationModel, size: int) -> dict[str, tuple[int, ...]]:
    """Shapes (C, H, W) of what enters, what each stage returns, and what leaves.

    Args:
        model: Any of `build_model`.
        size: Side of the gray image, pixels.

    Returns:
        `L_norm`, `encoder`, `fusion`, `decoder` and `ab_norm` with their shapes.
    """
    shapes: dict[str, tuple[int, ...]] = {"L_norm": (1, size, size)}

    def note(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Tensor | list[Tensor]) -> None:
            last = output[-1] if isinstance(output, list) else output
            shapes[name] = tuple(last.shape[1:])

        return hook

    stages = {
        "encoder": model.encoder,
        "fusion": model.fusion,
        "decoder": model.decoder,
    }
    hooks = [stage.register_forward_hook(note(name)) for name, stage in stages.items()]
    told = model.config.feature_shape()
    features = torch.zeros(1, *told) if told else None
    ab_norm = model(torch.zeros(1, 1, size, size), features)
    for hook in hooks:
        hook.remove()
    return {**shapes, "ab_norm": tuple(ab_norm.shape[1:])}


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
    axis.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=INK)
    )


def forest(
    panels: Mapping[str, Mapping[str, Estimate]], label: str, irrelevant: float
) -> Figure:
    """Effects against a reference with their intervals, one group below the other.

    Args:
        panels: group -> condition -> effect.
        label: What differs, with its unit and the direction that is better.
        irrelevant: Effects between minus this and this are shaded: too small to matter.

    Returns:
        The figure: a dot and a bar per condition, on one axis for all groups.
    """
    rows = [len(effects) for effects in panels.values()]
    figure, axes = plt.subplots(
        len(panels), figsize=(6, 0.6 + 0.4 * len(panels) + 0.28 * sum(rows)),
        sharex=True, squeeze=False, height_ratios=rows, layout="constrained",
    )  # fmt: skip
    for axis, (group, effects) in zip(axes[:, 0], panels.items(), strict=True):
        axis.axvspan(-irrelevant, irrelevant, color=FILL["data"])
        axis.axvline(0, color=INK, linewidth=0.8)
        for place, one in enumerate(effects.values()):
            axis.plot((one.ci_low, one.ci_high), (place, place), color=OKABE_ITO[0])
            axis.plot(one.mean, place, "o", color=OKABE_ITO[0], markersize=5)
        axis.set_yticks(range(len(effects)), list(effects))
        axis.set_ylim(len(effects) - 0.5, -0.5)
        axis.set_title(group, loc="left")
    axes[-1, 0].set_xlabel(label)
    return figure


def score_bars(
    means: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
    label: str,
) -> Figure:
    """One metric of several methods, with the intervals of their means.

    Args:
        means: method -> mean over the test photographs.
        intervals: method -> (low, high) of that mean.
        label: The metric with its unit.

    Returns:
        The figure; trivial predictions and models on one axis.
    """
    figure, axis = plt.subplots(
        figsize=(6, 0.5 + 0.4 * len(means)), layout="constrained"
    )
    for place, (method, mean) in enumerate(means.items()):
        low, high = intervals[method]
        axis.errorbar(
            mean, place, xerr=[[mean - low], [high - mean]], fmt="o", capsize=3,
            color=OKABE_ITO[0],
        )  # fmt: skip
    axis.set_yticks(range(len(means)), list(means))
    axis.invert_yaxis()
    axis.set_xlabel(label)
    axis.grid(axis="x", alpha=0.3)
    return figure
