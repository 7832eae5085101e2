"""Run the primary ablation at full width on a GPU within a time limit.

    python -m tools.gpu_grid pack ../photographs ../weights FOLDER
    python -m tools.gpu_grid run FOLDER OUT --minutes 10
    python -m tools.gpu_grid run FOLDER OUT --minutes 10 --rehearse

`pack` writes the photographs that the protocol draws, and the weights of the networks
that are fused, as archives below 60 MiB: they may have to travel one by one. `run`
unpacks them, computes features once, then runs the conditions of `fusion` until the
time is up, the most informative first: seed by seed, ImageNet before LFW, 64 px before
128 px. `--rehearse` does the same on the CPU, tiny.
"""

import argparse
import logging
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from colorlib.backbones.specs import SPECS
from colorlib.errors import UserError
from companion.config import RunConfig
from companion.datasets import find_source
from companion.pipeline import Folders, run_and_record
from companion.studies import Run, plan

PARCEL_BYTES = 60 * 2**20
SIZES = (64, 128)  # pixels, in this order
MARGIN = 1.5  # a run is begun if so many times the longest one so far still fits


def pack(data_root: Path, weights_root: Path, folder: Path) -> None:
    """Write photographs and weights as tar archives, each below the limit."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = _Parcels(folder)
    configs = {run.data: run.config for run in plan("fusion", "protocol")}
    for data, config in configs.items():
        source = find_source(config.data, data_root, folder / "cache")
        root = _root_of(data, data_root)
        for name in source.ids:
            writer.add(root / name, f"data/{data}/{name}")
    networks = {
        name
        for run in plan("fusion", "protocol")
        for name in run.config.model.backbones
    }
    for name in sorted(networks | {configs["imagenet"].judge or ""} - {""}):
        file = SPECS[name].weights_file
        writer.add(weights_root / file, f"weights/{file}")
    writer.close()


class _Parcels:
    """Tar archives in a folder, a new one whenever the limit is reached."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count, self.bytes = folder, 0, PARCEL_BYTES
        self.tar: tarfile.TarFile | None = None

    def add(self, path: Path, name: str) -> None:
        """Add a file."""
        size = path.stat().st_size
        if self.bytes + size > PARCEL_BYTES:
            self.close()
            path_of_tar = self.folder / f"parcel-{self.count:02d}.tar"
            self.tar = tarfile.open(path_of_tar, "w")  # noqa: SIM115  # closed in `close`
            self.count, self.bytes = self.count + 1, 0
        assert self.tar is not None
        self.tar.add(path, name)
        self.bytes += size + 1024  # with its header

    def close(self) -> None:
        """Finish the archive."""
        if self.tar is not None:
            self.tar.close()


def _root_of(data: str, data_root: Path) -> Path:
    """The folder that the ids of a data set start from."""
    names = {
        "imagenet": ("imagenet", "mini-imagenet"),
        "lfw": ("lfw-deepfunneled", "lfw"),
    }
    for name in names[data]:
        if (data_root / name).is_dir():
            return data_root / name
    raise UserError(f"{data_root}: found no unpacked folder of {data}, expected one")


def run(folder: Path, out: Path, minutes: float, rehearse: bool) -> None:
    """Unpack the parcels, and run what the time allows."""
    end = time.monotonic() + 60 * minutes
    for parcel in sorted(folder.glob("parcel-*.tar")):
        with tarfile.open(parcel) as tar:
            tar.extractall(folder, filter="data")
    folders = Folders(
        folder / "data", folder / "weights", folder / "cache", out / "runs"
    )
    torch.set_float32_matmul_precision("high")
    longest = 0.0
    for planned in ordered_runs(rehearse):
        if time.monotonic() + MARGIN * longest > end:
            break
        start = time.monotonic()
        try:
            run_and_record(planned.config, folders, out / "records")
        except (UserError, RuntimeError) as error:  # the next one may still do
            logging.error("%s: %s", planned.name, error)
            continue
        longest = max(longest, time.monotonic() - start)


def ordered_runs(rehearse: bool) -> list[Run]:
    """The grid at full width: size by size, data set by data set, seed by seed."""
    runs = []
    for size in SIZES:
        for one in plan("fusion", "smoke" if rehearse else "protocol"):
            runs.append(replace(one, config=_wide(one.config, size, rehearse)))
    return runs


def _wide(config: RunConfig, size: int, rehearse: bool) -> RunConfig:
    """The settings at the published width, on the GPU."""
    accelerator = "cpu" if rehearse else "cuda"
    return config.model_copy(
        update={
            "data": replace(config.data, size=size // 2 if rehearse else size),
            "model": replace(config.model, width=0.125 if rehearse else 1.0),
            "train": replace(config.train, accelerator=accelerator),
        }
    )


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack")
    for name in ("data_root", "weights_root", "folder"):
        packing.add_argument(name, type=Path)
    running = commands.add_parser("run")
    for name in ("folder", "out"):
        running.add_argument(name, type=Path)
    running.add_argument("--minutes", type=float, required=True)
    running.add_argument("--rehearse", action="store_true")
    given = parser.parse_args()
    if given.command == "pack":
        pack(given.data_root, given.weights_root, given.folder)
    else:
        run(given.folder, given.out, given.minutes, given.rehearse)


if __name__ == "__main__":
    main()
