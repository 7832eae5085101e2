"""Photographs from files: decoded once and packed, or decoded in every epoch."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader

from benchmarks.measuring import race
from benchmarks.records import OURS, REFERENCE, Measurement
from benchmarks.reference.photographs import JpegDataset
from benchmarks.setting import PAPER_BATCH, Setting
from colorlib.color import images_to_float
from colorlib.data import PackedImages, open_source, pack
from colorlib.sampling import Samples, ShuffledBatches
from colorlib.targets import PAPER


def pack_afresh(folder: Path, size: int, cache: Path) -> PackedImages:
    """Pack a folder of photographs as if for the first time."""
    shutil.rmtree(cache / "packed", ignore_errors=True)
    return pack(open_source("folder", folder), size, cache, progress=False)


def data(setting: Setting) -> Iterator[Measurement]:
    """The first reading of some photographs, and every later one."""
    count, size = (8, 32) if setting.quick else (20, 64)
    paths = setting.jpegs(count)
    folder, cache = paths[0].parent, setting.folder / "cache"
    packed = pack_afresh(folder, size, cache)
    samples = Samples(packed.images, None, np.arange(len(packed.images)))
    decoded = DataLoader(JpegDataset(paths, size), PAPER_BATCH, shuffle=True)

    def later_epoch() -> None:
        for batch in ShuffledBatches(samples, PAPER_BATCH, seed=0):
            PAPER.split(images_to_float(batch.images))

    def reference() -> None:
        for _ in decoded:
            pass

    cases = {
        "decoding and packing": partial(pack_afresh, folder, size, cache),
        "a later epoch, to Lab": later_epoch,
    }
    for case, ours in cases.items():
        yield Measurement(
            benchmark="data",
            case=f"{case}, {size} px",
            reference="decoded and converted one by one",
            images={OURS: count, REFERENCE: count},
            seconds=race({OURS: ours, REFERENCE: reference}, setting.few_rounds),
        )
