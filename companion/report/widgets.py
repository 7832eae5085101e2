"""Pieces of a page that a reader can move: plain HTML, no library, no server.

Without JavaScript, and in print, each of them shows all it has side by side. What moves
them in the book is `book/static/widgets.js`.
"""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor


def before_after(
    before: Tensor, after: Tensor, names: tuple[str, str], alt: str
) -> str:
    """Two pictures over each other, with a slider that uncovers one or the other.

    Args:
        before: rgb (3, H, W) in [0, 1].
        after: Alike, of the same size.
        names: What the two are called.
        alt: What they show, for those who do not see them.

    Returns:
        HTML.

    Raises:
        ValueError: If the pictures are not of one size.

    Example:
        >>> import torch
        >>> gray, red = torch.full((3, 4, 4), 0.5), torch.ones(3, 4, 4)
        >>> before_after(gray, red, ("gray", "red"), "a square").count("<img")
        2
    """
    if before.shape != after.shape:
        raise ValueError(
            f"found pictures of {tuple(before.shape)} and {tuple(after.shape)}, "
            "expected one size: the slider lays them over each other"
        )
    figures = "".join(
        f"<figure>{_image(rgb, f'{alt}, {name}')}<figcaption>{html.escape(name)}"
        "</figcaption></figure>"
        for rgb, name in zip((before, after), names, strict=True)
    )
    label = html.escape(f"{names[0]} or {names[1]}: {alt}", quote=True)
    return f'<div class="before-after" data-label="{label}">{figures}</div>'


def real_or_coloured(
    pairs: Sequence[tuple[Tensor, Tensor, str]], real_first: Sequence[bool]
) -> str:
    """A test of the reader: which of two pictures has its true colours?

    Args:
        pairs: For each question the true picture and the coloured one, rgb (3, H, W)
            in [0, 1], and a sentence that explains the answer.
        real_first: For each whether the true one stands first.

    Returns:
        HTML. Without JavaScript the answers are folded below the pairs.

    Raises:
        ValueError: If there are not as many places as pairs.
    """
    if len(pairs) != len(real_first):
        raise ValueError(
            f"found {len(pairs)} pairs and {len(real_first)} places, expected as many"
        )
    questions = []
    for number, ((real, coloured, why), first) in enumerate(
        zip(pairs, real_first, strict=True), start=1
    ):
        shown = (real, coloured) if first else (coloured, real)
        images = "".join(
            f"<figure>{_image(rgb, f'question {number}, {place} picture')}"
            f"<figcaption>{place}</figcaption></figure>"
            for rgb, place in zip(shown, ("first", "second"), strict=True)
        )
        right = "first" if first else "second"
        questions.append(
            f'<section data-right="{right}">{images}<details><summary>Answer</summary>'
            f"<p>The {right} one has its true colours. {html.escape(why)}</p>"
            "</details></section>"
        )
    return f'<div class="real-or-coloured">{"".join(questions)}</div>'


def _image(rgb: Tensor, alt: str) -> str:
    """An `img` that carries its own pixels, 8 bits, without loss."""
    pixels = (rgb.detach().cpu() * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    return (
        f'<img alt="{html.escape(alt, quote=True)}" src="data:image/png;base64,{data}">'
    )
