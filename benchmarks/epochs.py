"""Time of one epoch, from image files to updated weights."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.loading import pack_afresh
from benchmarks.measuring import race
from benchmarks.networks import FEW, OurStep, features_afresh
from benchmarks.records import OURS, REFERENCE, Bar, Measurement
from benchmarks.reference import network, photographs
from benchmarks.tables import LATER_EPOCH
from benchmarks.workload import Workload
from colorlib.features import Features
from colorlib.sampling import Batch, EpochLoader, Samples

LATER = {  # side of the images, pixels -> how many times faster at least
    64: (Bar(quantity="ratio", at_least=20),),
    256: (Bar(quantity="ratio", at_least=2),),
}
NO_SLOWER = (
    Bar(
        quantity="ratio",
        at_least=1,
        obstacle="so few images are packed and kept that opening files counts",
    ),
)
UNDER_2_PERCENT = (
    Bar(
        quantity="ratio",
        at_least=50,
        obstacle="batches are copied out of the memory map between two steps",
    ),
)


class Epochs:
    """The candidates at one size.

    The reference decodes, converts and runs the frozen networks in every epoch; ours
    has packed images and features by then. Its first epoch makes them.
    """

    def __init__(self, workload: Workload, size: int, count: int) -> None:
        self.workload = workload
        self.size = size
        self.cache = workload.folder / "cache"
        packed = pack_afresh(workload.jpegs(count)[0].parent, size, self.cache)
        logits = np.random.default_rng(0).random((3, len(packed), 1000), np.float32)
        features = Features(tuple(logits), "softmax")
        samples = Samples(packed.images, features, np.arange(len(packed)))
        self.batches = EpochLoader(samples, count, seed=0)
        self.our_step = OurStep(workload.model())
        self.few = workload.jpegs(FEW)
        decoded = photographs.JpegDataset(self.few, size)
        self.decoded = DataLoader(decoded, FEW, shuffle=True)
        plain = network.FusionNetwork(workload.width)
        self.their_step = network.Step(plain, workload.networks)

    def load(self) -> None:
        """What our training waits for."""
        for _ in self.batches:
            pass

    def ours(self) -> None:
        """A later epoch of ours."""
        for batch in self.batches:
            self.our_step(batch)

    def first(self) -> None:
        """Our first epoch, of few images."""
        folder = self.few[0].parent
        packed = pack_afresh(folder, self.size, self.cache)
        features = features_afresh(packed, folder, self.workload.backbones, self.cache)
        rows = np.arange(len(packed))
        self.our_step(Batch(torch.tensor(packed.images), features.take(rows)))

    def reference(self) -> None:
        """Any epoch of the reference, of few images."""
        for L_norm, ab_norm in self.decoded:
            self.their_step(L_norm, ab_norm)


def epoch(workload: Workload) -> Iterator[Measurement]:
    """Epochs of a few images at each size; the first one at the smallest."""
    in_loop = "decoding, converting, running three networks at every step"
    for size, count in workload.sizes.items():
        epochs = Epochs(workload, size, count)
        candidates: dict[str, Callable[[], None]] = {
            OURS: epochs.ours,
            REFERENCE: epochs.reference,
            "loading": epochs.load,
        }
        if size == min(workload.sizes):
            candidates["first"] = epochs.first
        seconds = race(candidates, workload.few_rounds)
        yield Measurement(
            benchmark="epoch",
            case=f"{LATER_EPOCH}, {size} px",
            reference=in_loop,
            images={OURS: count, REFERENCE: FEW},
            seconds={name: seconds[name] for name in (OURS, REFERENCE)},
            bars=LATER.get(size, ()),
        )
        yield Measurement(
            benchmark="epoch",
            case=f"waiting for batches, {size} px",
            reference="the whole epoch",
            images={OURS: count, REFERENCE: count},
            seconds={OURS: seconds["loading"], REFERENCE: seconds[OURS]},
            bars=UNDER_2_PERCENT,
        )
        if "first" in seconds:
            yield Measurement(
                benchmark="epoch",
                case=f"the first epoch, {size} px: packing, scores, steps",
                reference=in_loop,
                images={OURS: FEW, REFERENCE: FEW},
                seconds={OURS: seconds["first"], REFERENCE: seconds[REFERENCE]},
                bars=NO_SLOWER,
            )
