"""The networks: their features, one step of training, execution modes, the loop."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from benchmarks.loading import folder_source, pack_afresh
from benchmarks.measuring import CPU, count_flops, profile_of, race, waited_for
from benchmarks.records import MATRIX, OURS, REFERENCE, Bar, Measurement
from benchmarks.reference import network, photographs
from benchmarks.workload import Workload
from colorlib.backbones import Backbone
from colorlib.color import images_to_float
from colorlib.data import PackedImages
from colorlib.features import Features, compute_features
from colorlib.losses import chroma_mse
from colorlib.model import ColorizationModel
from colorlib.sampling import Batch, Samples
from colorlib.targets import PAPER
from colorlib.training import TrainConfig
from colorlib.training.loop import ColorizationTask, fit

FULL_RATE = Bar(
    quantity="matrix share",
    at_least=0.9,
    obstacle="what is no convolution, and the convolutions of few channels: below",
)
FEW = 2  # images where each goes through the three networks: seconds a call
FLOAT32 = TrainConfig()  # float32, not compiled


class OurStep:
    """One update of a model's weights, as Lightning's loop makes it."""

    def __init__(
        self,
        model: ColorizationModel,
        config: TrainConfig = FLOAT32,
        device: torch.device = CPU,
    ) -> None:
        task = ColorizationTask(model, chroma_mse, FLOAT32).to(device)
        self.device = device
        self.compare: Callable[[Batch], torch.Tensor] = task.compare
        if config.compile_mode != "none":
            mode = config.compile_mode
            self.compare = torch.compile(task.compare, mode=mode, dynamic=False)
        self.optimizer = task.configure_optimizers()
        self.half = config.precision == "bf16-mixed"

    def __call__(self, batch: Batch) -> None:
        """Images in, weights changed."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            loss = self.compare(batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def features(workload: Workload) -> Iterator[Measurement]:
    """Class scores of images: a pass for each network, kept on disk."""
    paths, cache = workload.jpegs(FEW), workload.folder / "cache"
    packed = pack_afresh(paths[0].parent, 64, cache)
    decoded = photographs.JpegDataset(paths, 256)

    def reference() -> None:
        for L_norm, _ in DataLoader(decoded, FEW):
            network.class_scores_of(workload.networks, L_norm)

    def ours() -> None:
        features_afresh(packed, paths[0].parent, workload.backbones, cache)

    yield Measurement(
        benchmark="features",
        case="class scores of three networks",
        reference="computed in the loop, channels first",
        images={OURS: FEW, REFERENCE: FEW},
        seconds=race(
            {MATRIX: workload.matrix, OURS: ours, REFERENCE: reference},
            workload.few_rounds,
        ),
        flops=count_flops(ours),
    )


def features_afresh(
    packed: PackedImages, folder: Path, backbones: list[Backbone], cache: Path
) -> Features:
    """Class scores of all packed images as if for the first time."""
    shutil.rmtree(cache / "features", ignore_errors=True)
    return compute_features(
        folder_source(folder),
        packed.manifest,
        np.arange(len(packed)),
        backbones,
        kind="softmax",
        cache_root=cache,
    )


def step(workload: Workload) -> Iterator[Measurement]:
    """One step of training without the frozen networks."""
    for size, count in workload.sizes.items():
        batch = workload.batch(count, size)
        plain_step = plain(workload, batch)
        candidates: dict[str, Callable[[], object]] = {
            MATRIX: workload.matrix,
            OURS: partial(OurStep(workload.model()), batch),
            REFERENCE: plain_step,
        }
        yield Measurement(
            benchmark="step",
            case=f"training step, {size} px, batch {count}",
            reference="the same network, channels first; colours converted before",
            images={OURS: count, REFERENCE: count},
            seconds=race(candidates, workload.rounds),
            flops=count_flops(candidates[OURS]),
            profile=profile_of(candidates[OURS]),
            bars=(FULL_RATE,) if size > 64 else (),
        )
    yield deterministic_step(workload)
    yield third_backbone(workload)
    yield lightning_loop(workload)


def plain(
    workload: Workload, batch: Batch, device: torch.device = CPU
) -> Callable[[], object]:
    """The reference's step on a batch that is on a device."""
    assert batch.features is not None
    L_norm, ab_norm = PAPER.split(images_to_float(batch.images))
    scores = batch.features.mean(1)  # (N, 1000)
    reference = network.FusionNetwork(workload.width).to(device)
    return partial(network.Step(reference), L_norm, ab_norm, scores)


