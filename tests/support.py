"""What several tests share: one table of tolerances, colours and photographs."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from colorlib.unet import UNetConfig

# dtype -> (rtol, atol) of results of order 1. A test scales its data, not this table.
TOLERANCES = {
    torch.float64: (1e-12, 1e-12),
    torch.float32: (1e-5, 1e-5),
    torch.float16: (2e-3, 2e-3),
    torch.bfloat16: (1.6e-2, 1.6e-2),
}


# A bundled network of a few thousand weights.
SMALL = UNetConfig(
    stem=8,
    stages=((1, 8, 1, 1), (2, 8, 2, 2), (2, 12, 1, 2), (2, 16, 2, 2), (2, 16, 1, 2)),
    decoder=(16, 12, 8, 8),
)


def assert_close(actual: Tensor, expected: object, scale: float = 1.0) -> None:
    """Equal within the table's tolerance for the dtype of `actual`.

    Args:
        actual: What our code returned.
        expected: A tensor, an array or numbers; only its values count.
        scale: Size of the quantities, such as 100 for Lab.
    """
    rtol, atol = TOLERANCES[actual.dtype]
    torch.testing.assert_close(
        actual.double(),
        torch.as_tensor(expected, dtype=torch.float64).expand(actual.shape),
        rtol=rtol,
        atol=atol * scale,
    )


def pixels(colours: Iterable[Iterable[float]], dtype: torch.dtype) -> Tensor:
    """Colours as an image one pixel high: M triples -> (3, 1, M)."""
    table = np.array(list(colours), dtype=np.float64)  # (M, 3)
    return torch.from_numpy(table.T[:, None].copy()).to(dtype)


def grid(values: Iterable[float], dtype: torch.dtype) -> Tensor:
    """All triples of some values as an image: K values -> (3, K, K * K)."""
    axis = torch.tensor(list(values), dtype=torch.float64)
    K = len(axis)
    cube = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))
    return cube.reshape(3, K, K * K).to(dtype)


def rgb_cube(levels: int = 33, dtype: torch.dtype = torch.float64) -> Tensor:
    """A dense grid of the RGB cube as an image, (3, levels, levels * levels)."""
    return grid(np.linspace(0, 1, levels), dtype)


def photographs(count: int, size: int = 32, seed: int = 0) -> Tensor:
    """Soft random colours, (count, 3, size, size) float64 in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator, dtype=torch.float64)
    return F.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)


def with_skimage(
    convert: Callable[[NDArray[np.float64]], NDArray[np.float64]], image: Tensor
) -> NDArray[np.float64]:
    """Apply a function of scikit-image, channels last, to (..., 3, H, W)."""
    result = convert(image.double().movedim(-3, -1).numpy())
    return np.moveaxis(result, -1, -3)
