"""The paper's network, from gray image to chroma, in the order of its Figure 2.

    L_unit ─► encoder ─────────────► fusion ─► decoder ─► ab_unit
    class scores of the backbones ───┘

The paper gives no layer table. The layers are those of its baseline, Deep
Koalarization, whose 6.57 million trainable parameters they reproduce.

References:
    Kiani, Hemmatpour & Rastgoo (2021), Section 4 and Figure 2.
    Baldassarre, González Morín & Rodés-Guirao (2017), arXiv:1712.03400.
    Iizuka, Simo-Serra & Ishikawa (2016), the fusion layer.
"""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from colorlib.errors import UserError
from colorlib.files import write_whole

NUM_CLASSES = 1000  # ImageNet-1k: the one space in which the backbones agree
REDUCTION = 8  # three stride-2 convolutions between the image and the features

ENCODER = [
    (64, 2),
    (128, 1),
    (128, 2),
    (256, 1),
    (256, 2),
    (512, 1),
    (512, 1),
    (256, 1),
]
DECODER: list[int | str] = [128, "up", 64, 64, "up", 32]

# The networks each model of the paper fuses (Section 5.3).
MODELS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "model1": ("inception_resnet_v2.tf_in1k",),
    "model2": ("inception_resnet_v2.tf_in1k", "vgg16.tv_in1k"),
    "model3": ("inception_resnet_v2.tf_in1k", "vgg16.tv_in1k", "resnet50.tv_in1k"),
}


class Encoder(nn.Sequential):
    """Eight 3x3 convolutions: local features on an eight times coarser grid.

    Args:
        width: Factor on the number of channels; 1 is the published network.
    """

    def __init__(self, width: float = 1.0) -> None:
        channels = [1, *(scaled(c, width) for c, _ in ENCODER)]
        strides = [stride for _, stride in ENCODER]
        super().__init__(
            *(
                nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride, padding=1), nn.ReLU())
                for (c_in, c_out), stride in zip(
                    pairwise(channels), strides, strict=True
                )
            )
        )


class Fusion(nn.Module):
    """One global description of the photograph, told to every position.

    The paper averages the class scores of its backbones, repeats the average over
    the grid, concatenates it with the encoder's features and mixes both with a 1x1
    convolution (`concatenated`). A 1x1 convolution of something repeated is the same
    everywhere, so the class scores act as one bias per photograph: `forward` computes
    just that, with the same weights and the same result, and a cost that does not
    grow with the grid.

    Args:
        channels: Channels of the encoder's features, and of the result.
        num_classes: Length of a class-score vector; 0 fuses nothing.
    """

    def __init__(self, channels: int, num_classes: int = NUM_CLASSES) -> None:
        super().__init__()
        self.channels = channels
        self.num_classes = num_classes
        self.mix = nn.Conv2d(channels + num_classes, channels, kernel_size=1)

    def forward(self, features: Tensor, class_scores: Tensor | None) -> Tensor:
        """Mix local features with the photograph's class scores.

        Args:
            features: (N, C, h, w) from the encoder.
            class_scores: (N, K, num_classes), one row a backbone; None if
                `num_classes` is 0.

        Returns:
            (N, C, h, w), not negative.
        """
        local_weight = self.mix.weight[:, : self.channels]  # (C, C, 1, 1)
        mixed = F.conv2d(features, local_weight, self.mix.bias)  # (N, C, h, w)
        if class_scores is not None:
            mean_scores = class_scores.mean(dim=1)  # (N, K, 1000) -> (N, 1000)
            global_weight = self.mix.weight[:, self.channels :, 0, 0]  # (C, 1000)
            bias = F.linear(mean_scores, global_weight)  # (N, C)
            mixed = mixed + bias[:, :, None, None]
        return F.relu(mixed)

    def concatenated(self, features: Tensor, class_scores: Tensor) -> Tensor:
        """The same as the paper words it: repeat, concatenate, convolve.

        Kept because it is the definition; `forward` is tested against it.
        """
        h, w = features.shape[-2:]
        mean_scores = class_scores.mean(dim=1)  # (N, 1000)
        repeated = mean_scores[:, :, None, None].expand(-1, -1, h, w)  # (N, 1000, h, w)
        return F.relu(self.mix(torch.cat([features, repeated], dim=1)))


class Decoder(nn.Sequential):
    """Convolutions and nearest-neighbour upsampling, back to the image's grid.

    The last upsampling comes after the tanh, as in the baseline's code, so chroma is
    predicted on a grid of half the image's resolution.

    Args:
        width: Factor on the number of channels; 1 is the published network.
    """

    def __init__(self, width: float = 1.0) -> None:
        layers: list[nn.Module] = []
        c_in = scaled(ENCODER[-1][0], width)
        for layer in DECODER:
            if isinstance(layer, str):
                layers.append(nn.Upsample(scale_factor=2))
            else:
                c_out = scaled(layer, width)
                layers += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU()]
                c_in = c_out
        layers += [nn.Conv2d(c_in, 2, 3, padding=1), nn.Tanh()]
        layers += [nn.Upsample(scale_factor=2)]
        super().__init__(*layers)


