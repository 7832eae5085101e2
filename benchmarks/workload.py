"""What the benchmarks share: images, networks, and how large everything is."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from torch import nn

from benchmarks.measuring import MatrixProduct
from colorlib.backbones import Backbone, load_backbone
from colorlib.model import MODELS, ColorizationModel, build_model
from colorlib.sampling import Batch
from colorlib.scenes import render_scenes

PAPER_BATCH = 20  # images, Section 5.2 of the paper
JPEG_SIDE = 250  # pixels: that of LFW
TINY_KINDS = ("resnet", "byobnet", "efficientnet")
TINY = tuple(f"test_{kind}.r160_in1k" for kind in TINY_KINDS)


@dataclass(frozen=True)
class Workload:
    """How large the benchmarks are, and what they work on.

    Images are synthetic and weights are random: neither changes the speed.

    Attributes:
        folder: For what they write.
        quick: Whether everything is as small as possible, to see that it works.
    """

    folder: Path
    quick: bool = False
    matrix: MatrixProduct = field(default_factory=MatrixProduct)

    @property
    def rounds(self) -> int:
        """How often each candidate is timed, as a rule."""
        return 2 if self.quick else 5

    @property
    def few_rounds(self) -> int:
        """How often, where a call takes seconds."""
        return 2 if self.quick else 3

    @property
    def width(self) -> float:
        """Factor on the channels of the network that is trained."""
        return 0.125 if self.quick else 1.0

    @property
    def sizes(self) -> dict[int, int]:
        """Side of the images -> batch that takes about a second a step."""
        return {32: 4} if self.quick else {64: PAPER_BATCH, 128: 5, 256: 2}

    @property
    def backbone_names(self) -> tuple[str, ...]:
        """The paper's three networks."""
        return TINY if self.quick else MODELS["model3"]

    @cached_property
    def backbones(self) -> list[Backbone]:
        """The three networks as we use them."""
        return [load_backbone(name, "random") for name in self.backbone_names]

    @cached_property
    def networks(self) -> list[tuple[nn.Module, int]]:
        """Copies of the same with channels first, each with its input size."""
        plain = torch.contiguous_format
        return [
            (copy.deepcopy(b.net).to(memory_format=plain), b.spec.input_size)
            for b in self.backbones
        ]

    def model(
        self, name: str = "model3", backbones: Sequence[str] | None = None
    ) -> ColorizationModel:
        """One of the paper's models, as training has it."""
        torch.manual_seed(0)
        if MODELS[name] and backbones is None:
            backbones = self.backbone_names
        model = build_model(name, backbones=backbones, width=self.width)
        return model.to(memory_format=torch.channels_last)

    def batch(self, count: int, size: int, backbones: int = 3) -> Batch:
        """Synthetic scenes with random class scores; none for no backbones."""
        images = torch.from_numpy(render_scenes(count, size))  # (N, S, S, 3)
        scores = torch.rand(count, backbones, 1000).softmax(-1) if backbones else None
        return Batch(images, scores)

    def jpegs(self, count: int) -> list[Path]:
        """Synthetic scenes as files of the size of LFW's."""
        folder = self.folder / f"jpegs-{count}"
        folder.mkdir(exist_ok=True)
        paths = [folder / f"{number:04d}.jpg" for number in range(count)]
        if not paths[-1].exists():
            for path, rgb in zip(paths, render_scenes(count, JPEG_SIDE), strict=True):
                Image.fromarray(rgb).save(path, quality=90)
        return paths

    def photograph(self, megapixels: float) -> Path:
        """A photograph of scikit-image, upsampled, with the grain of a camera."""
        path = self.folder / f"photograph-{megapixels:g}.jpg"
        width, height = (round((megapixels * 1e6 * r) ** 0.5) for r in (4 / 3, 3 / 4))
        large = Image.fromarray(data.astronaut()).resize((width, height))
        grain = np.random.default_rng(0).integers(-3, 4, (height, width, 1), np.int16)
        Image.fromarray(_added(np.asarray(large), grain)).save(path, quality=90)
        return path


def _added(rgb: NDArray[np.uint8], grain: NDArray[np.int16]) -> NDArray[np.uint8]:
    """A photograph with grain, clipped to what 8 bits hold."""
    added: NDArray[np.uint8] = (rgb + grain).clip(0, 255).astype(np.uint8)
    return added
