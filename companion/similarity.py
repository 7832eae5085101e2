"""Is an image that resembles a training image coloured better? The paper says so.

"If the input images are very similar, the results obtained are very satisfactory.
However, the model does not have accurate results for the nonsimilar images" (Section
4.2). Records hold the loss of every test image, but not the images. How far each is
from its nearest training image is therefore kept beside them, by `companion nearest`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from colorlib import stats
from colorlib.color import images_to_float, lightness, rgb_to_lab
from colorlib.errors import UserError
from colorlib.features import Features
from companion.builders import Data, Folders, load_backbones, setup_data, setup_features
from companion.comparisons import BY_GROUP, LOSS, Runs
from companion.records import RESULTS, Record
from companion.studies import Run

NEAREST = "nearest.npz"  # beside the records
MEASURES = ("class scores", "gray image")
COLOUR = "mean colour"  # the key of what class scores say of it
DIRECTIONS = 50  # of class scores, those in which they vary most
PARTS = 5  # fifths of the test images, the most similar first
GRID = 16  # pixels of the gray image's side: composition, not detail
BLOCK = 512  # images at a time

Distances = dict[tuple[str, str, str], NDArray[np.float32]]


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
    some = scores[train][: 40 * DIRECTIONS] - center
    axes = np.linalg.svd(some, full_matrices=False)[2][:DIRECTIONS]
    inputs = (scores - center) @ axes.T
    fit, *_ = np.linalg.lstsq(inputs[train], mean_ab[train] - average, rcond=None)
    off = {"constant": average - mean_ab, "scores": inputs @ fit + average - mean_ab}
    return {
        test: np.array([np.sqrt(np.square(of[part]).mean()) for of in off.values()])
        for test, part in data.split.tests.items()
    }


def kept_arrays(results: Path = RESULTS) -> dict[str, Any]:
    """The arrays that are kept of all data sets; empty if there are none."""
    if not (results / NEAREST).exists():
        return {}
    with np.load(results / NEAREST) as kept:
        return dict(kept)


def kept_distances(runs: Runs, results: Path = RESULTS) -> Distances:
    """Read the distances that are kept of the images that the runs were tested on.

    Returns:
        (data set, test set, measure) -> (N,); empty if none are kept.

    Raises:
        UserError: If they are of other images than those of the records.
    """
    found = Distances()
    for key, values in kept_arrays(results).items():
        data, _, rest = key.partition("/")
        if rest == "origin":
            _check(data, json.loads(str(values)), runs)
        else:
            test, _, measure = rest.partition("/")
            if measure in MEASURES:
                found[data, test, measure] = values.astype(np.float32)
    return found


def _check(data: str, origin: list[str], runs: Runs) -> None:
    """Refuse distances of other images."""
    for (of, _), by_seed in runs.items():
        for record in filter(None, by_seed.values()):
            hashes = [record.data.manifest_hash, record.data.split_hash]
            if of == data and hashes != origin:
                raise UserError(
                    f"{NEAREST}: found distances of other {data} images than in record "
                    f"{record.name}, expected the same; `companion nearest` again"
                )


def removed_by_similarity(
    runs: Runs, distances: Distances, condition: str, measure: str
) -> dict[tuple[str, str], list[stats.Estimate]]:
    """The fraction of the mean-image loss removed, from similar to other images.

    Args:
        runs: Of each condition, `none` among them, which holds the mean-image loss.
        distances: Of `kept_distances`.
        condition: Whose errors, such as `maps`.
        measure: One of `MEASURES`.

    Returns:
        (data set, test set) -> the fraction in each fifth of its images, the most
        similar first, with its interval over images and seeds.
    """
    removed = {}
    for (data, test, by), far in distances.items():
        records = [r for r in runs.get((data, condition), {}).values() if r]
        naive = [r for r in runs.get((data, "none"), {}).values() if r]
        if by != measure or not records or not naive:
            continue
        loss = np.array([record.per_image[test][LOSS] for record in records])  # (S, N)
        whole = np.array(naive[0].per_image[test]["mean_image_loss"])  # (N,)
        groups = _groups(naive[0], data, test)
        removed[data, test] = [
            stats.ratio_interval(
                whole[part] - loss[:, part], whole[part],
                None if groups is None else [str(g) for g in groups[part]],
            )
            for part in _fifths(far)
        ]  # fmt: skip
    return removed


def _groups(record: Record, data: str, test: str) -> NDArray[np.int64] | None:
    """Each image's class or person, where these are the units."""
    return np.array(record.groups[test]) if (data, test) in BY_GROUP else None


def _fifths(far: NDArray[np.float32]) -> Iterator[NDArray[np.int64]]:
    """Indices of the images in each fifth, the most similar ones first."""
    yield from np.array_split(np.argsort(far, kind="stable"), PARTS)
