"""How well the bundled model colours: settings chosen, then scores beside baselines.

    python -m tools.evaluate_bundled choose ../packed ../run/model.safetensors
    python -m tools.evaluate_bundled test ../packed ../run/model.safetensors ../data

`choose` colours validation photographs under all combinations of view size and caution.
Among those that harm at most `HARMED` of the photographs it looks for the lowest
CIEDE2000, both as means over the sets; of all that differ from it by less than `ALIKE`
it takes the largest view, then the most colourful. A photograph is harmed if in more
than `PART` of it the colours are further from the true ones than gray is, by more than
`WORSE` Lab units.

`test` scores the settings that stand in the file on the photographs held out.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from colorlib.bins import cautious_colour
from colorlib.color import (
    AB_SCALE,
    denormalize_lab,
    images_to_float,
    lab_to_rgb,
    rgb_to_lab,
)
from colorlib.colorize import chroma_along_lightness, gray_of
from colorlib.files import atomic_write
from colorlib.images import fit_square, load_rgb
from colorlib.metrics import ciede2000, colourfulness, summarize
from colorlib.stats import image_interval
from colorlib.unet import ColorUNet, load_unet
from tools.bundled_batches import Photographs, as_lightness, resize, spread
from tools.bundled_data import SETS, TEST, TRAIN, VALIDATION

VIEW_SIZES = (96, 112, 128, 144, 160, 192)
CAUTIONS = (0.0, 0.0025, 0.005, 0.0075, 0.01, 0.015)
CHOOSING_SIZE = 96  # pixels: larger photographs are scored at this side
HARMED = 0.02  # of the photographs: how many a chosen setting may harm
ALIKE = 0.02  # CIEDE2000: less is no reason to choose
PART, WORSE = 0.05, 15  # of a photograph; Lab units by which gray is nearer
METRICS = ("rmse_ab_norm", "psnr_rgb", "ciede2000", "colourfulness")
BATCH = 25
MEAN_SIZE = 64  # pixels: the grid of the mean image
MEAN_COUNT = 4000  # photographs it is the mean of
# Side of the squares that tests are scored at: the photographs' own, at most 250.
TEST_SIZES = {
    "mini-imagenet": 84,
    "miniplaces": 128,
    "imagenette": 224,
    "lfw": 250,
    "imagenet-sample": 224,
}

Scores = dict[str, list[Tensor]]


@dataclass(frozen=True, order=True)
class Setting:
    """How the network is used.

    Attributes:
        view_size: Side of what it sees, pixels.
        caution: See `bins.cautious_colour`.
    """

    view_size: int
    caution: float


Tables = dict[Setting, dict[str, dict[str, float]]]  # setting -> set -> scores


class Colouring:
    """Gray photographs in, and what the network makes of them under any setting.

    Args:
        net: The network.
        images: (N, S, S, 3) uint8, in colour or not: they are made gray.
        size: Side of the result, pixels; that of the photographs by default.
    """

    def __init__(self, net: ColorUNet, images: Tensor, size: int | None = None) -> None:
        self.net = net
        gray = np.stack([gray_of(image) for image in images.numpy()])  # (N, S, S)
        gray = np.repeat(gray[..., None], 3, axis=-1)
        self.gray = torch.from_numpy(gray)  # (N, S, S, 3)
        shown = resize(self.gray, size) if size else self.gray
        self.L_norm = as_lightness(shown)  # (N, 1, size, size)

    def logits(self, view_size: int) -> Tensor:
        """(N, Q, view / 4, view / 4)."""
        return self.net.logits(as_lightness(resize(self.gray, view_size)))

    def ab_norm(self, logits: Tensor, caution: float) -> Tensor:
        """(N, 2, view / 4, view / 4)."""
        return cautious_colour(logits, self.net.centres, caution) / AB_SCALE

    def joined(self, ab_norm: Tensor) -> Tensor:
        """Chroma upsampled along the photographs' lightness: `rgb` (N, 3, S, S)."""
        small = as_lightness(resize(self.gray, ab_norm.shape[-1]))
        lines = chroma_along_lightness(ab_norm, small)  # (N, 4, view / 4, view / 4)
        size = self.L_norm.shape[-2:]
        slope, offset = F.interpolate(lines, size, mode="bilinear").chunk(2, dim=1)
        return with_chroma(self.L_norm, slope * self.L_norm + offset)

    def under(self, setting: Setting) -> Tensor:
        """All of it: `rgb` (N, 3, S, S)."""
        logits = self.logits(setting.view_size)
        return self.joined(self.ab_norm(logits, setting.caution))


def with_chroma(L_norm: Tensor, ab_norm: Tensor) -> Tensor:
    """(N, 1, S, S) and (N or 1, 2, S, S) -> `rgb` (N, 3, S, S)."""
    ab_norm = ab_norm.expand(len(L_norm), -1, *L_norm.shape[-2:])
    return lab_to_rgb(denormalize_lab(L_norm, ab_norm))


