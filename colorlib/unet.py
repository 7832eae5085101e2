"""The bundled network: a pretrained classifier as encoder, and a decoder that colours.

::

    L_norm ─► MobileNetV2, without its head ─┬─ 1/4 ─┬─ 1/8 ─┬─ 1/16 ─┬─ 1/32
                                             │       │       │        ▼
    logits of 261 ab bins, 1/4 ◄─ 3x3 conv ◄─┴─ 3x3 ◄┴─ 3x3 ◄┴─────── 3x3

It is not the paper's model. It is what the paper's idea, to let a pretrained classifier
recognise what is in the picture, becomes when the classifier is the encoder itself and
is trained further. Skip connections bring its finer maps to the decoder.

The module holds convolutions with biases and nothing else that is learned: batch
normalisation is folded into them, so any program that can convolve can run it.

References:
    Sandler et al. (2018), MobileNetV2, arXiv:1801.04381, Table 2: the encoder.
    Ronneberger et al. (2015), U-Net, arXiv:1505.04597: the skip connections.
    Zhang, Isola & Efros (2016), arXiv:1603.08511: colour as classification.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from colorlib.bins import bin_centres, cautious_colour
from colorlib.color import AB_SCALE, check_image
from colorlib.errors import UserError
from colorlib.files import load_network, save_network

NETWORK = "ColorUNet"  # in a file's metadata; others have no such key

# Expansion, channels, blocks, stride of the first: arXiv:1801.04381, Table 2.
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class UNetConfig:
    """What determines the network, and how it is to be used.

    Attributes:
        stem: Channels of the first convolution.
        stages: Of the encoder, for each: expansion, channels, blocks, first stride.
        decoder: Channels of its convolutions, on the grids 1/32, 1/16, 1/8 and 1/4.
        view_size: Shorter side of the copy of a photograph to give to it, pixels.
        caution: Loss for each Lab unit by which a colour is worse than gray, see
            `bins.cautious_colour`.
    """

    stem: int = 32
    stages: tuple[tuple[int, int, int, int], ...] = MOBILENET_V2
    decoder: tuple[int, ...] = (256, 192, 128, 128)
    view_size: int = 128
    caution: float = Field(default=0.0075, ge=0)


class InvertedResidual(nn.Module):
    """Widen by 1x1, convolve each channel by 3x3, narrow by 1x1; add the input.

    Args:
        in_channels: Of the input.
        out_channels: Of the output.
        expansion: How many times wider it is between; 1 leaves the first step out.
        stride: 1, or 2 to halve the grid. The input is added if the shape stays.

    Reference:
        Sandler et al. (2018), Section 3.3. The narrow output has no ReLU6.
    """

    def __init__(
        self, in_channels: int, out_channels: int, expansion: int, stride: int
    ) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.expand = nn.Conv2d(in_channels, wide, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide)
        self.project = nn.Conv2d(wide, out_channels, 1)
        self.halves = stride == 2
        self.adds_input = stride == 1 and in_channels == out_channels

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride)."""
        wide = features if self.expand is None else F.relu6(self.expand(features))
        wide = F.relu6(self._convolve_channels(wide))
        narrow: Tensor = self.project(wide)
        return features + narrow if self.adds_input else narrow

    def _convolve_channels(self, wide: Tensor) -> Tensor:
        """The depthwise convolution.

        In training with stride 2 every place is computed and every other one kept: the
        same numbers, and on a CPU the gradient takes a fifth of the time.
        """
        conv = self.depthwise
        if not (self.training and self.halves):
            return torch.as_tensor(conv(wide))
        dense = F.conv2d(wide, conv.weight, conv.bias, 1, 1, groups=conv.groups)
        return dense[..., ::2, ::2]


