"""A GPU: training steps each way, an epoch, class scores, colour conversion.

A GPU works while the program goes on, so what is timed is several calls and the wait
for their end. The matrix product beside them is of bfloat16 numbers, and larger than on
a processor: what the device is made for.
"""

import os
from collections.abc import Iterator
from functools import cached_property, partial

import numpy as np
import torch
from skimage import color
from torch.utils.data import DataLoader

from benchmarks.colours import one_by_one
from benchmarks.measuring import (
    Contestant,
    MatrixProduct,
    count_flops,
    device_memory,
    profile_of,
    race,
    waited_for,
)
from benchmarks.networks import OurStep, deterministic_step
from benchmarks.records import MATRIX, OURS, REFERENCE, Bar, Measurement
from benchmarks.reference import network, photographs
from benchmarks.setting import PAPER_BATCH, Setting
from benchmarks.tables import LATER_EPOCH
from colorlib.backbones import extract_features
from colorlib.color import images_to_float, lab_to_rgb, rgb_to_lab
from colorlib.errors import UserError
from colorlib.pace import Pace, open_ways
from colorlib.sampling import Batch, Samples, ShuffledBatches
from colorlib.targets import PAPER

SIDE = 8192  # of the matrices
CALLS = 8  # between two waits for the device
FULL = 256  # photographs of 256 px that fill a device
SEEN = 256  # side of the gray image that the frozen networks are shown, pixels
ASKED = 128  # photographs at a time that they are asked about, as in a training
SHARE = Bar(
    quantity="matrix share",
    at_least=0.4,
    obstacle="convolutions of few channels, and passes over memory between them: below",
)


