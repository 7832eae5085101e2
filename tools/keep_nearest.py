"""Compute and store the distance of each test image to its nearest training image.

    python -m tools.keep_nearest --data-root ../photographs --weights-root ../weights

Written beside the records, where `companion.similarity` finds it.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from colorlib.cli import run_app
from colorlib.color import images_to_float, lightness, rgb_to_lab
from colorlib.errors import UserError
from colorlib.features import Features
from companion.builders import Data, Folders, load_backbones, setup_data, setup_features
from companion.records import RESULTS
from companion.similarity import COLOUR, MEASURES, NEAREST, kept_arrays
from companion.studies import Run, plan
from tools.keep_photographs import write_arrays

DIRECTIONS = 50  # of class scores, those in which they vary most
GRID = 16  # pixels of the gray image's side: composition, not detail
BLOCK = 512  # images at a time

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def keep(
    profile: Annotated[str, typer.Option(help="Whose grid has the data set.")] = (
        "protocol"
    ),
    data: Annotated[str, typer.Option(help="A data set of the grid.")] = "imagenet",
    data_root: Annotated[Path | None, typer.Option()] = None,
    weights_root: Annotated[Path | None, typer.Option()] = None,
    cache_root: Annotated[Path, typer.Option()] = Folders.cache,
    results_root: Annotated[Path, typer.Option(help="Where it is kept.")] = RESULTS,
) -> None:
    """Store the distance of each test image to its nearest training image."""
    runs = {(run.data, run.condition): run for run in plan("fusion", profile)}
    if (data, "logits") not in runs:
        known = ", ".join(sorted({name for name, _ in runs}))
        raise UserError(f"found data set {data!r}, expected one of {known}")
    folders = Folders(data=data_root, weights=weights_root, cache=cache_root)
    arrays = compute_nearest(runs[data, "logits"], folders)
    write_arrays({**kept_arrays(results_root), **arrays}, results_root / NEAREST)
    typer.echo(f"distances to the nearest training image: {results_root / NEAREST}")


@torch.inference_mode()
def compute_nearest(run: Run, folders: Folders) -> dict[str, Any]:
    """How far each test image is from its nearest training image.

    Args:
        run: One that fuses class scores: its data set and its networks are used.
        folders: Where these are.

    Returns:
        Arrays of `nearest.npz`: `data/test set/measure` -> (N,), in the order of the
        records' scores. For `class scores`, 1 - cosine of the networks' average
        standardised logits; for `gray image`, the RMS difference of L at 16 px. And
        `data/test set/mean colour`, see `colour_from_scores`.
    """
    data = setup_data(run.config, folders)
    backbones = load_backbones(run.config, folders)
    features = setup_features(run.config, data, backbones, folders)
    assert features is not None
    arrays: dict[str, Any] = {}
    for measure in MEASURES:
        places = _placed(measure, data, features)
        train = places[data.split.train]  # (M, D)
        for test, indices in data.split.tests.items():
            parts = torch.split(places[indices], BLOCK)
            far = torch.cat([torch.cdist(part, train).amin(1) for part in parts])
            # Of unit vectors, the squared distance is twice 1 - cosine.
            kept = far**2 / 2 if measure == "class scores" else far
            arrays[f"{run.data}/{test}/{measure}"] = kept.numpy().astype(np.float16)
    for test, rmse in colour_from_scores(data, features).items():
        arrays[f"{run.data}/{test}/{COLOUR}"] = rmse
    origin = [data.packed.manifest.manifest_hash, data.split.hash]
    return {**arrays, f"{run.data}/origin": json.dumps(origin)}


def _placed(measure: str, data: Data, features: Features) -> Tensor:
    """Each image as a point, (N, D); distance is dissimilarity."""
    parts = _blocks(data)
    if measure == "gray image":
        images = data.packed.images
        grays = [lightness(torch.from_numpy(images[part])) for part in parts]
        small = [F.adaptive_avg_pool2d(gray, GRID).flatten(1) for gray in grays]
        return torch.cat(small) / GRID  # RMS: the root of D = GRID² is divided out
    mean, std = features.statistics(data.split.train)
    logits = [(features.take(part) - mean[:, None]) / std[:, None] for part in parts]
    averaged = torch.cat([of.mean(1) for of in logits])  # (N, 1000)
    return F.normalize(averaged, dim=1)


def _blocks(data: Data) -> list[NDArray[np.int64]]:
    """Indices of all images, some at a time."""
    count = len(data.packed)
    return np.array_split(np.arange(count), count // BLOCK + 1)


def colour_from_scores(data: Data, features: Features) -> dict[str, NDArray[Any]]:
    """How well class scores tell the mean colour of an image, by linear regression.

    The two numbers, mean a and mean b, are predicted from the 50 directions in which
    the average standardised logits vary most; both are fitted to the training images.

    Returns:
        Test set -> RMSE of a constant, the training mean, and of the regression, in
        Lab units.
    """
    scores = _placed("class scores", data, features).numpy()  # (N, 1000)
    images = [torch.from_numpy(data.packed.images[part]) for part in _blocks(data)]
    colours = [rgb_to_lab(images_to_float(of))[:, 1:].mean((2, 3)) for of in images]
    mean_ab, train = torch.cat(colours).numpy(), data.split.train  # (N, 2)
    center, average = scores[train].mean(0), mean_ab[train].mean(0)
    step = max(1, len(train) // (40 * DIRECTIONS))  # images lie class by class
    some = scores[train][::step] - center
    axes = np.linalg.svd(some, full_matrices=False)[2][:DIRECTIONS]
    inputs = (scores - center) @ axes.T
    fit, *_ = np.linalg.lstsq(inputs[train], mean_ab[train] - average, rcond=None)
    off = {"constant": average - mean_ab, "scores": inputs @ fit + average - mean_ab}
    return {
        test: np.array([np.sqrt(np.square(of[part]).mean()) for of in off.values()])
        for test, part in data.split.tests.items()
    }


if __name__ == "__main__":
    run_app(app, "keep_nearest")
