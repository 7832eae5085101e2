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

from colorlib.backbones import Backbone
from colorlib.files import file_sha256, hash_of
from colorlib.model import ColorizationModel
from companion.code_hash import code_hash
from companion.config import Profile, settings_of
from companion.data_setup import Data
from companion.records import (
    BackboneRecord,
    DataRecord,
    Hardware,
    ModelRecord,
)

PACKAGES = ("torch", "torchvision", "timm", "lightning", "numpy", "pillow")


def run_inputs(
    profile: Profile,
    model_name: str,
    data: Data,
    backbones: Sequence[Backbone],
    vgg16: Backbone | None = None,
) -> dict[str, Any]:
    """Everything that decides a run's result, ready to be hashed."""
    return {
        "code": code_hash("import companion.pipeline"),
        "profile": settings_of(profile, model_name),
        "manifest": data.packed.manifest.manifest_hash,
        "split": data.split.hash,
        "backbones": [[b.spec.name, b.weights_kind, b.weights_hash] for b in backbones],
        "encoder": vgg16.weights_hash if vgg16 else None,
    }


def training_key(inputs: dict[str, Any]) -> str:
    """Names a training whatever its length and what is done to it afterwards.

    A learning rate that falls to its end is another one for every length.
    """
    bounds = {"logit_adjustment"}
    if inputs["profile"].get("schedule", "constant") == "constant":
        bounds |= {"max_epochs", "max_steps", "max_minutes"}
    settings = {k: v for k, v in inputs["profile"].items() if k not in bounds}
    return hash_of({**inputs, "profile": settings})[:8]


def describe_data(data: Data) -> DataRecord:
    """Which photographs, and how they were split."""
    manifest = data.packed.manifest
    return DataRecord(
        source=manifest.source,
        size=manifest.size,
        kept=len(data.packed.images),
        grayscale_dropped=manifest.grayscale_count,
        unreadable=manifest.unreadable_count,
        manifest_hash=manifest.manifest_hash,
        split=data.split.kind,
        split_hash=data.split.hash,
        train=len(data.train),
        validation=len(data.validation),
        test=len(data.test),
    )


def describe_backbones(backbones: Sequence[Backbone]) -> tuple[BackboneRecord, ...]:
    """Which classifiers, with which weights."""
    return tuple(
        BackboneRecord(
            name=b.spec.name, weights=b.weights_kind, weights_hash=b.weights_hash
        )
        for b in backbones
    )


def describe_model(
    name: str, model: ColorizationModel, backbones: Sequence[Backbone], path: Path
) -> ModelRecord:
    """The network, and the hash of its trained weights at `path`."""
    return ModelRecord(
        name=name,
        backbones=describe_backbones(backbones),
        width=model.config.width,
        parameters=sum(p.numel() for p in model.parameters()),
        weights_sha256=file_sha256(path),
    )


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
    """The commit this code is at, `+changes` if edited since; `unknown` outside git."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".")
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
