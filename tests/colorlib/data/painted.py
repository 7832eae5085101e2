"""What the synthetic scenes look like, small: written once, compared ever since.

    python tests/colorlib/data/painted.py

writes `scenes.png` anew. Do so only where scenes are meant to look different, and raise
SCENES_VERSION with it.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from colorlib.scenes import render_scenes
from companion.provenance import current_commit

PAINTED = Path(__file__).with_name("scenes.png")
COUNT, SIZE, BLOCK = 12, 64, 4  # enough for everything that a scene may hold


def small_scenes():
    """Some scenes side by side, each pixel the mean of a block: (16, 192, 3) uint8."""
    scenes = render_scenes(COUNT, SIZE, seed=5)
    side = SIZE // BLOCK
    cells = scenes.reshape(COUNT, side, BLOCK, side, BLOCK, 3).mean(axis=(2, 4))
    return np.concatenate(cells.round().astype(np.uint8), axis=1)


if __name__ == "__main__":
    made = PngInfo()
    made.add_text("Software", f"{Path(__file__).name}, {current_commit()}")
    Image.fromarray(small_scenes()).save(PAINTED, pnginfo=made)
