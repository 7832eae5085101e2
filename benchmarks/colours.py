"""Colour conversion: a batch in torch, beside scikit-image one by one."""

from collections.abc import Iterator

import numpy as np
from skimage import color

from benchmarks.measuring import race
from benchmarks.setting import Setting
from colorlib.color import images_to_float, lab_to_rgb, rgb_to_lab
from colorlib.speed import OURS, REFERENCE, Bar, Measurement

TEN_TIMES = (
    Bar(
        quantity="ratio",
        at_least=10,
        obstacle="one operation after the other, each a pass over memory, two of them "
        "powers; one fused kernel would change the last bits of every training",
    ),
)


def colour(setting: Setting) -> Iterator[Measurement]:
    """RGB to Lab and back, float32, in batches of a quarter of a million pixels."""
    for size, count in ((32, 8),) if setting.quick else ((64, 64), (256, 8)):
        rgb = images_to_float(setting.batch(count, size).images)  # (N, 3, S, S)
        lab = rgb_to_lab(rgb)
        rgbs = rgb.permute(0, 2, 3, 1).contiguous().numpy()  # (N, S, S, 3)
        labs = lab.permute(0, 2, 3, 1).contiguous().numpy()
        ways = {
            "RGB to Lab": {
                OURS: lambda rgb=rgb: rgb_to_lab(rgb),
                REFERENCE: lambda rgbs=rgbs: np.stack([*map(color.rgb2lab, rgbs)]),
            },
            "Lab to RGB": {
                OURS: lambda lab=lab: lab_to_rgb(lab),
                REFERENCE: lambda labs=labs: np.stack([*map(color.lab2rgb, labs)]),
            },
        }
        for way, contestants in ways.items():
            yield Measurement(
                benchmark="colour",
                case=f"{way}, {size} px",
                reference="scikit-image, one by one",
                images=dict.fromkeys(contestants, count),
                seconds=race(contestants, 3 * setting.rounds),
                bars=TEN_TIMES,
            )
