"""The networks: class scores, one step of training, an epoch, the loop around it."""

import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from benchmarks.loading import pack_afresh
from benchmarks.measuring import CPU, count_flops, profile_of, race, waited_for
from benchmarks.records import MATRIX, OURS, REFERENCE, Bar, Measurement
from benchmarks.reference import network, photographs
from benchmarks.setting import Setting
from colorlib.backbones import Backbone
from colorlib.color import images_to_float
from colorlib.data import PackedImages, open_source
from colorlib.features import Scores, compute_features
from colorlib.losses import chroma_mse
from colorlib.model import ColorizationModel
from colorlib.pace import HALF, PLAIN, Pace
from colorlib.sampling import Batch, Samples, ShuffledBatches
from colorlib.targets import PAPER
from colorlib.training import ColorizationTask, FitOptions, fit

FULL_RATE = Bar(
    quantity="matrix share",
    at_least=0.9,
    obstacle="what is no convolution, and the convolutions of few channels: below",
)
FEW = 2  # photographs where each goes through the three networks: seconds a call


class OurStep:
    """One update of a model's weights, as Lightning's loop makes it."""

    def __init__(
        self, model: ColorizationModel, pace: Pace = PLAIN, device: torch.device = CPU
    ) -> None:
        task = ColorizationTask(model, chroma_mse, learning_rate=1e-3).to(device)
        self.device = device
        self.task = task.compile_step(pace.compiled)
        self.optimizer = task.adam()
        self.half = HALF.get(pace.precision)

    def __call__(self, batch: Batch) -> None:
        """Photographs in, weights changed."""
        with torch.autocast(self.device.type, self.half, enabled=self.half is not None):
            loss = self.task.loss_of(batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def scores(setting: Setting) -> Iterator[Measurement]:
    """Class scores of photographs: one pass for all networks, kept on disk."""
    paths, cache = setting.jpegs(FEW), setting.folder / "cache"
    packed = pack_afresh(paths[0].parent, 64, cache)
    decoded = photographs.JpegDataset(paths, 256)

    def reference() -> None:
        for L_norm, _ in DataLoader(decoded, FEW):
            network.ask(setting.networks, L_norm)

    def ours() -> None:
        scores_afresh(packed, paths[0].parent, setting.backbones, cache)

    yield Measurement(
        benchmark="scores",
        case="class scores of three networks",
        reference="asked in the loop, channels first",
        images={OURS: FEW, REFERENCE: FEW},
        seconds=race(
            {MATRIX: setting.matrix, OURS: ours, REFERENCE: reference},
            setting.few_rounds,
        ),
        flops=count_flops(ours),
    )


def scores_afresh(
    packed: PackedImages, folder: Path, backbones: list[Backbone], cache: Path
) -> Scores:
    """Class scores as if for the first time, (N, K, 1000)."""
    shutil.rmtree(cache / "features", ignore_errors=True)
    source = open_source("folder", folder)
    return compute_features(
        source, packed.manifest, backbones, cache_root=cache, progress=False
    )


def step(setting: Setting) -> Iterator[Measurement]:
    """One step of training without the frozen networks."""
    for size, count in setting.sizes.items():
        batch = setting.batch(count, size)
        L_norm, ab_norm = PAPER.split(images_to_float(batch.images))
        assert batch.features is not None
        told = batch.features.mean(1)  # (N, 1000)
        plain = network.Step(network.FusionNetwork(setting.width))
        our_step = OurStep(setting.model())
        contestants: dict[str, Callable[[], object]] = {
            MATRIX: setting.matrix,
            OURS: lambda our_step=our_step, batch=batch: our_step(batch),
            REFERENCE: lambda plain=plain, a=(L_norm, ab_norm, told): plain(*a),
        }
        yield Measurement(
            benchmark="step",
            case=f"training step, {size} px, batch {count}",
            reference="the same network, channels first; colours converted before",
            images={OURS: count, REFERENCE: count},
            seconds=race(contestants, setting.rounds),
            flops=count_flops(contestants[OURS]),
            profile=profile_of(contestants[OURS]),
            bars=(FULL_RATE,) if size > 64 else (),
        )
    yield deterministic_step(setting)
    yield third_backbone(setting)
    yield lightning_loop(setting)


def deterministic_step(setting: Setting, device: torch.device = CPU) -> Measurement:
    """What it costs to forbid whatever may give other bits each time."""
    size, count = next(iter(setting.sizes.items()))
    batch = setting.batch(count, size).to(device)
    our_step = OurStep(setting.model(), device=device)
    step = waited_for(lambda: our_step(batch), device)

    def deterministic() -> None:
        torch.use_deterministic_algorithms(True)
        try:
            step()
        finally:
            torch.use_deterministic_algorithms(False)

    contestants = {OURS: deterministic, REFERENCE: step}
    return Measurement(
        benchmark="step",
        case=f"deterministic mode, {size} px",
        reference="the same step without it",
        images={OURS: count, REFERENCE: count},
        seconds=race(contestants, 2 * setting.rounds),
    )


def third_backbone(setting: Setting) -> Measurement:
    """What fusing a third network costs once its scores are there."""
    size, count = next(iter(setting.sizes.items()))
    names, batch = setting.backbone_names, setting.batch(count, size)
    assert batch.features is not None
    fewer = Batch(batch.images, batch.features[:, :2])
    three, two = (OurStep(setting.model(backbones=names[:k])) for k in (3, 2))
    contestants = {OURS: lambda: three(batch), REFERENCE: lambda: two(fewer)}
    return Measurement(
        benchmark="step",
        case=f"three networks' scores in place of two, {size} px",
        reference="two networks' scores",
        images={OURS: count, REFERENCE: count},
        seconds=race(contestants, 2 * setting.rounds),
        bars=(Bar(quantity="ratio", at_least=1 / 1.02),),
    )


class StepEnds(Callback):
    """Notes when each step of a training ends."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        """Lightning calls it."""
        self.times.append(perf_counter())


def lightning_loop(setting: Setting) -> Measurement:
    """A step in Lightning's loop, with logs, beside the same step in a plain one."""
    size, count = next(iter(setting.sizes.items()))
    steps = setting.rounds + 1
    images = setting.batch(count, size, backbones=0).images.numpy()
    samples = Samples(images, None, np.tile(np.arange(count), steps + 1))
    batches, ends = ShuffledBatches(samples, count, seed=0), StepEnds()
    options = FitOptions(max_epochs=1, accelerator="cpu", progress=False)
    model = setting.model("plain")
    fit(model, chroma_mse, batches, None, setting.folder / "fit", options, [ends])
    plain, times = OurStep(model), []
    for batch in batches:
        plain(batch)
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
