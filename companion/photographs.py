"""Photographs that come with packages: what classifiers see in them, and predictions.

The default book downloads nothing, so every real photograph in it is one of these five.
The pretrained networks and the models of the protocol are not on a reader's machine
either. What they compute of these photographs is therefore kept beside the records;
`tools.keep_photographs` computes it again::

    square(name) ─ classifiers ─► ClassScores ─► class_scores.npz
                └─ trained runs ─► predictions.npz ─ coloured(name, ab) ─► RGB
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from colorlib.color import AB_SCALE
from colorlib.colorize import gray_of, join_with_own_lightness
from colorlib.images import fit_square
from companion.records import RESULTS

Rgb = NDArray[np.uint8]

CREDITS = {  # name -> what it shows, whose it is; all may be used freely
    "astronaut": "Eileen Collins, NASA, public domain, from scikit-image",
    "cat": "Chelsea the cat, Stéfan van der Walt, CC0, from scikit-image",
    "coffee": "cup of coffee, Rachel Michetti, CC0, from scikit-image",
    "rocket": "launch of a Falcon 9, SpaceX, public domain, from scikit-image",
    "grace_hopper": "Grace Hopper, US Navy, public domain, from matplotlib",
}
PHOTOGRAPHS = tuple(CREDITS)
CLASSIFIERS = (  # those whose class scores the protocol fuses, in its order
    "tf_efficientnet_lite0.float_in1k",
    "mobilenetv1_100.tflite_in1k",
    "mobilenetv2_100.tflite_in1k",
)
VIEWS = {"colour": None, "gray": None, "gray, 64 px": 64}  # name -> side, if smaller
SCORES, PREDICTIONS = "class_scores.npz", "predictions.npz"  # beside the records


@cache
def photograph(name: str) -> Rgb:
    """Load one of `PHOTOGRAPHS`, (H, W, 3) uint8.

    Example:
        >>> photograph("coffee").shape
        (400, 600, 3)
    """
    if name == "grace_hopper":
        from matplotlib.cbook import get_sample_data

        path = str(get_sample_data("grace_hopper.jpg", asfileobj=False))
        return np.array(Image.open(path).convert("RGB"))
    from skimage import data

    return np.asarray(getattr(data, name)())


def square(name: str, side: int) -> Rgb:
    """The central square of a photograph at some size, (side, side, 3) uint8."""
    return fit_square(photograph(name), side)


def coloured(name: str, ab: NDArray[Any], side: int) -> Rgb:
    """Join predicted chroma with a photograph's own lightness.

    Args:
        name: Of the photograph.
        ab: (2, s, s), Lab units; of all of its square, on a small grid.
        side: Of the result, pixels.

    Returns:
        (side, side, 3) uint8; chroma is upsampled along the photograph's lightness.
    """
    rgb = square(name, side)
    ab_norm = torch.from_numpy(ab.astype(np.float32))[None] / AB_SCALE  # (1, 2, s, s)
    out = np.empty_like(rgb)
    join_with_own_lightness(rgb, gray_of(rgb), ab_norm, out)
    return out


# ---------------------------------------------------------------- what classifiers see


@dataclass(frozen=True)
class ClassScores:
    """Class scores of pretrained classifiers for the photographs.

    Attributes:
        logits: (P, V, K, 1000) float32: photograph, view, classifier, class.
        classifiers: Their names, K.
        weights: SHA-256 of their weights, K.
    """

    logits: NDArray[np.float32]
    classifiers: tuple[str, ...]
    weights: tuple[str, ...]

    def of(self, name: str, view: str) -> NDArray[np.float32]:
        """The logits of one photograph in one of `VIEWS`, (K, 1000)."""
        found: NDArray[np.float32] = self.logits[
            PHOTOGRAPHS.index(name), [*VIEWS].index(view)
        ]
        return found


def kept_class_scores(results: Path = RESULTS) -> ClassScores:
    """Read the class scores that the repository keeps.

    Example:
        >>> softmax = torch.tensor(kept_class_scores().of("cat", "gray")).softmax(-1)
        >>> [class_name(int(best)) for best in softmax.argmax(-1)]
        ['Egyptian cat', 'Egyptian cat', 'Egyptian cat']
    """
    with np.load(results / SCORES) as kept:
        origin = json.loads(str(kept["origin"]))
        logits = kept["logits"].astype(np.float32)
    return ClassScores(logits, tuple(origin), tuple(origin.values()))


@cache
def class_name(number: int) -> str:
    """The first name of a class of ImageNet-1k.

    Example:
        >>> class_name(285), class_name(281)
        ('Egyptian cat', 'tabby')
    """
    from timm.data.imagenet_info import ImageNetInfo

    return ImageNetInfo("imagenet-1k").index_to_description(number).split(",")[0]


# ----------------------------------------------------------------- what runs predict


def kept_predictions(results: Path = RESULTS) -> dict[str, NDArray[np.int8]]:
    """Read the chroma that trained runs predict, as far as the repository keeps it.

    Returns:
        condition, such as `maps` -> (P, 2, 64, 64), Lab units; empty if none is kept.
    """
    if not (results / PREDICTIONS).exists():
        return {}
    with np.load(results / PREDICTIONS) as kept:
        return {name: kept[name] for name in kept.files if name != "origin"}


def shown_models(results: Path = RESULTS) -> dict[str, NDArray[np.int8]]:
    """Title -> chroma of the photographs: without fusion, and the paper's Model 3."""
    kept = kept_predictions(results)
    titles = {"none": "no fusion", "maps": "Model 3"}
    return {title: kept[name] for name, title in titles.items() if name in kept}
