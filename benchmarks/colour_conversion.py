"""Colour conversion: a batch in torch, beside scikit-image one by one."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from skimage import color

from benchmarks.measuring import profile_of, race
from benchmarks.records import OURS, REFERENCE, Bar, Measurement
from benchmarks.workload import Workload
from colorlib.color import images_to_float, lab_to_rgb, rgb_to_lab

ArrayConversion = Callable[[NDArray[np.float32]], NDArray[np.float32]]
COMPILED = "compiled"
OBSTACLES = {
    OURS: "one operation after the other, each a pass over memory that the system has "
    "to hand out, see below",
    COMPILED: "one pass over memory; what remains is to compute powers, two of each "
    "value on the way to Lab and one on the way back",
}


def colour(workload: Workload) -> Iterator[Measurement]:
    """RGB to Lab and back, float32, in batches of a quarter of a million pixels."""
    for size, count in ((32, 8),) if workload.quick else ((64, 64), (256, 8)):
        rgb = images_to_float(workload.batch(count, size).images)  # (N, 3, S, S)
        lab = rgb_to_lab(rgb)
        for way, ours, theirs, images in (
            ("RGB to Lab", rgb_to_lab, color.rgb2lab, rgb),
            ("Lab to RGB", lab_to_rgb, color.lab2rgb, lab),
        ):
            arrays = images.permute(0, 2, 3, 1).contiguous().numpy()  # (N, S, S, 3)
            candidates = {
                OURS: partial(ours, images),
                REFERENCE: partial(one_by_one, theirs, arrays),
            }
            if not workload.quick:  # compilation alone takes half a minute
                candidates[COMPILED] = partial(
                    torch.compile(ours, dynamic=False), images
                )
            seconds = race(candidates, 3 * workload.rounds)
            profile = profile_of(candidates[OURS])
            yield conversion(f"{way}, {size} px", count, seconds, OURS, profile)
            if COMPILED in seconds:
                case = f"{way}, compiled, {size} px"
                yield conversion(case, count, seconds, COMPILED)


def one_by_one(
    convert: ArrayConversion, images: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Convert (N, S, S, 3) image after image."""
    return np.stack([convert(image) for image in images])


def conversion(
    case: str,
    count: int,
    seconds: Mapping[str, list[float]],
    candidate: str,
    profile: dict[str, float] | None = None,
) -> Measurement:
    """One of the candidates beside the reference."""
    return Measurement(
        benchmark="colour",
        case=case,
        reference="scikit-image, one by one",
        images={OURS: count, REFERENCE: count},
        seconds={OURS: seconds[candidate], REFERENCE: seconds[REFERENCE]},
        profile=profile or {},
        bars=(Bar(quantity="ratio", at_least=10, obstacle=OBSTACLES[candidate]),),
    )