def add_scores(scores: Scores, rgb: Tensor, images: Tensor) -> None:
    """Score a batch against the photographs it was made from.

    As `colorlib.metrics.score_images`, without what takes long and is not asked for.
    """
    true = images_to_float(images)  # (N, 3, S, S)
    lab, true_lab = rgb_to_lab(rgb), rgb_to_lab(true)
    error_ab = (lab - true_lab)[:, 1:] / AB_SCALE  # (N, 2, S, S)
    mse_ab_norm = error_ab.square().mean((1, 2, 3))  # (N,)
    mse_rgb = (rgb - true).square().mean((1, 2, 3))
    off, of_gray = (lab - true_lab)[:, 1:].norm(dim=1), true_lab[:, 1:].norm(dim=1)
    worse = (off - of_gray > WORSE).float().mean((1, 2))  # (N,), of its pixels
    found = {
        "mse_ab_norm": mse_ab_norm,
        "rmse_ab_norm": mse_ab_norm.sqrt(),
        "mse_rgb": mse_rgb,
        "psnr_rgb": -10 * mse_rgb.log10(),
        "ciede2000": ciede2000(lab, true_lab).mean((1, 2)),
        "colourfulness": colourfulness(rgb),
        "colourfulness_true": colourfulness(true),
        "harmed": (worse > PART).float(),
    }
    for name, values in found.items():
        scores[name].append(values)


# ----------------------------------------------------------------------------- choosing


def choose(net: ColorUNet, packed: Path, count: int) -> list[dict[str, Any]]:
    """Mean scores of every setting beside gray.

    Args:
        net: The network.
        packed: Its photographs.
        count: Photographs a set.

    Returns:
        For each setting its scores, the best first.
    """
    held = Photographs(packed, VALIDATION)
    tables: Tables = defaultdict(dict)
    for name, images in held.images.items():
        rows = spread(held.rows[name], count)
        found: dict[Setting | None, Scores] = defaultdict(lambda: defaultdict(list))
        for start in range(0, len(rows), BATCH):
            some = torch.from_numpy(images[rows[start : start + BATCH]])
            _try_settings(net, some, found)
        gray_means = _means(found.pop(None))
        for setting, scores in found.items():
            assert setting is not None
            tables[setting][name] = _beside(_means(scores), gray_means)
    return _ranked(tables)


def _try_settings(
    net: ColorUNet, images: Tensor, found: dict[Setting | None, Scores]
) -> None:
    """Score a batch under all settings, and in gray (None)."""
    size = min(CHOOSING_SIZE, images.shape[1])
    colouring = Colouring(net, images, size)
    images = resize(images, size)
    gray = with_chroma(colouring.L_norm, torch.zeros(1, 2, 1, 1))
    add_scores(found[None], gray, images)
    for view in VIEW_SIZES:
        logits = colouring.logits(view)
        for caution in CAUTIONS:
            rgb = colouring.joined(colouring.ab_norm(logits, caution))
            add_scores(found[Setting(view, caution)], rgb, images)


def _means(scores: Scores) -> dict[str, float]:
    return {name: float(torch.cat(parts).mean()) for name, parts in scores.items()}


def _beside(means: dict[str, float], gray: dict[str, float]) -> dict[str, float]:
    """What is gained over gray, and the fraction of the true colourfulness."""
    return {
        "rmse_ab_norm": means["rmse_ab_norm"] - gray["rmse_ab_norm"],
        "psnr_rgb": means["psnr_rgb"] - gray["psnr_rgb"],
        "ciede2000": means["ciede2000"] - gray["ciede2000"],
        "colourful": means["colourfulness"] / means["colourfulness_true"],
        "harmed": means["harmed"],
    }


def _ranked(tables: Tables) -> list[dict[str, Any]]:
    """Settings that harm few photographs, the best first; then the others."""
    means = {setting: _over_sets(by_set) for setting, by_set in tables.items()}
    few = [m["ciede2000"] for m in means.values() if m["harmed"] <= HARMED]
    lowest = min(few, default=-np.inf)

    def order(setting: Setting) -> tuple[bool, float, int, float]:
        mean = means[setting]
        behind = max(lowest + ALIKE, mean["ciede2000"])
        return mean["harmed"] > HARMED, behind, -setting.view_size, -mean["colourful"]

    return [
        {"setting": asdict(setting), "mean": means[setting], "sets": tables[setting]}
        for setting in sorted(tables, key=order)
    ]


def _over_sets(by_set: dict[str, dict[str, float]]) -> dict[str, float]:
    """The mean of each score over the sets."""
    names = next(iter(by_set.values()))
    return {n: float(np.mean([row[n] for row in by_set.values()])) for n in names}


# ------------------------------------------------------------------------------ testing


def evaluate(net: ColorUNet, packed: Path, data: Path, count: int) -> dict[str, Any]:
    """Scores on every test set, beside gray and two means, with intervals.

    Args:
        net: The network, with the settings of its file.
        packed: Its photographs.
        data: The files they were packed from.
        count: Photographs a set at most.
    """
    setting = Setting(net.config.view_size, net.config.caution)
    report: dict[str, Any] = {}
    for name in TEST_SIZES:
        if not (packed / f"{name}.npz").exists():
            continue
        mean_image = mean_chroma(packed, name)  # (1, 2, 64, 64)
        methods = _methods(net, setting, mean_image)
        scores: dict[str, Scores] = {key: defaultdict(list) for key in methods}
        for images in test_batches(packed, data, name, count):
            colouring = Colouring(net, images)
            for key, method in methods.items():
                add_scores(scores[key], method(colouring), images)
        report[name] = _with_intervals(scores)
    return report


