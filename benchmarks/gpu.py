"""A GPU: training steps in each mode, an epoch, class scores, colour conversion.

A GPU works while the program goes on, so what is timed is several calls and the wait
for their end. The matrix product beside them is larger than on a processor, and of the
numbers that the row computes with: a rate is a fraction of the rate of its own dtype.
"""

import os
from collections.abc import Iterator
from functools import cached_property, partial

import numpy as np
import torch
from skimage import color
from torch.utils.data import DataLoader

from benchmarks.colour_conversion import one_by_one
from benchmarks.measuring import (
    Candidate,
    MatrixProduct,
    count_flops,
    device_memory,
    profile_of,
    race,
    waited_for,
)
from benchmarks.networks import OurStep, deterministic_step, plain
from benchmarks.records import MATRIX, OURS, REFERENCE, Bar, Dtype, Measurement
from benchmarks.reference import network, photographs
from benchmarks.tables import LATER_EPOCH
from benchmarks.workload import PAPER_BATCH, Workload
from colorlib.backbones import features_of_images
from colorlib.color import images_to_float, lab_to_rgb, rgb_to_lab
from colorlib.errors import UserError
from colorlib.features import Features
from colorlib.sampling import EpochLoader, Samples
from colorlib.training import TrainConfig

SIDE = 8192  # of the matrices
CALLS = 8  # between two waits for the device
FULL = 256  # images of 256 px that fill a device
SEEN = 256  # side of the gray image that the frozen networks are given, pixels
AT_ONCE = 128  # images at a time through the frozen networks
GPU_RATE = Bar(
    quantity="matrix share",
    at_least=0.4,
    obstacle="convolutions of few channels, and passes over memory between them: below",
)


