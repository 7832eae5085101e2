"""Images from files: decoded once and packed, or decoded in every epoch."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader

from benchmarks.measuring import race
from benchmarks.records import OURS, REFERENCE, Measurement
from benchmarks.reference.photographs import JpegDataset
from benchmarks.workload import PAPER_BATCH, Workload
from colorlib.color import images_to_float
from colorlib.data import DataConfig, ImageSource, PackedImages, open_source, pack
from colorlib.sampling import EpochLoader, Samples
from colorlib.targets import PAPER


def folder_source(folder: Path) -> ImageSource:
    """The images of a folder."""
    return open_source(DataConfig(dataset="folder"), folder)


def pack_afresh(folder: Path, size: int, cache: Path) -> PackedImages:
    """Pack a folder of images as if for the first time."""
    shutil.rmtree(cache / "packed", ignore_errors=True)
    return pack(folder_source(folder), size, cache)


def data(workload: Workload) -> Iterator[Measurement]:
    """The first reading of some images, and every later one."""
    count, size = (8, 32) if workload.quick else (20, 64)
    paths = workload.jpegs(count)
    folder, cache = paths[0].parent, workload.folder / "cache"
    packed = pack_afresh(folder, size, cache)
    samples = Samples(packed.images, None, np.arange(len(packed)))
    decoded = DataLoader(JpegDataset(paths, size), PAPER_BATCH, shuffle=True)

    def later_epoch() -> None:
        for batch in EpochLoader(samples, PAPER_BATCH, seed=0):
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
            seconds=race({OURS: ours, REFERENCE: reference}, workload.few_rounds),
        )
