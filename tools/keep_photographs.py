"""Store the class scores and predictions for the book's photographs.

    python -m tools.keep_photographs RUNS_ROOT --data imagenet
    python -m tools.keep_photographs RUNS_ROOT --weights-root ../weights

Of each condition of the ablations `fusion` and `networks` the first run predicts whose
model is there. With the folder of pretrained networks, class scores are computed too.
"""

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from colorlib.backbones import Backbone, features_of_images, load_backbone
from colorlib.cli import run_app
from colorlib.color import gray_from_L, images_to_float
from colorlib.colorize import Colorizer
from colorlib.errors import UserError
from colorlib.files import atomic_write
from colorlib.model import ColorizationModel
from colorlib.targets import Target
from companion.comparisons import FUSION
from companion.photographs import (
    CLASSIFIERS,
    PHOTOGRAPHS,
    PREDICTIONS,
    SCORES,
    VIEWS,
    photograph,
    square,
)
from companion.records import RESULTS, read_record
from companion.studies import Run, plan

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def keep(
    runs_root: Annotated[Path, typer.Argument(help="Of trained models.")],
    data: Annotated[str, typer.Option(help="Whose runs predict.")] = "imagenet",
    weights_root: Annotated[Path | None, typer.Option()] = None,
    results_root: Annotated[Path, typer.Option(help="Where it is kept.")] = RESULTS,
) -> None:
    """Store the class scores and predictions for the book's photographs."""
    if weights_root is not None:
        write_arrays(compute_class_scores(weights_root), results_root / SCORES)
    planned = [run for name in FUSION for run in plan(name, "protocol")]
    wanted = [run for run in planned if run.data == data]
    predictions = compute_predictions(wanted, runs_root, weights_root)
    found = [condition for condition in predictions if condition != "origin"]
    if not found:
        raise UserError(f"{runs_root}: found no trained run of {data}, expected some")
    write_arrays(predictions, results_root / PREDICTIONS)
    print(f"predictions of {', '.join(found)}: {results_root / PREDICTIONS}")


@torch.inference_mode()
def compute_class_scores(weights_root: Path) -> dict[str, Any]:
    """Ask the classifiers about every photograph: the arrays of `class_scores.npz`.

    Raises:
        UserError: If a classifier is not in the folder of weights.
    """
    networks = [load_backbone(name, weights_root) for name in CLASSIFIERS]
    logits = [[_logits(networks, name, view) for view in VIEWS] for name in PHOTOGRAPHS]
    origin = {network.spec.name: network.weights_hash for network in networks}
    return {"logits": np.array(logits, np.float16), "origin": json.dumps(origin)}


def _logits(networks: Iterable[Backbone], name: str, view: str) -> NDArray[np.float32]:
    """What the classifiers say of one photograph in one view, (K, 1000)."""
    side = VIEWS[view] or min(photograph(name).shape[:2])
    rgb = images_to_float(torch.from_numpy(square(name, side))[None])  # (1, 3, S, S)
    L_norm, _ = Target().split(rgb)
    gray = gray_from_L(L_norm)
    each = []
    for network in networks:
        if view == "colour":
            size = (network.spec.input_size,) * 2
            small = F.interpolate(rgb, size, mode="bilinear", antialias=True)
            seen = network.net((small - network.mean) / network.std)
            each.append(seen[0, int(network.spec.drop_background) :])
        else:
            each.append(network(gray, "logits")[0])
    return torch.stack(each).numpy()  # (K, 1000)


def compute_predictions(
    runs: Iterable[Run], runs_root: Path, weights_root: Path | None
) -> dict[str, Any]:
    """Have trained runs predict every photograph: the arrays of `predictions.npz`.

    Args:
        runs: Of a plan; one of each condition, the first that has been trained.
        runs_root: The folder of trained models.
        weights_root: The folder of the frozen networks.

    Raises:
        UserError: If a network is not the one of the training.
    """
    arrays: dict[str, Any] = {}
    origin: dict[str, Any] = {}
    for run in runs:
        folder = runs_root / run.name
        done = (folder / "record.json").exists()
        if run.condition in arrays or not done:
            continue
        colorizer = Colorizer.load(folder / "model.safetensors", weights_root)
        arrays[run.condition] = predicted(colorizer).round().numpy().astype(np.int8)
        sha256 = read_record(folder / "record.json").model.weights_sha256
        origin[run.condition] = {"record": run.name, "weights_sha256": sha256}
    return {**arrays, "origin": json.dumps(origin)}


@torch.inference_mode()
def predicted(colorizer: Colorizer) -> Tensor:
    """Chroma of every photograph's square, (P, 2, S, S) Lab units.

    The model sees the square as it saw its training images: shrunk in colour, then made
    gray; its frozen networks see the same square at their own size.
    """
    model = colorizer.model
    assert isinstance(model, ColorizationModel)
    config, features = model.config, None
    target = Target(config.target, config.gray)
    if colorizer.backbones:
        sizes = config.input_sizes or [b.spec.input_size for b in colorizer.backbones]
        gray = gray_from_L(_lightness(target, max(sizes)))
        features = features_of_images(colorizer.backbones, gray, config.features, sizes)
    L_norm = _lightness(target, colorizer.size)
    return target.to_lab(L_norm, model(L_norm, features))[:, 1:]


def _lightness(target: Target, side: int) -> Tensor:
    """`L_norm` of all photographs, (P, 1, side, side)."""
    squares = np.stack([square(name, side) for name in PHOTOGRAPHS])
    return target.split(images_to_float(torch.from_numpy(squares)))[0]


def write_arrays(arrays: Mapping[str, Any], path: Path) -> None:
    """Write one of the kept files, whole or not at all."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    atomic_write(path, file.getvalue())


if __name__ == "__main__":
    run_app(app, "keep_photographs")
