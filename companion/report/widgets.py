"""Pieces of a page that a reader can move: plain HTML, no library, no server.

Each of them is a `Widget`: the last line of a notebook's cell shows it, in JupyterLab,
in VS Code, in Colab, and in the book. Without JavaScript, and in print, it shows its
pictures side by side. What moves it is `book/static/widgets.js`, which a widget brings
with it into a notebook, and which the book holds once.
"""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from colorlib.bins import annealed_mean, bin_centres
from colorlib.color import images_to_float, lab_to_rgb, rgb_to_lab
from companion.photographs import PHOTOGRAPHS, coloured, square

STATIC = Path(__file__).parents[2] / "book/static"
SHARED = "colorlib-shared"  # the class of what the book takes out of each output
REACH = 16.0  # logits: what is further below the best has a probability near 0
Picture = Tensor | NDArray[np.uint8]  # rgb (3, H, W) in [0, 1], or (H, W, 3) of bytes
Place = tuple[float, float]
MIDDLE = (0.5, 0.5)
TEMPERATURES = (1.0, 0.38, 0.02)  # shown where nothing moves


@dataclass(frozen=True)
class Widget:
    """A piece of a page.

    Attributes:
        html: The piece alone; a notebook gets it with the style and script it needs.
    """

    html: str

    def _repr_html_(self) -> str:
        style = (STATIC / "widgets.css").read_text(encoding="utf-8")
        script = (STATIC / "widgets.js").read_text(encoding="utf-8")
        return (
            f'<style class="{SHARED}">{style}</style>{self.html}'
            f'<script class="{SHARED}">{script}</script>'
        )


class Pair(NamedTuple):
    """A question of `real_or_coloured`.

    Attributes:
        real: rgb (3, H, W) in [0, 1].
        coloured: The same picture, coloured by a model; of the same size.
        why: A sentence that explains the answer.
        model: What coloured it.
    """

    real: Tensor
    coloured: Tensor
    why: str
    model: str


def before_after(pictures: Mapping[str, Picture], alt: str) -> Widget:
    """Two of several pictures over each other, with a divider to drag on them.

    Args:
        pictures: Name -> rgb (3, H, W) in [0, 1], or (H, W, 3) uint8; two or three of
            one size, such as gray, coloured, ground truth.
        alt: What they show, for those who do not see them.

    Raises:
        ValueError: If the pictures are not two or three of one size.

    Example:
        >>> gray, red = torch.full((3, 4, 4), 0.5), torch.ones(3, 4, 4)
        >>> before_after({"gray": gray, "red": red}, "a square").html.count("<img")
        2
    """
    sizes = {tuple(rgb.shape) for rgb in pictures.values()}
    if len(pictures) not in (2, 3) or len(sizes) != 1:
        raise ValueError(
            f"found {len(pictures)} pictures of {sorted(sizes)}, expected two or three "
            "of one size: they are laid over each other"
        )
    figures = "".join(_figure(rgb, alt, name) for name, rgb in pictures.items())
    return _widget("before-after", figures, label=alt)


def prediction_and_truth(name: str, predictions: Mapping[str, NDArray[Any]]) -> Widget:
    """One of the book's photographs: gray, coloured by Model 3, ground truth.

    Args:
        name: Of the photograph.
        predictions: Condition -> chroma of all photographs, as `kept_predictions()`
            gives it; if it does not hold `maps`, that is left out.

    Example:
        >>> prediction_and_truth("cat", {}).html.count("<img")
        2
    """
    chroma = {"gray": np.zeros((2, 8, 8))}
    if "maps" in predictions:
        chroma["coloured"] = predictions["maps"][PHOTOGRAPHS.index(name)]
    pictures = {title: coloured(name, ab, 300) for title, ab in chroma.items()}
    return before_after(pictures | {"ground truth": square(name, 300)}, name)


def fused_networks(predictions: Mapping[str, NDArray[Any]], side: int = 160) -> Widget:
    """The book's photographs, coloured with maps of 0 to 3 networks fused: a switch.

    Args:
        predictions: Condition -> chroma of all photographs, (P, 2, s, s) Lab units, as
            `kept_predictions()` gives it. A condition that is missing is left out.
        side: Of the photographs, pixels.

    Example:
        >>> nothing = np.zeros((5, 2, 8, 8))
        >>> widget = fused_networks({"none": nothing, "maps": nothing}, side=16)
        >>> widget.html.count("<section")  # 0 and 3 networks, and ground truth
        3
    """
    conditions = ("none", "maps, one", "maps, two", "maps")
    states = {
        f"{count} network{'s' * (count != 1)}": [
            coloured(name, ab, side)
            for name, ab in zip(PHOTOGRAPHS, predictions[condition], strict=True)
        ]
        for count, condition in enumerate(conditions)
        if condition in predictions
    }
    states["ground truth"] = [square(name, side) for name in PHOTOGRAPHS]
    return _one_of(states, [n.replace("_", " ") for n in PHOTOGRAPHS], "Fused")


def _one_of(
    states: Mapping[str, Sequence[Picture]], alts: Sequence[str], label: str
) -> Widget:
    """Rows of pictures, name -> one row, of which a switch shows one."""
    rows = []
    for name, pictures in states.items():
        described = zip(pictures, alts, strict=True)
        images = "".join(_image(rgb, f"{alt}, {name}") for rgb, alt in described)
        heading = f"<p>{html.escape(name)}</p>"
        rows.append(f"<section {_data(name=name)}>{heading}{images}</section>")
    return _widget("one-of", "".join(rows), label=label)


