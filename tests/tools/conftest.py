"""A handful of small photographs, packed as those of the bundled model are."""

import pytest
from photo_files import photograph

from tools import bundled_data
from tools.bundled_data import PhotographSet

SMALL = PhotographSet("mini-imagenet", "mini-imagenet", 40, test=4, validation=4)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Two classes of eight; one photograph twice, one gray, one broken.

    The files are in `data` beside it.
    """
    base = tmp_path_factory.mktemp("bundled")
    root, out = base / "data/mini-imagenet/train", base / "packed"
    for seed in range(16):
        folder = root / f"n{seed % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        photograph(seed).save(folder / f"{seed:02}.jpg", quality=95)
    photograph(0).save(root / "n0/zz.jpg", quality=95)
    photograph(99).convert("L").save(root / "n0/gray.jpg")
    (root / "n1/broken.jpg").write_bytes(b"no photograph")
    out.mkdir()
    bundled_data.pack(SMALL, base / "data", out)
    return out