def modes(workload: Workload) -> Iterator[Measurement]:
    """Half precision and compilation, each beside the plain step.

    The keys `precision` and `compile_mode` of a profile are chosen from what this says.
    """
    compiled = TrainConfig(compile_mode="default")
    half = TrainConfig(precision="bf16-mixed")
    both = TrainConfig(precision="bf16-mixed", compile_mode="default")
    for config in (half,) if workload.quick else (compiled, half, both):
        for size, count in workload.sizes.items():
            yield one_mode(workload, config, size, count)


def one_mode(
    workload: Workload, config: TrainConfig, size: int, count: int
) -> Measurement:
    """A step in one mode and the plain step, in turns; compilation is not timed."""
    batch = workload.batch(count, size)
    candidates: dict[str, Callable[[], object]] = {
        OURS: partial(OurStep(workload.model(), config), batch),
        REFERENCE: partial(OurStep(workload.model()), batch),
    }
    compiled = "" if config.compile_mode == "none" else ", compiled"
    return Measurement(
        benchmark="modes",
        case=f"training step {config.precision}{compiled}, {size} px, batch {count}",
        reference="float32, not compiled",
        images={OURS: count, REFERENCE: count},
        seconds=race(candidates, workload.few_rounds),  # seconds each, some of them
    )


def deterministic_step(workload: Workload, device: torch.device = CPU) -> Measurement:
    """What it costs to forbid whatever may give other bits each time."""
    size, count = next(iter(workload.sizes.items()))
    batch = workload.batch(count, size).to(device)
    our_step = OurStep(workload.model(), device=device)
    step = waited_for(lambda: our_step(batch), device)

    def deterministic() -> None:
        torch.use_deterministic_algorithms(True)
        try:
            step()
        finally:
            torch.use_deterministic_algorithms(False)

    candidates = {OURS: deterministic, REFERENCE: step}
    return Measurement(
        benchmark="step",
        case=f"deterministic mode, {size} px",
        reference="the same step without it",
        images={OURS: count, REFERENCE: count},
        seconds=race(candidates, 2 * workload.rounds),
    )


def third_backbone(workload: Workload) -> Measurement:
    """What fusing a third network costs once its scores are there."""
    size, count = next(iter(workload.sizes.items()))
    names, batch = workload.backbone_names, workload.batch(count, size)
    assert batch.features is not None
    fewer = Batch(batch.images, batch.features[:, :2])
    three, two = (OurStep(workload.model(f"model{k}", names[:k])) for k in (3, 2))
    candidates = {OURS: lambda: three(batch), REFERENCE: lambda: two(fewer)}
    return Measurement(
        benchmark="step",
        case=f"three networks' scores in place of two, {size} px",
        reference="two networks' scores",
        images={OURS: count, REFERENCE: count},
        seconds=race(candidates, 2 * workload.rounds),
        bars=(Bar(quantity="ratio", at_least=1 / 1.02),),
    )


class StepEnds(Callback):
    """Notes when each step of a training ends."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        """Lightning calls it."""
        self.times.append(perf_counter())


def lightning_loop(workload: Workload) -> Measurement:
    """A step in Lightning's loop, with logs, beside the same step in a plain one."""
    size, count = next(iter(workload.sizes.items()))
    steps = workload.rounds + 2
    images = workload.batch(count, size, backbones=0).images.numpy()
    samples = Samples(images, None, np.tile(np.arange(count), steps))
    config, ends = TrainConfig(batch_size=count, accelerator="cpu"), StepEnds()
    model, folder = workload.model("plain"), workload.folder / "fit"
    none = Samples(images, None, np.arange(0))
    fit(model, chroma_mse, samples, none, folder, config, callbacks=[ends])
    plain_step, times = OurStep(model), []
    for first in range(0, len(samples), count):
        plain_step(samples.take(np.arange(first, first + count)))
        times.append(perf_counter())
    return Measurement(
        benchmark="step",
        case=f"a step in Lightning's loop, {size} px, batch {count}",
        reference="the same step in a plain loop, not interleaved",
        images={OURS: count, REFERENCE: count},
        seconds={
            OURS: [end - start for start, end in pairwise(ends.times)],
            REFERENCE: [end - start for start, end in pairwise(times)],
        },
    )