def gpu(workload: Workload) -> Iterator[Measurement]:
    """Everything that a training does on a GPU; only if asked for.

    Raises:
        UserError: If there is none.
    """
    if not torch.cuda.is_available():
        raise UserError("found no GPU, expected one for the benchmark gpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as Lightning does
    torch.set_float32_matmul_precision("high")  # TF32, as convolutions by default
    yield from OnDevice(workload, torch.device("cuda")).measurements()


class OnDevice:
    """The candidates on one device.

    Args:
        workload: How large they are.
        device: Any; the tests take a processor.
    """

    def __init__(self, workload: Workload, device: torch.device) -> None:
        self.workload = workload
        self.device = device
        self.calls = 1 if workload.quick else CALLS

    @cached_property
    def matrices(self) -> dict[Dtype, MatrixProduct]:
        """A matrix product of each kind of numbers."""
        side = 256 if self.workload.quick else SIDE
        return {
            "float32": MatrixProduct(side, device=self.device),
            "bfloat16": MatrixProduct(side, dtype=torch.bfloat16, device=self.device),
        }

    @property
    def batches(self) -> list[tuple[int, int]]:
        """Side of the images, and how many: the paper's batch, and a full one."""
        if self.workload.quick:
            return [(32, 4)]
        return [(256, PAPER_BATCH), (256, FULL), (128, PAPER_BATCH), (64, PAPER_BATCH)]

    @property
    def modes(self) -> list[TrainConfig]:
        """Plain float32, and bfloat16 as it is, compiled, and as a CUDA graph."""
        half = [TrainConfig(precision="bf16-mixed")]
        if not self.workload.quick:
            half += [
                TrainConfig(precision="bf16-mixed", compile_mode="default"),
                TrainConfig(precision="bf16-mixed", compile_mode="reduce-overhead"),
            ]
        return [TrainConfig(), *half]

    def measurements(self) -> Iterator[Measurement]:
        """All of them, the most telling first."""
        for size, count in self.batches:
            yield from self.steps(size, count)
        yield self.epoch()
        yield self.class_scores()
        yield from self.colours()
        price = deterministic_step(self.workload, self.device)
        yield price.model_copy(update={"benchmark": "gpu"})

    def often(self, call: Candidate) -> Candidate:
        """What is timed of a call."""
        return waited_for(call, self.device, self.calls)

    def steps(self, size: int, count: int) -> Iterator[Measurement]:
        """A training step in each mode, beside the same network written plainly."""
        batch = self.workload.batch(count, size).to(self.device)
        modes = {mode_text(mode): mode for mode in self.modes}
        calls: dict[str, Candidate] = {
            REFERENCE: plain(self.workload, batch, self.device)
        }
        for name, mode in modes.items():
            step = OurStep(self.workload.model(), mode, self.device)
            calls[name] = partial(step, batch)
        memory = {
            name: device_memory(call, self.device) for name, call in calls.items()
        }
        candidates = {name: self.often(call) for name, call in calls.items()}
        products = {dtype: self.often(m) for dtype, m in self.matrices.items()}
        seconds = race(candidates | products, self.workload.rounds)
        flops = self.calls * count_flops(calls[next(iter(modes))])
        best = min(modes, key=lambda name: np.median(seconds[name]))
        for name, mode in modes.items():
            dtype: Dtype = "float32" if mode.precision == "32-true" else "bfloat16"
            held = {OURS: memory[name], REFERENCE: memory[REFERENCE]}
            yield Measurement(
                benchmark="gpu",
                case=f"training step, {name}, {size} px, batch {count}",
                reference="float32, channels first; colours converted before",
                images=dict.fromkeys((OURS, REFERENCE), self.calls * count),
                seconds={
                    OURS: seconds[name],
                    REFERENCE: seconds[REFERENCE],
                    MATRIX: seconds[dtype],
                },
                flops=flops,
                dtype=dtype,
                matrix_dtype=dtype,
                matrix_flops=self.calls * self.matrices[dtype].flops,
                profile=profile_of(candidates[name], device=self.device),
                peak_bytes={k: size for k, size in held.items() if size is not None},
                bars=(GPU_RATE,) if (name, count) == (best, FULL) else (),
            )

    def epoch(self) -> Measurement:
        """A later epoch of some images, from where they are to changed weights.

        The reference decodes, converts and runs the frozen networks again.
        """
        size, batch_size = self.batches[0]
        count, few = (
            (8, 4) if self.workload.quick else (32 * batch_size, 2 * batch_size)
        )
        images = self.workload.batch(count, size, backbones=0).images.numpy()
        logits = np.random.default_rng(0).random((3, count, 1000), np.float32)
        features = Features(tuple(logits), "softmax")
        samples = Samples(images, features, np.arange(count))
        held = samples.cache_on_device(self.device)
        ours = EpochLoader(held, batch_size, seed=0)
        mode = self.modes[-1]
        step = OurStep(self.workload.model(), mode, self.device)
        files = photographs.JpegDataset(self.workload.jpegs(few), size)
        theirs = DataLoader(files, batch_size, shuffle=True)
        reference = network.FusionNetwork(self.workload.width).to(self.device)
        plain_step = network.Step(reference, self.networks)

        def our_epoch() -> None:
            for batch in ours:
                step(batch.to(self.device))

        def their_epoch() -> None:
            for L_norm, ab_norm in theirs:
                plain_step(L_norm.to(self.device), ab_norm.to(self.device))

        candidates = {OURS: our_epoch, REFERENCE: their_epoch}
        timed = {name: waited_for(c, self.device) for name, c in candidates.items()}
        return Measurement(
            benchmark="gpu",
            case=f"{LATER_EPOCH}, {mode_text(mode)}, batch {batch_size}, {size} px",
            reference="decoding, converting, running three networks at every step",
            images={OURS: count, REFERENCE: few},
            seconds=race(timed, self.workload.few_rounds),
        )

    @property
    def networks(self) -> list[tuple[torch.nn.Module, int]]:
        """The frozen networks as the reference has them."""
        return [(net.to(self.device), size) for net, size in self.workload.networks]

    def class_scores(self) -> Measurement:
        """Class scores of gray images that are on the device already."""
        count, few, side = (4, 2, 64) if self.workload.quick else (AT_ONCE, 20, SEEN)
        gray = torch.rand(count, 1, side, side, device=self.device)
        backbones = [b.to(self.device) for b in self.workload.backbones]
        matrix = self.matrices["float32"]
        ours = partial(features_of_images, backbones, gray, "logits")
        theirs = partial(network.class_scores_of, self.networks, 2 * gray[:few] - 1)
        candidates = {MATRIX: matrix, OURS: ours, REFERENCE: theirs}
        timed = {name: waited_for(c, self.device) for name, c in candidates.items()}
        return Measurement(
            benchmark="gpu",
            case=f"class scores of three networks, batch {count}",
            reference=f"channels first, batch {few}",
            images={OURS: count, REFERENCE: few},
            seconds=race(timed, self.workload.rounds),
            flops=count_flops(ours),
            matrix_flops=matrix.flops,
        )

    def colours(self) -> Iterator[Measurement]:
        """RGB to Lab and back, beside scikit-image on the processor."""
        size, count, few = (32, 4, 2) if self.workload.quick else (256, 64, 4)
        rgb = images_to_float(self.workload.batch(count, size).images)  # (N, 3, S, S)
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
                self.workload.rounds,
            )
            yield Measurement(
                benchmark="gpu",
                case=f"{way}, {size} px",
                reference="scikit-image, one by one, on the processor",
                images={OURS: self.calls * count, REFERENCE: few},
                seconds=seconds,
            )


def mode_text(mode: TrainConfig) -> str:
    """An execution mode in words.

    Example:
        >>> mode_text(TrainConfig(precision="bf16-mixed", compile_mode="default"))
        'bfloat16, compiled'
    """
    numbers = "float32" if mode.precision == "32-true" else "bfloat16"
    made = {
        "none": "",
        "default": ", compiled",
        "reduce-overhead": ", as a CUDA graph",
    }
    return numbers + made[mode.compile_mode]
