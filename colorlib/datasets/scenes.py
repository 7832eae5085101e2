"""Placeholder while the landscapes are being drawn."""

import numpy as np
from numpy.typing import NDArray

SCENES_VERSION = 1


def render_scenes(
    count: int, size: int, seed: int = 0, first: int = 0
) -> NDArray[np.uint8]:
    """Noise."""
    shape = (count, size, size, 3)
    return np.random.default_rng((seed, first)).integers(0, 256, shape, np.uint8)
