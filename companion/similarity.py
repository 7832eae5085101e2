"""Are test images that resemble a training image coloured better?

The paper says so: "If the input images are very similar, the results obtained are very
satisfactory. However, the model does not have accurate results for the nonsimilar
images" (Section 4.2). Records hold the loss of every test image, but not the images.
How far each is from its nearest training image is therefore kept beside them, by
`tools/keep_nearest.py`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colorlib import stats
from colorlib.errors import UserError
from companion.comparisons import REFERENCE, Runs, fraction_removed
from companion.records import RESULTS

NEAREST = "nearest.npz"  # beside the records
MEASURES = ("class scores", "gray image")
COLOUR = "mean colour"  # the key of what class scores say of it
FIFTHS = 5  # of the test images, the most similar first

Distances = dict[tuple[str, str, str], NDArray[np.float32]]


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
                    f"{record.name}, expected the same; run tools.keep_nearest again"
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
    both = (condition, REFERENCE)
    own = {key: of for key, of in runs.items() if key[1] in both}
    removed: dict[tuple[str, str], list[stats.Estimate]] = {}
    for (data, test, by), far in distances.items():
        parts = np.array_split(np.argsort(far, kind="stable"), FIFTHS)
        for part in parts if by == measure else ():
            found = fraction_removed(own, {(data, test): part})
            if (data, test, condition) in found:
                removed.setdefault((data, test), []).append(
                    found[data, test, condition]
                )
    return removed