def _methods(
    net: ColorUNet, setting: Setting, mean_image: Tensor
) -> dict[str, Callable[[Colouring], Tensor]]:
    """The network and the naive baselines: each gives `rgb`."""

    def chroma(ab_norm: Tensor) -> Callable[[Colouring], Tensor]:
        def method(colouring: Colouring) -> Tensor:
            size = colouring.L_norm.shape[-2:]
            upsampled = F.interpolate(ab_norm, size, mode="bilinear")
            return with_chroma(colouring.L_norm, upsampled)

        return method

    return {
        "model": lambda colouring: colouring.under(setting),
        "gray": chroma(torch.zeros(1, 2, 1, 1)),
        "mean colour": chroma(mean_image.mean((2, 3), keepdim=True)),
        "mean image": chroma(mean_image),
    }


def mean_chroma(packed: Path, name: str) -> Tensor:
    """Mean `ab_norm` of training photographs of a set, at each place: (1, 2, 64, 64).

    A set that was not trained on has the mean of all others.
    """
    trained = Photographs(packed, TRAIN)
    names = [name] if name in trained.images else list(trained.images)
    total = torch.zeros(1, 2, MEAN_SIZE, MEAN_SIZE, dtype=torch.float64)
    count = 0
    for each in names:
        rows = spread(trained.rows[each], MEAN_COUNT // len(names))
        for start in range(0, len(rows), BATCH):
            some = torch.from_numpy(trained.images[each][rows[start : start + BATCH]])
            rgb = images_to_float(resize(some, MEAN_SIZE))
            ab = rgb_to_lab(rgb)[:, 1:].double()  # (N, 2, 64, 64)
            total += ab.sum(0, keepdim=True)
            count += len(some)
    return (total / count / AB_SCALE).float()


def test_batches(packed: Path, data: Path, name: str, count: int) -> Iterator[Tensor]:
    """The test photographs of a set, from their files: (N, S, S, 3) uint8."""
    (root,) = [a_set.root for a_set in SETS if a_set.name == name]
    with np.load(packed / f"{name}.npz") as table:
        rows = spread(np.flatnonzero(table["purpose"] == TEST), count)
        paths = table["path"][rows].tolist()
    for start in range(0, len(paths), BATCH):
        squares = [
            fit_square(load_rgb(data / root / path), TEST_SIZES[name])
            for path in paths[start : start + BATCH]
        ]
        yield torch.from_numpy(np.stack(squares))


def _with_intervals(scores: dict[str, Scores]) -> dict[str, Any]:
    """Summaries of each method, and the model's differences from the others."""
    joined = {
        method: {name: torch.cat(parts) for name, parts in found.items()}
        for method, found in scores.items()
    }
    harmed = {method: values.pop("harmed") for method, values in joined.items()}
    report: dict[str, Any] = {
        method: {name: asdict(s) for name, s in summarize(values).items()}
        for method, values in joined.items()
    }
    ours = joined["model"]
    report["differences"] = {
        method: {
            name: asdict(image_interval((ours[name] - values[name]).numpy()))
            for name in METRICS
        }
        for method, values in joined.items()
        if method != "model"
    }
    true = ours["colourfulness_true"].mean()
    report["colourful"] = float(ours["colourfulness"].mean() / true)
    report["harmed"] = {
        method: asdict(image_interval(values.numpy()))
        for method, values in harmed.items()
    }
    return report


# -------------------------------------------------------------------------- the command


def line_of(name: str, report: dict[str, Any]) -> str:
    """One set in one line."""
    gains = report["differences"]["gray"]
    scores = ", ".join(
        f"{metric} {gains[metric]['mean']:+.4g} "
        f"({gains[metric]['ci_low']:.4g}, {gains[metric]['ci_high']:.4g})"
        for metric in METRICS[:3]
    )
    n = report["model"]["ciede2000"]["n"]
    colourful, harmed = report["colourful"], report["harmed"]["model"]["mean"]
    rates = f"colourful {colourful:.2f}, harmed {harmed:.3f}"
    return f"{name} (n = {n}), against gray: {scores}; {rates}"


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("task", choices=("choose", "test"))
    parser.add_argument("packed", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=10**6, help="photographs a set")
    given = parser.parse_args()
    net, _ = load_unet(given.model)
    if given.task == "choose":
        found = choose(net, given.packed, given.count)
        for row in found[:10]:
            print(json.dumps({**row["setting"], **row["mean"]}))
    else:
        found = evaluate(net, given.packed, given.data, given.count)
        for name, report in found.items():
            print(line_of(name, report))
    content = json.dumps(found, indent=1).encode()
    atomic_write(given.model.with_name(f"{given.task}.json"), content)


if __name__ == "__main__":
    main()