class ColorUNet(nn.Module):
    """Predicts the chroma of a gray photograph of any size and shape.

    Args:
        config: What determines the network.

    Example:
        >>> net = ColorUNet().eval()
        >>> with torch.no_grad():
        ...     net(torch.zeros(1, 1, 64, 90)).shape
        torch.Size([1, 2, 16, 23])
    """

    centres: Tensor

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or UNetConfig()
        self.stem = nn.Conv2d(1, config.stem, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList()
        channels, skips = config.stem, [0]  # the coarsest grid has no skip
        for expansion, width, blocks, stride in config.stages:
            if stride == 2:
                skips.insert(1, channels)  # the last map before each halving
            for step in (stride, *[1] * (blocks - 1)):
                self.blocks.append(InvertedResidual(channels, width, expansion, step))
                channels = width
        self.decoder = nn.ModuleList()
        for width, skip in zip(config.decoder, skips, strict=False):
            self.decoder.append(nn.Conv2d(channels + skip, width, 3, padding=1))
            channels = width
        centres = bin_centres()  # (Q, 2)
        self.head = nn.Conv2d(channels, len(centres), 1)
        self.register_buffer("centres", centres.clone())

    def forward(self, L_norm: Tensor) -> Tensor:
        """Predict chroma on a quarter of the grid.

        Args:
            L_norm: (N, 1, H, W) in [-1, 1], lightness. Trained on squares of 64 to 160
                pixels; see `config.view_size`.

        Returns:
            `ab_norm`, (N, 2, ceil(H / 4), ceil(W / 4)) in [-1, 1].
        """
        logits = self.logits(L_norm).float()
        ab = cautious_colour(logits, self.centres, self.config.caution)
        return ab / AB_SCALE  # (N, 2, H / 4, W / 4)

    def logits(self, L_norm: Tensor) -> Tensor:
        """Logits of the ab bins.

        The picture is turned by half a turn, and what comes out is turned back. The
        pretrained encoder pads its strided convolutions at the right and the bottom, as
        TensorFlow does; turned, with its kernels turned too, it pads at the left and
        the top, as `padding=1` does here and everywhere. The numbers are the same.

        Args:
            L_norm: (N, 1, H, W) in [-1, 1].

        Returns:
            (N, Q, ceil(H / 4), ceil(W / 4)), the bins in the order of `centres`.
        """
        check_image(L_norm, 1)
        *skips, features = self.encode(L_norm.flip(-2, -1))
        features = F.relu6(self.decoder[0](features))  # (N, C, H / 32, W / 32)
        for convolution, skip in zip(self.decoder[1:], reversed(skips), strict=False):
            features = F.interpolate(
                features, skip.shape[-2:], mode="bilinear", align_corners=False
            )
            features = torch.cat([features, skip], dim=1)
            features = F.relu6(convolution(features))  # up to (N, C, H / 4, W / 4)
        return torch.as_tensor(self.head(features)).flip(-2, -1)

    def encode(self, turned: Tensor) -> list[Tensor]:
        """The encoder's last map on each grid, from 1/2 to the coarsest."""
        features = F.relu6(self.stem(turned))  # (N, 32, H / 2, W / 2)
        maps = []
        for block in self.blocks:
            if block.halves:
                maps.append(features)
            features = block(features)
        return [*maps, features]


def save_unet(net: ColorUNet, path: Path, notes: dict[str, Any]) -> None:
    """Write the network in half precision, with `notes` on its origin."""
    about = {"network": NETWORK, "config": asdict(net.config), "notes": notes}
    weights = {name: value.half() for name, value in net.state_dict().items()}
    save_network(path, weights, about)


def unet_from_metadata(about: dict[str, Any]) -> ColorUNet:
    """Build the network that a file of `save_unet` is about."""
    if about.get("network") != NETWORK:
        raise UserError(f"it is no {NETWORK}")
    return ColorUNet(UNetConfig(**about["config"]))


def load_unet(path: Path) -> tuple[ColorUNet, dict[str, Any]]:
    """Read a network that `save_unet` wrote, and its notes, see `load_network`."""
    return load_network(path, unet_from_metadata, "tools.train_bundled")
