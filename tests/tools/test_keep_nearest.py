"""Distances to the nearest training image: by hand, and through the command."""

import numpy as np
import pytest
from skimage.color import rgb2lab
from skimage.transform import downscale_local_mean

from colorlib.cli import run_app
from companion import similarity
from companion.builders import Folders, setup_data
from companion.config import load_profile
from tools import keep_nearest


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The command's arrays, and where its caches are."""
    root = tmp_path_factory.mktemp("nearest")
    argv = ["keep_nearest", "--profile", "smoke", "--data", "scenes"]
    argv += ["--cache-root", str(root / "cache"), "--results-root", str(root)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.argv", argv)
        with pytest.raises(SystemExit, match="0"):
            run_app(keep_nearest.app)
    return similarity.kept_arrays(root), root


def test_the_gray_distance_is_that_of_scikit_images_lightness(kept):
    arrays, root = kept
    config = load_profile("smoke").run("plain")
    data = setup_data(config, Folders(cache=root / "cache"))
    side = config.data.size // keep_nearest.GRID
    points = np.array(
        [
            downscale_local_mean(rgb2lab(image)[..., 0], (side, side)).ravel()
            for image in data.packed.images
        ]
    )  # (N, 256)
    test, train = points[data.split.tests["test"]], points[data.split.train]
    rms = np.sqrt(((test[:, None] - train) ** 2).mean(-1)).min(1)
    np.testing.assert_allclose(arrays["scenes/test/gray image"], rms, atol=0.03)
