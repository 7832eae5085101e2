"""The fusion network and its training step, with the frozen networks in the loop."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS, STRIDES = (64, 128, 128, 256, 256, 512, 512, 256), (2, 1, 2, 1, 2, 1, 1, 1)


class FusionNetwork(nn.Module):
    """Encoder, class scores repeated and concatenated, 1x1 convolution, decoder.

    Args:
        width: Factor on the number of channels.
        classes: Length of the class scores; 0 to fuse nothing.
    """

    def __init__(self, width: float = 1.0, classes: int = 1000) -> None:
        super().__init__()
        wide = [max(1, round(c * width)) for c in (128, 64, 64, 32)]
        channels = [1, *(max(1, round(c * width)) for c in WIDTHS)]
        layers: list[nn.Module] = []
        for (c_in, c_out), stride in zip(pairwise(channels), STRIDES, strict=True):
            layers += _convolution(c_in, c_out, stride)
        self.encoder = nn.Sequential(*layers)
        fused = channels[-1]
        self.fusion = nn.Conv2d(fused + classes, fused, 1)
        self.decoder = nn.Sequential(
            *_convolution(fused, wide[0]), nn.Upsample(scale_factor=2),
            *_convolution(wide[0], wide[1]),
            *_convolution(wide[1], wide[2]), nn.Upsample(scale_factor=2),
            *_convolution(wide[2], wide[3]),
            nn.Conv2d(wide[3], 2, 3, padding=1), nn.Tanh(), nn.Upsample(scale_factor=2),
        )  # fmt: skip

    def forward(self, L_norm: Tensor, class_scores: Tensor) -> Tensor:
        """(N, 1, S, S) and the mean class scores (N, 1000) -> (N, 2, S, S)."""
        features = self.encoder(L_norm)  # (N, 256, S/8, S/8)
        repeated = class_scores[..., None, None].expand(-1, -1, *features.shape[-2:])
        mixed = F.relu(self.fusion(torch.cat([features, repeated], dim=1)))
        chroma: Tensor = self.decoder(mixed)
        return chroma


def _convolution(c_in: int, c_out: int, stride: int = 1) -> list[nn.Module]:
    """3x3, and what is negative cut off."""
    return [nn.Conv2d(c_in, c_out, 3, stride, padding=1), nn.ReLU()]


def class_scores_of(
    networks: Sequence[tuple[nn.Module, int]], L_norm: Tensor
) -> Tensor:
    """The mean class scores (N, 1000) of frozen networks, each with its input size."""
    gray = (L_norm.expand(-1, 3, -1, -1) + 1) / 2  # (N, 3, S, S)
    with torch.no_grad():
        each = [
            net(F.interpolate(gray, (size, size), mode="bilinear"))[:, -1000:]
            for net, size in networks
        ]
    return torch.stack([logits.softmax(1) for logits in each]).mean(0)


class Step:
    """One update of the network's weights from a batch.

    Args:
        model: To be trained.
        networks: Frozen, each with its input size; run at every step.
    """

    def __init__(
        self, model: FusionNetwork, networks: Sequence[tuple[nn.Module, int]] = ()
    ) -> None:
        self.model = model
        self.networks = networks
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def __call__(
        self, L_norm: Tensor, ab_norm: Tensor, class_scores: Tensor | None = None
    ) -> float:
        """Update; the loss."""
        if class_scores is None:
            class_scores = class_scores_of(self.networks, L_norm)
        self.optimizer.zero_grad()
        loss = F.mse_loss(self.model(L_norm, class_scores), ab_norm)
        loss.backward()
        self.optimizer.step()
        return loss.item()
