"""The fusion layer combines the encoder's features with those of frozen networks.

    networks' features ── standardise ── aggregate ── 1x1 convolution ──┐
    encoder's features ────────────────────────────── 1x1 convolution ──┴─ + ── ReLU

Reference:
    Section 4.2 and Figure 2 of the paper.
    Iizuka, Simo-Serra & Ishikawa (2016), Section 3.3: the fusion layer.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AggregationKind = Literal["average", "max", "gate", "concat"]


class FeatureInput(nn.Module):
    """K networks' features, standardised and projected to a common number of channels.

    Networks differ in scale, so an average of what is not standardised weighs them
    unequally. The statistics are those of the training images, see `set_statistics`.

    Args:
        channels: Of each network's features.
        length: Channels after the learned projection; None for no projection, where
            all have the same number already.
        dropout: Fraction of the channels that training drops.
        standardised: Whether they are standardised; a softmax has one scale already.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        channels: Sequence[int],
        length: int | None,
        dropout: float = 0.0,
        standardised: bool = True,
    ) -> None:
        super().__init__()
        self.channels = list(channels)
        self.standardised = standardised
        self.dropout = nn.Dropout2d(dropout)
        self.projections = nn.ModuleList(
            nn.Conv2d(c, length, 1) if length else nn.Identity() for c in channels
        )
        self.register_buffer("mean", torch.zeros(len(channels)))
        self.register_buffer("std", torch.ones(len(channels)))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Take the statistics of the training images, (K,) each."""
        if self.standardised:
            self.mean.copy_(mean)
            self.std.copy_(std)

    def forward(self, features: Tensor) -> Tensor:
        """Prepare features for their aggregation.

        Args:
            features: (N, sum of channels, g, g); or without a grid, (N, K, channels),
                which makes a grid of one.

        Returns:
            (N, K, D, g, g).
        """
        if features.ndim < 4:
            features = features.flatten(1)[..., None, None]
        parts = []
        for k, part in enumerate(torch.split(features, self.channels, dim=1)):
            part = self.dropout((part - self.mean[k]) / self.std[k])  # (N, C_k, g, g)
            parts.append(self.projections[k](part))  # (N, D, g, g)
        return torch.stack(parts, dim=1)


class Aggregation(nn.Module):
    """Aggregate the features of K networks into one tensor.

    Args:
        kind: `average`, the paper's; `max`, element by element; `gate`, an average
            whose weights are learned and depend on the image; `concat`, which leaves
            all of them to the convolution after it.
        count: K.
        length: Channels of each network's features.
    """

    def __init__(self, kind: AggregationKind, count: int, length: int) -> None:
        super().__init__()
        self.kind = kind
        self.length = count * length if kind == "concat" else length  # of the result
        # No bias: the softmax is invariant to a constant.
        self.gate = nn.Linear(length, 1, bias=False) if kind == "gate" else None

    def forward(self, features: Tensor) -> Tensor:
        """Aggregate (N, K, D, g, g) to (N, D, g, g), or (N, K D, g, g) by `concat`."""
        if self.kind == "concat":
            return features.flatten(1, 2)
        if self.kind == "max":
            return features.amax(dim=1)
        if self.gate is not None:
            weight = self.gate(features.mean(dim=(-2, -1))).softmax(dim=1)  # (N, K, 1)
            return torch.sum(weight[..., None, None] * features, dim=1)
        return features.mean(dim=1)


class Fusion(nn.Module):
    """Mix the encoder's features with those of the frozen networks.

    The paper repeats the average of the networks' outputs over the grid, concatenates
    it with the encoder's features and mixes both by a 1x1 convolution (`concatenated`).
    A 1x1 convolution of concatenated features is the sum of two convolutions, one of
    each part. If the second part is constant over the grid (class scores), its
    convolution is one bias per image. `forward` computes this sum with the same weights
    and result, without building the repeated tensor.

    Args:
        channels: Of the encoder's features.
        out_channels: Of the result.
        aggregation: Of the networks' features; None to fuse nothing.
    """

    def __init__(
        self, channels: int, out_channels: int, aggregation: Aggregation | None = None
    ) -> None:
        super().__init__()
        self.channels = channels
        self.aggregation = aggregation
        given = aggregation.length if aggregation else 0
        self.mix = nn.Conv2d(channels + given, out_channels, kernel_size=1)

    def forward(self, local: Tensor, features: Tensor | None) -> Tensor:
        """Mix local features with those of the networks.

        Args:
            local: (N, C, h, w) from the encoder.
            features: (N, K, D, g, g), K networks, on a grid of their own: g = 1 for
                class scores. None without networks.

        Returns:
            (N, out_channels, h, w), not negative.
        """
        local_weight = self.mix.weight[:, : self.channels]
        mixed = F.conv2d(local, local_weight, self.mix.bias)  # (N, out, h, w)
        if self.aggregation is not None and features is not None:
            aggregated = self.aggregation(features)  # (N, D', g, g)
            weight = self.mix.weight[:, self.channels :]
            given = F.conv2d(aggregated, weight)  # (N, out, g, g)
            mixed = mixed + upsample_to(given, local.shape[-2:])
        return F.relu(mixed)

    def concatenated(self, local: Tensor, features: Tensor) -> Tensor:
        """The same as the paper defines it: repeat, concatenate, convolve."""
        assert self.aggregation is not None
        given = upsample_to(self.aggregation(features), local.shape[-2:])
        given = given.expand(-1, -1, *local.shape[-2:])  # (N, D', h, w)
        return F.relu(self.mix(torch.cat([local, given], dim=1)))


def upsample_to(features: Tensor, size: torch.Size) -> Tensor:
    """Upsample (N, C, g, g); a 1x1 grid is returned unchanged, to be broadcast."""
    if features.shape[-1] == 1:
        return features
    return F.interpolate(features, size, mode="bilinear", align_corners=False)
