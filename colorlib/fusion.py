"""Fusion: one global description of a photograph, told to every position.

Three networks have looked at the photograph. How their opinions become one, and how
that reaches the encoder's features, is what the paper's title calls hybrid.

    K opinions ── combine ──► one ── 1x1 convolution ──┐
    encoder's features ────────────── 1x1 convolution ─┴─ + ── ReLU ──►

Reference:
    Section 4.2 and Figure 2 of the paper.
    Iizuka, Simo-Serra & Ishikawa (2016), Section 3.3: the fusion layer.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FusionKind = Literal["average", "sum", "max", "gate", "concat"]


class Aggregation(nn.Module):
    """Make one opinion of several.

    Args:
        kind: `average`, the paper's; `sum`; `max`, number by number; `gate`, an
            average whose weights are learned and depend on the photograph; `concat`,
            which leaves all of them to the convolution behind it.
        count: How many opinions.
        length: Numbers in each.
    """

    def __init__(self, kind: FusionKind, count: int, length: int) -> None:
        super().__init__()
        self.kind = kind
        self.length = count * length if kind == "concat" else length  # of the result
        # Without a bias: the softmax behind it ignores what all opinions share.
        self.gate = nn.Linear(length, 1, bias=False) if kind == "gate" else None

    def forward(self, opinions: Tensor) -> Tensor:
        """Aggregate (N, K, D, g, g) to (N, D, g, g), or (N, K D, g, g) by `concat`."""
        if self.kind == "average":
            return opinions.mean(dim=1)
        if self.kind == "sum":
            return opinions.sum(dim=1)
        if self.kind == "max":
            return opinions.amax(dim=1)
        if self.gate is not None:
            trust: Tensor = self.gate(opinions.mean(dim=(-2, -1))).softmax(dim=1)
            weighed: Tensor = trust[..., None, None] * opinions
            return weighed.sum(dim=1)
        return opinions.flatten(1, 2)


class Projections(nn.Module):
    """Bring the features of several networks to one length, by a learned map each.

    Args:
        lengths: Channels of each network's features.
        length: What they become.
    """

    def __init__(self, lengths: Sequence[int], length: int) -> None:
        super().__init__()
        self.lengths = list(lengths)
        self.maps = nn.ModuleList(nn.Conv2d(c, length, 1) for c in lengths)

    def forward(self, features: Tensor) -> Tensor:
        """Project (N, sum of lengths, g, g) to (N, K, length, g, g)."""
        parts = torch.split(features, self.lengths, dim=1)
        projected = [net(part) for net, part in zip(self.maps, parts, strict=True)]
        return torch.stack(projected, dim=1)


class Fusion(nn.Module):
    """Mix the encoder's features with what the backbones say.

    The paper repeats the average of the class scores over the grid, concatenates it
    with the features and mixes both by a 1x1 convolution (`concatenated`). Such a
    convolution is two, added: one of the features, one of the opinion. And of
    something repeated it is the same everywhere, so class scores act as one bias per
    photograph. `forward` computes just that, with the same weights and the same
    result, and a cost that does not grow with the grid.

    Args:
        channels: Of the encoder's features.
        out_channels: Of the result.
        combine: Makes one opinion of several; None to fuse nothing.
    """

    def __init__(
        self, channels: int, out_channels: int, combine: Aggregation | None = None
    ) -> None:
        super().__init__()
        self.channels = channels
        self.combine = combine
        told = combine.length if combine else 0
        self.mix = nn.Conv2d(channels + told, out_channels, kernel_size=1)

    def forward(self, features: Tensor, opinions: Tensor | None) -> Tensor:
        """Mix local features with opinions on the whole photograph.

        Args:
            features: (N, C, h, w) from the encoder.
            opinions: (N, K, D, g, g), one a backbone, on a grid of their own: g = 1
                for class scores. None without backbones.

        Returns:
            (N, out_channels, h, w), not negative.
        """
        local_weight = self.mix.weight[:, : self.channels]
        mixed = F.conv2d(features, local_weight, self.mix.bias)  # (N, out, h, w)
        if self.combine is not None and opinions is not None:
            told = self.combine(opinions)  # (N, D', g, g)
            told_weight = self.mix.weight[:, self.channels :]
            told = F.conv2d(told, told_weight)  # (N, out, g, g)
            mixed = mixed + upsample_to(told, features.shape[-2:])
        return F.relu(mixed)

    def concatenated(self, features: Tensor, opinions: Tensor) -> Tensor:
        """The same as the paper words it: repeat, concatenate, convolve.

        Kept because it is the definition; `forward` is tested against it.
        """
        assert self.combine is not None
        told = self.combine(opinions)  # (N, D', g, g)
        told = upsample_to(told, features.shape[-2:])
        told = told.expand(-1, -1, *features.shape[-2:])  # (N, D', h, w)
        return F.relu(self.mix(torch.cat([features, told], dim=1)))


def upsample_to(told: Tensor, size: Sequence[int]) -> Tensor:
    """Bring (N, C, g, g) to the grid of the features; a single value stays one."""
    if told.shape[-1] == 1:
        return told  # broadcasting repeats it
    return F.interpolate(told, size=tuple(size), mode="bilinear", align_corners=False)
