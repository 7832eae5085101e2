"""The bundled network's weights as a script, for the colorizer in the book's pages.

    python -m tools.page_weights book/static/colorizer/weights.js

A page that is opened as a file may read no other file, but it may load a script. So the
weights go into one, as half floats in base64, in the order that `network.js` reads: the
channels of a pixel together. The book's build writes it; it is not kept.
"""

import base64
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from colorlib.colorize import BUNDLED
from colorlib.files import atomic_write
from colorlib.unet import load_unet


def channels_last(name: str, weight: Tensor) -> Tensor:
    """A weight in the order that `network.js` reads.

    Args:
        name: In the state dict.
        weight: Kernels (O, C, 3, 3) become (O, 3, 3, C), those of depthwise
            convolutions (C, 1, 3, 3) become (3, 3, C); all others stay.
    """
    if weight.ndim != 4:
        return weight
    if "depthwise" in name:
        return weight[:, 0].permute(1, 2, 0)
    return weight.permute(0, 2, 3, 1)


def page_weights(model: Path = BUNDLED) -> str:
    """The script: it sets `window.colorizerWeights`.

    Args:
        model: A file of `colorlib.unet.save_unet`.

    Raises:
        UserError: If it is missing, or is no such file.
    """
    net, _ = load_unet(model)
    tensors = {k: channels_last(k, v).half() for k, v in net.state_dict().items()}
    halves = torch.cat([tensor.flatten() for tensor in tensors.values()])
    little_endian = halves.numpy().astype("<f2").tobytes()
    content = {
        "config": asdict(net.config),
        "tensors": [[name, tensor.numel()] for name, tensor in tensors.items()],
        "halves": base64.b64encode(little_endian).decode(),
    }
    return f"window.colorizerWeights = {json.dumps(content)};\n"


def write_page_weights(target: Path, model: Path = BUNDLED) -> None:
    """Write the script; it appears whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(target, page_weights(model).encode())


def main(arguments: list[str]) -> None:
    """Read the command line: the script, and a model other than the bundled one."""
    write_page_weights(*map(Path, arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