def temperature_slider(
    L: Tensor, logits: Tensor, alt: str, place: Place = MIDDLE
) -> Widget:
    """A photograph in colours decoded at a temperature of choice.

    A place can be chosen, too: the distribution over the bins is drawn for it.

    Args:
        L: (1, H, W) in [0, 100], the photograph's lightness.
        logits: (Q, h, w), in the order of `bin_centres()`; 16 x 16 is enough.
        alt: What it shows, for those who do not see it.
        place: Where it begins, from 0 to 1 across and down.

    Example:
        >>> widget = temperature_slider(torch.rand(1, 8, 8), torch.rand(261, 2, 2), "a")
        >>> widget.html.count("<img")  # gray, and at three temperatures
        4
    """
    depths = logits.amax(dim=0) - logits  # (Q, h, w), 0 for the best bin
    steps = (255 * (depths.clamp(max=REACH) / REACH).sqrt()).round().byte()
    seen = {"gray": torch.zeros(2, *logits.shape[1:])}  # (2, h, w)
    for T in TEMPERATURES:
        seen[f"temperature {T:g}"] = annealed_mean(logits[None], bin_centres(), T)[0]
    figures = "".join(_figure(_joined(L, ab), alt, name) for name, ab in seen.items())
    return _widget(
        "temperature",
        figures,
        label=alt,
        place=_given(place),
        shape=_given(logits.shape[1:]),
        reach=f"{REACH:g}",
        centres=json.dumps(bin_centres().int().tolist(), separators=(",", ":")),
        scores=base64.b64encode(steps.movedim(0, -1).numpy().tobytes()).decode(),
    )


def ambiguity_picker(photograph: Picture, alt: str, place: Place = MIDDLE) -> Widget:
    """A photograph to repaint: all colours of the lightness of a pixel of choice.

    Args:
        photograph: rgb (3, H, W) in [0, 1], or (H, W, 3) uint8; 240 px are enough.
        alt: What it shows, for those who do not see it.
        place: Of the first pixel, from 0 to 1 across and down.

    Example:
        >>> ambiguity_picker(torch.rand(3, 8, 8), "a cat").html.count("<img")
        2
    """
    rgb = _as_rgb(photograph)
    gray = lab_to_rgb(torch.cat([rgb_to_lab(rgb)[:1], torch.zeros_like(rgb[:2])]))
    figures = _figure(rgb, alt, "in colour") + _figure(gray, alt, "in gray")
    return _widget("ambiguity", figures, label=alt, place=_given(place))


def real_or_coloured(pairs: Sequence[Pair], real_first: Sequence[bool]) -> Widget:
    """A test of the reader: which of two pictures has its true colours?

    Args:
        pairs: One for each question; pictures are shown in their own size.
        real_first: For each whether the real one stands first.

    Returns:
        In the end it says how often each model was taken for real. Without JavaScript
        the answers are folded below the pairs.

    Raises:
        ValueError: If there are not as many places as pairs.

    Example:
        >>> pair = Pair(torch.ones(3, 4, 4), torch.zeros(3, 4, 4), "It is white.", "A")
        >>> "The second one has its true colours." in real_or_coloured([pair], [0]).html
        True
    """
    if len(pairs) != len(real_first):
        raise ValueError(
            f"found {len(pairs)} pairs and {len(real_first)} places, expected as many"
        )
    asked = zip(pairs, real_first, strict=True)
    questions = [_question(i, *one) for i, one in enumerate(asked, start=1)]
    return _widget("real-or-coloured", "".join(questions))


def _question(number: int, pair: Pair, first: bool) -> str:
    """One pair; nothing but `data-right` and the folded answer gives it away."""
    shown = (pair.real, pair.coloured) if first else (pair.coloured, pair.real)
    figures = "".join(
        f"<figure>{_image(rgb, f'question {number}, {place} picture')}"
        f"<figcaption>{place}</figcaption></figure>"
        for rgb, place in zip(shown, ("first", "second"), strict=True)
    )
    right = "first" if first else "second"
    why = html.escape(f"The {right} one has its true colours. {pair.why}")
    answer = f"<details><summary>Answer</summary><p>{why}</p></details>"
    return (
        f"<section {_data(right=right, model=pair.model)}>{figures}{answer}</section>"
    )


def _joined(L: Tensor, ab: Tensor) -> Tensor:
    """Lightness (1, H, W) and a small grid of chroma (2, h, w) -> rgb (3, H, W)."""
    size = L.shape[1:]
    large = torch.nn.functional.interpolate(ab[None], tuple(size), mode="bilinear")
    return lab_to_rgb(torch.cat([L, large[0]]))


def _widget(kind: str, content: str, **data: str) -> Widget:
    """An element that `widgets.js` knows, with its data and its pictures."""
    return Widget(f"<colorlib-{kind} {_data(**data)}>{content}</colorlib-{kind}>")


def _as_rgb(picture: Picture) -> Tensor:
    """A picture as rgb (3, H, W) in [0, 1]."""
    if isinstance(picture, Tensor):
        return picture
    return images_to_float(torch.from_numpy(picture.copy())[None])[0]


def _given(numbers: Sequence[float]) -> str:
    """Numbers as an attribute."""
    return ",".join(map(str, numbers))


def _data(**values: str) -> str:
    """Attributes `data-...` of an element."""
    return " ".join(f'data-{k}="{html.escape(v)}"' for k, v in values.items())


def _figure(picture: Picture, alt: str, name: str) -> str:
    """A picture with its name below it."""
    caption = f"<figcaption>{html.escape(name)}</figcaption>"
    return f"<figure>{_image(picture, f'{alt}, {name}')}{caption}</figure>"


def _image(picture: Picture, alt: str) -> str:
    """An `img` that carries its own pixels, nearly without loss."""
    rgb = _as_rgb(picture).detach().cpu()
    pixels = (rgb * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        file, "JPEG", quality=90, subsampling=0
    )
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/jpeg;base64,{data}">'
