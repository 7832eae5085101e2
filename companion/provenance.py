"""Where a number comes from: what went into a run, where it ran, at which commit."""

import importlib.metadata
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from colorlib.backbones import Backbone, BackboneRecord
from colorlib.files import hash_of
from companion.builders import Data
from companion.code_hash import ROOT, modules_hash
from companion.config import RunConfig
from companion.records import DataRecord, Hardware

PACKAGES = ("torch", "torchvision", "timm", "lightning", "numpy", "pyvips")
NUMERICS = (  # the code that the numbers of a run depend on
    "colorlib.color",
    "colorlib.bins",
    "colorlib.targets",
    "colorlib.backbones",
    "colorlib.features",
    "colorlib.fusion",
    "colorlib.model",
    "colorlib.losses",
    "colorlib.sampling",
    "colorlib.training",
    "colorlib.metrics",
    "colorlib.evaluation",
    "companion.builders",
    "companion.scoring",
)


def identity(config: RunConfig, data: Data, networks: Sequence[Backbone]) -> str:
    """Hash all that a run's numbers depend on.

    Args:
        config: All settings, the defaults included.
        data: The images, by their manifest, and their parts.
        networks: Every frozen network whose weights count.
    """
    return hash_of(
        {
            "code": modules_hash(NUMERICS),
            "settings": config.decisive(),
            "manifest": data.packed.manifest.manifest_hash,
            "split": data.split.hash,
            "networks": [[b.spec.name, b.weights_hash] for b in networks],
        }
    )


def of_run(config: RunConfig, data: Data, identity: str) -> dict[str, Any]:
    """The parts of a record that say what was run, on what, and where."""
    return {
        "name": config.run_name,
        "identity": identity,
        "protocol": config.protocol,
        "created": now(),
        "commit": current_commit(),
        "settings": config.model_dump(mode="json"),
        "data": describe_data(data),
        "hardware": this_hardware(config.train.accelerator),
    }


def describe_data(data: Data) -> DataRecord:
    """Which images, what was left out, and how they were divided."""
    manifest, split = data.packed.manifest, data.split
    return DataRecord(
        source=manifest.source,
        size=manifest.size,
        kept=len(manifest.ids),
        grayscale=len(manifest.grayscale),
        unreadable=len(manifest.unreadable),
        duplicates=split.duplicates,
        manifest_hash=manifest.manifest_hash,
        split_hash=split.hash,
        train=len(split.train),
        validation=len(split.validation),
        tests={name: len(part) for name, part in split.tests.items()},
    )


def describe_backbones(backbones: Sequence[Backbone]) -> tuple[BackboneRecord, ...]:
    """Which frozen networks, with which weights."""
    return tuple(
        BackboneRecord(
            name=b.spec.name, weights=b.weights_kind, weights_hash=b.weights_hash
        )
        for b in backbones
    )


def notes(config: RunConfig, backbones: Sequence[Backbone]) -> dict[str, Any]:
    """What one must know to use the trained weights, for their file."""
    return {
        "model": config.name,
        "record": config.run_name,
        "size": config.data.size,
        "backbones": [part.model_dump() for part in describe_backbones(backbones)],
    }


class Stopwatch:
    """Wall time of a run's stages, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """The time since the last lap was that of `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 2)
        self._last = now


def now() -> str:
    """The time in UTC, to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def current_commit() -> str:
    """The commit of this project, `+changes` if edited since; `unknown` outside it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != ROOT.resolve():
            return "unknown"  # a repository that this project merely lies in
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "*.py")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def this_hardware(accelerator: str = "auto") -> Hardware:
    """Describe the machine and the versions a run uses.

    Args:
        accelerator: As in the profile; `cpu` leaves a GPU unmentioned.
    """
    uses_gpu = accelerator != "cpu" and torch.cuda.is_available()
    return Hardware(
        python=platform.python_version(),
        packages={name: importlib.metadata.version(name) for name in PACKAGES},
        system=f"{platform.system()} {platform.machine()}",
        cpu=_cpu_name(),
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name(0) if uses_gpu else None,
    )


def _cpu_name() -> str:
    """The processor's own name where the system tells it."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