def gpu(setting: Setting) -> Iterator[Measurement]:
    """Everything that a training does on a GPU; only if asked for.

    Raises:
        UserError: If there is none.
    """
    if not torch.cuda.is_available():
        raise UserError("found no GPU, expected one for the benchmark gpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as Lightning does
    yield from Device(setting, torch.device("cuda")).measurements()


class Device:
    """The contestants on one device.

    Args:
        setting: How large they are.
        device: Any; the tests take a processor.
    """

    def __init__(self, setting: Setting, device: torch.device) -> None:
        self.setting = setting
        self.device = device
        self.calls = 1 if setting.quick else CALLS

    @cached_property
    def matrix(self) -> MatrixProduct:
        """Of bfloat16 numbers."""
        side = 256 if self.setting.quick else SIDE
        return MatrixProduct(side, dtype=torch.bfloat16, device=self.device)

    @property
    def batches(self) -> list[tuple[int, int]]:
        """Side of the photographs, and how many: the paper's batch, and a full one."""
        if self.setting.quick:
            return [(32, 4)]
        return [(256, PAPER_BATCH), (256, FULL), (128, PAPER_BATCH), (64, PAPER_BATCH)]

    @property
    def ways(self) -> list[Pace]:
        """Plain float32, and bfloat16 each way."""
        compiled = "none" if self.setting.quick else "auto"
        ways = open_ways("auto", compiled, self.device)
        return [w for w in ways if w.precision != "32-true" or w.compiled == "none"]

    def measurements(self) -> Iterator[Measurement]:
        """All of them, the most telling first."""
        for size, count in self.batches:
            yield from self.steps(size, count)
        yield self.epoch()
        yield self.scores()
        yield from self.colours()
        price = deterministic_step(self.setting, self.device)
        yield price.model_copy(update={"benchmark": "gpu"})

    def often(self, call: Contestant) -> Contestant:
        """What is timed of a call."""
        return waited_for(call, self.device, self.calls)

    def steps(self, size: int, count: int) -> Iterator[Measurement]:
        """A training step each way, beside the same network written plainly."""
        batch = self.setting.batch(count, size).to(self.device)
        calls: dict[str, Contestant] = {REFERENCE: self.plain_step(batch)}
        ways = {f"{w.precision}, {w.compiled}": w for w in self.ways}
        for name, way in ways.items():
            step = OurStep(self.setting.model(), way, self.device)
            calls[name] = partial(step, batch)
        memory = {
            name: device_memory(call, self.device) for name, call in calls.items()
        }
        contestants = {name: self.often(call) for name, call in calls.items()}
        contestants[MATRIX] = self.often(self.matrix)
        seconds = race(contestants, self.setting.rounds)
        flops = self.calls * count_flops(calls[next(iter(ways))])
        best = min(ways, key=lambda name: np.median(seconds[name]))
        for name, way in ways.items():
            yield Measurement(
                benchmark="gpu",
                case=f"training step, {way_text(way)}, {size} px, batch {count}",
                reference="float32, channels first; colours converted before",
                images=dict.fromkeys((OURS, REFERENCE), self.calls * count),
                seconds={
                    OURS: seconds[name],
                    REFERENCE: seconds[REFERENCE],
                    MATRIX: seconds[MATRIX],
                },
                flops=flops,
                matrix_flops=self.calls * self.matrix.flops,
                profile=profile_of(contestants[name], device=self.device),
                peak_bytes={
                    contestant: held
                    for contestant, held in (
                        (OURS, memory[name]),
                        (REFERENCE, memory[REFERENCE]),
                    )
                    if held is not None
                },
                bars=(SHARE,) if (name, count) == (best, FULL) else (),
            )

    def plain_step(self, batch: Batch) -> Contestant:
        """The reference's step on a batch."""
        assert batch.features is not None
        L_norm, ab_norm = PAPER.split(images_to_float(batch.images))
        told = batch.features.mean(1)  # (N, 1000)
        plain = network.FusionNetwork(self.setting.width).to(self.device)
        return partial(network.Step(plain), L_norm, ab_norm, told)

    def epoch(self) -> Measurement:
        """A later epoch of some photographs, from where they are to changed weights.

        The reference decodes, converts and asks the frozen networks again.
        """
        size, batch_size = self.batches[0]
        count, few = (8, 4) if self.setting.quick else (32 * batch_size, 2 * batch_size)
        drawn = self.setting.batch(count, size)
        assert drawn.features is not None
        samples = Samples(
            drawn.images.numpy(), drawn.features.numpy(), np.arange(count)
        )
        ours = ShuffledBatches(samples, batch_size, seed=0).to_device(self.device)
        step = OurStep(self.setting.model(), self.ways[-1], self.device)
        files = photographs.JpegDataset(self.setting.jpegs(few), size)
        theirs = DataLoader(files, batch_size, shuffle=True)
        plain = network.FusionNetwork(self.setting.width).to(self.device)
        plain_step = network.Step(plain, self.networks)

        def our_epoch() -> None:
            for batch in ours:
                step(batch.to(self.device))

        def their_epoch() -> None:
            for L_norm, ab_norm in theirs:
                plain_step(L_norm.to(self.device), ab_norm.to(self.device))

        contestants = {OURS: our_epoch, REFERENCE: their_epoch}
        timed = {name: waited_for(c, self.device) for name, c in contestants.items()}
        return Measurement(
            benchmark="gpu",
            case=f"{LATER_EPOCH}, {way_text(self.ways[-1])}, batch {batch_size}, "
            f"{size} px",
            reference="decoding, converting, asking three networks at every step",
            images={OURS: count, REFERENCE: few},
            seconds=race(timed, self.setting.few_rounds),
        )

    @property
    def networks(self) -> list[tuple[torch.nn.Module, int]]:
        """The frozen networks as the reference has them."""
        return [(net.to(self.device), size) for net, size in self.setting.networks]

    def scores(self) -> Measurement:
        """Class scores of gray images that are on the device already."""
        count, few, side = (4, 2, 64) if self.setting.quick else (ASKED, 20, SEEN)
        gray = torch.rand(count, 1, side, side, device=self.device)
        backbones = [b.to(self.device) for b in self.setting.backbones]
        networks = self.networks
        L_norm = 2 * gray[:few] - 1

        def ours(half: bool = True) -> None:
            for backbone in backbones:
                extract_features(backbone, gray, "logits", half)

        return Measurement(
            benchmark="gpu",
            case=f"class scores of three networks, float16, batch {count}",
            reference=f"float32, channels first, batch {few}",
            images={OURS: count, REFERENCE: few},
            seconds=race(
                {
                    MATRIX: waited_for(self.matrix, self.device),
                    OURS: waited_for(ours, self.device),
                    REFERENCE: waited_for(
                        partial(network.ask, networks, L_norm), self.device
                    ),
                },
                self.setting.rounds,
            ),
            flops=count_flops(partial(ours, half=False)),
            matrix_flops=self.matrix.flops,
        )

    def colours(self) -> Iterator[Measurement]:
        """RGB to Lab and back, beside scikit-image on the processor."""
        size, count, few = (32, 4, 2) if self.setting.quick else (256, 64, 4)
        rgb = images_to_float(self.setting.batch(count, size).images)  # (N, 3, S, S)
        for way, ours, theirs, images in (
            ("RGB to Lab", rgb_to_lab, color.rgb2lab, rgb),
            ("Lab to RGB", lab_to_rgb, color.lab2rgb, rgb_to_lab(rgb)),
        ):
            arrays = images[:few].permute(0, 2, 3, 1).contiguous().numpy()
            seconds = race(
                {
                    OURS: self.often(partial(ours, images.to(self.device))),
                    REFERENCE: partial(one_by_one, theirs, arrays),
                },
                self.setting.rounds,
            )
            yield Measurement(
                benchmark="gpu",
                case=f"{way}, {size} px",
                reference="scikit-image, one by one, on the processor",
                images={OURS: self.calls * count, REFERENCE: few},
                seconds=seconds,
            )


def way_text(way: Pace) -> str:
    """A way to make a step, in words.

    Example:
        >>> way_text(Pace("bf16-mixed", "reduce-overhead"))
        'bfloat16, as a CUDA graph'
    """
    numbers = "float32" if way.precision == "32-true" else "bfloat16"
    made = {
        "none": "",
        "default": ", compiled",
        "reduce-overhead": ", as a CUDA graph",
    }
    return numbers + made[way.compiled]
