"""The bundled model as ONNX, for programs that have no torch.

    python -m tools.export_onnx colorlib/bundled.safetensors colorizer.onnx

Input `L_norm`, (N, 1, H, W) float32: lightness, L of Lab / 50 - 1, of any size. Output
`ab_norm`, (N, 2, ceil(H / 4), ceil(W / 4)): a and b of Lab / 128. The side the model
was made for and the caution, which is built in, stand in the file's metadata.
"""

import sys
from pathlib import Path

import onnx
import torch

from colorlib.files import atomic_write
from colorlib.unet import load_unet


def to_onnx(path: Path) -> onnx.ModelProto:
    """Convert a file of `save_unet`.

    Args:
        path: The safetensors.
    """
    net, _ = load_unet(path)
    size = {axis: torch.export.Dim(name, min=33) for axis, name in ((2, "H"), (3, "W"))}
    program = torch.onnx.export(
        net,
        (torch.zeros(2, 1, 96, 129),),
        input_names=["L_norm"],
        output_names=["ab_norm"],
        dynamic_shapes={"L_norm": {0: torch.export.Dim("N"), **size}},
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    about = {"view_size": net.config.view_size, "caution": net.config.caution}
    onnx.helper.set_model_props(
        model, {key: str(value) for key, value in about.items()}
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main(arguments: list[str]) -> None:
    source, target = map(Path, arguments)
    atomic_write(target, to_onnx(source).SerializeToString())


if __name__ == "__main__":
    main(sys.argv[1:])