class ColorizationModel(nn.Module):
    """Encoder, fusion and decoder: a gray image in, its two chroma planes out.

    The backbones are not part of it. They are frozen functions of the gray image, so
    their class scores are computed once a photograph and handed in.

    Args:
        backbones: Names of the classifiers whose scores are fused, in the order of
            the scores' rows; none for a model without fusion.
        width: Factor on the number of channels; 1 is the published network.

    Departure from the paper: without backbones the 1x1 convolution stays, so that
    `plain` differs from `model3` by the class scores alone.
    """

    def __init__(self, backbones: Sequence[str] = (), width: float = 1.0) -> None:
        super().__init__()
        self.backbones = tuple(backbones)
        self.width = width
        self.encoder = Encoder(width)
        self.fusion = Fusion(
            scaled(ENCODER[-1][0], width), NUM_CLASSES if self.backbones else 0
        )
        self.decoder = Decoder(width)

    def forward(self, L_unit: Tensor, class_scores: Tensor | None = None) -> Tensor:
        """Predict the chroma of gray images of any size.

        Args:
            L_unit: (N, 1, H, W), lightness in [-1, 1].
            class_scores: (N, K, 1000), one row for each of `backbones`; None for a
                model without.

        Returns:
            `ab_unit`, (N, 2, H, W) in [-1, 1].

        Raises:
            ValueError: If the class scores are not those of the model's backbones.
        """
        H, W = L_unit.shape[-2:]
        self._check(class_scores)
        features = self.encoder(L_unit)  # (N, 256, ceil(H/8), ceil(W/8))
        fused = self.fusion(features, class_scores)  # (N, 256, ceil(H/8), ceil(W/8))
        ab_unit: Tensor = self.decoder(fused)  # (N, 2, 8 ceil(H/8), 8 ceil(W/8))
        return ab_unit[:, :, :H, :W]  # (N, 2, H, W)

    def _check(self, class_scores: Tensor | None) -> None:
        """Refuse class scores that do not fit the model's backbones."""
        expected = (len(self.backbones), NUM_CLASSES) if self.backbones else None
        found = None if class_scores is None else tuple(class_scores.shape[1:])
        if found != expected:
            raise ValueError(
                f"found class scores (N, *{found}), expected (N, *{expected}): "
                f"one row for each of the backbones {list(self.backbones)}"
            )


def build_model(
    name: str, *, backbones: Sequence[str] | None = None, width: float = 1.0
) -> ColorizationModel:
    """Build one of the paper's models by its name.

    Args:
        name: `plain`, `model1`, `model2` or `model3`.
        backbones: Other classifiers in place of the paper's, any number of them.
        width: Factor on the number of channels; 1 is the published network.

    Returns:
        The model with PyTorch's default initialisation, drawn from the global
        random state.

    Raises:
        ValueError: If there is no model of that name, or `plain` is given backbones.

    Reference:
        Section 5.3 of the paper; facts on the layers from arXiv:1712.03400.

    Example:
        >>> model = build_model("model3")
        >>> sum(p.numel() for p in model.parameters())
        6573794
        >>> model(torch.zeros(1, 1, 64, 64), torch.zeros(1, 3, 1000)).shape
        torch.Size([1, 2, 64, 64])
    """
    if name not in MODELS:
        raise ValueError(f"found model {name!r}, expected one of {', '.join(MODELS)}")
    chosen = MODELS[name] if backbones is None else tuple(backbones)
    if name == "plain" and chosen:
        raise ValueError(
            f"found backbones {list(chosen)} for model 'plain', expected none: "
            "name a model that fuses"
        )
    return ColorizationModel(chosen, width)


def save_model(model: ColorizationModel, path: Path, notes: dict[str, Any]) -> None:
    """Write a model as safetensors: numbers and text, nothing that could be executed.

    Args:
        model: What to save.
        path: The file, by custom `.safetensors`; appears whole or not at all.
        notes: What one must know to use it, such as how its class scores are made;
            anything JSON can hold.
    """
    about = {"backbones": model.backbones, "width": model.width, "notes": notes}
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    write_whole(path, safetensors.torch.save(weights, {"colorlib": json.dumps(about)}))


def load_model(path: Path) -> tuple[ColorizationModel, dict[str, Any]]:
    """Read a model that `save_model` wrote.

    Returns:
        The model on the CPU in evaluation mode, and its notes.

    Raises:
        UserError: If the file is missing, is no safetensors file, or was not written
            by this package.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["colorlib"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = ColorizationModel(about["backbones"], about["width"])
        model.load_state_dict(weights)
    except FileNotFoundError as error:
        raise UserError(f"found no model at {path}; train one first") from error
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} is no model of this package, expected a safetensors file written "
            f"by `colorlib train`: {reason}"
        ) from error
    return model.eval(), about["notes"]


def scaled(channels: int, width: float) -> int:
    """Number of channels at a width, at least one."""
    return max(1, round(channels * width))
