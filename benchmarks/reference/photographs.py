"""Images one at a time: decode, resize, convert, score, colour."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import color, metrics, transform
from torch import Tensor, nn
from torch.utils.data import Dataset

Floats = NDArray[np.floating[Any]]


class JpegDataset(Dataset[tuple[Tensor, Tensor]]):
    """Photographs of a folder, decoded and converted whenever one is asked for.

    Args:
        paths: The files.
        size: Side of the squares, pixels.
    """

    def __init__(self, paths: list[Path], size: int) -> None:
        self.paths = paths
        self.size = size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """`L_norm` (1, S, S) and `ab_norm` (2, S, S), float32."""
        lab = color.rgb2lab(decode(self.paths[index], self.size))  # (S, S, 3)
        planes = torch.from_numpy(lab.transpose(2, 0, 1).astype(np.float32))
        return planes[:1] / 50 - 1, planes[1:] / 128


def decode(path: Path, size: int) -> Floats:
    """Read a photograph and resize it, (size, size, 3) in [0, 1]."""
    rgb = np.asarray(Image.open(path).convert("RGB"))
    square: Floats = transform.resize(rgb, (size, size), anti_aliasing=True)
    return square


def score(pred_rgb: Floats, true_rgb: Floats) -> dict[str, float]:
    """Scores of one photograph, (H, W, 3) in [0, 1], by scikit-image."""
    pred_lab, true_lab = color.rgb2lab(pred_rgb), color.rgb2lab(true_rgb)
    return {
        "rmse_ab_norm": float(np.sqrt(np.mean((pred_lab - true_lab)[..., 1:] ** 2)))
        / 128,
        "psnr_rgb": metrics.peak_signal_noise_ratio(true_rgb, pred_rgb, data_range=1),
        "ssim_rgb": metrics.structural_similarity(
            true_rgb, pred_rgb, channel_axis=2, data_range=1,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        ),
        "ciede2000": float(color.deltaE_ciede2000(pred_lab, true_lab).mean()),
    }  # fmt: skip


@torch.no_grad()
def evaluate(model: nn.Module, images: NDArray[np.uint8]) -> list[dict[str, float]]:
    """Predict and score photographs (N, S, S, 3) one by one."""
    scores = []
    for image in images:
        true_rgb = image / 255
        lab = color.rgb2lab(true_rgb)
        L_norm = torch.from_numpy(lab[..., 0]).float()[None, None] / 50 - 1
        ab = model(L_norm)[0].permute(1, 2, 0).numpy() * 128  # (S, S, 2)
        pred_rgb = color.lab2rgb(np.dstack([lab[..., :1], ab]))
        scores.append(score(pred_rgb, true_rgb))
    return scores


@torch.no_grad()
def colour_file(model: nn.Module, size: int, source: Path, target: Path) -> None:
    """Colour a photograph: convert it, upsample the chroma, convert it back."""
    lab = color.rgb2lab(np.asarray(Image.open(source).convert("RGB")))  # (H, W, 3)
    H, W = lab.shape[:2]
    small = (round(size * H / min(H, W)), round(size * W / min(H, W)))
    L = transform.resize(lab[..., 0], small, anti_aliasing=True)
    L_norm = torch.from_numpy(L).float()[None, None] / 50 - 1
    ab = model(L_norm)[0].permute(1, 2, 0).numpy() * 128  # (h, w, 2)
    lab[..., 1:] = transform.resize(ab, (H, W))
    coloured = (color.lab2rgb(lab) * 255).round().astype(np.uint8)
    Image.fromarray(coloured).save(target, quality=95, subsampling=0)


def main() -> None:
    """Colour one file by the model of the package, and print the seconds."""
    from colorlib.colorize import Colorizer

    source, target = map(Path, sys.argv[1:3])
    colorizer = Colorizer.load()
    start = time.perf_counter()
    colour_file(colorizer.model, colorizer.size, source, target)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
