"""Some photographs of an epoch, from the file to the changed weights."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.loading import pack_afresh
from benchmarks.measuring import race
from benchmarks.networks import FEW, OurStep, scores_afresh
from benchmarks.records import OURS, REFERENCE, Bar, Measurement
from benchmarks.reference import network, photographs
from benchmarks.setting import Setting
from benchmarks.tables import LATER_EPOCH
from colorlib.sampling import Batch, Samples, ShuffledBatches

LATER = {  # side of the photographs, pixels -> how many times faster at least
    64: (Bar(quantity="ratio", at_least=20),),
    256: (Bar(quantity="ratio", at_least=2),),
}
NO_SLOWER = (
    Bar(
        quantity="ratio",
        at_least=1,
        obstacle="so few photographs are packed and kept that opening files counts",
    ),
)
UNDER_2_PERCENT = (
    Bar(
        quantity="ratio",
        at_least=50,
        obstacle="batches are copied out of the memory map between two steps",
    ),
)


class Contest:
    """The contestants at one size.

    The reference decodes, converts and asks the frozen networks in every epoch; ours
    has packed photographs and scores by then. Its first epoch makes them.
    """

    def __init__(self, setting: Setting, size: int, count: int) -> None:
        self.setting = setting
        self.size = size
        self.cache = setting.folder / "cache"
        packed = pack_afresh(setting.jpegs(count)[0].parent, size, self.cache)
        rows = np.arange(len(packed.images))
        told = np.random.default_rng(0).random((count, 3, 1000), np.float32) / 500
        samples = Samples(packed.images, told, rows)
        self.batches = ShuffledBatches(samples, count, seed=0)
        self.our_step = OurStep(setting.model())
        self.few = setting.jpegs(FEW)
        decoded = photographs.JpegDataset(self.few, size)
        self.decoded = DataLoader(decoded, FEW, shuffle=True)
        plain = network.FusionNetwork(setting.width)
        self.their_step = network.Step(plain, setting.networks)

    def load(self) -> None:
        """What our training waits for."""
        for _ in self.batches:
            pass

    def ours(self) -> None:
        """A later epoch of ours."""
        for batch in self.batches:
            self.our_step(batch)

    def first(self) -> None:
        """Our first epoch, of few photographs."""
        folder = self.few[0].parent
        packed = pack_afresh(folder, self.size, self.cache)
        told = scores_afresh(packed, folder, self.setting.backbones, self.cache)
        self.our_step(Batch(torch.tensor(packed.images), torch.from_numpy(told)))

    def reference(self) -> None:
        """Any epoch of the reference, of few photographs."""
        for L_norm, ab_norm in self.decoded:
            self.their_step(L_norm, ab_norm)


def epoch(setting: Setting) -> Iterator[Measurement]:
    """Epochs of a few photographs at each size; the first one at the smallest."""
    in_loop = "decoding, converting, asking three networks at every step"
    for size, count in setting.sizes.items():
        contest = Contest(setting, size, count)
        contestants: dict[str, Callable[[], None]] = {
            OURS: contest.ours,
            REFERENCE: contest.reference,
            "loading": contest.load,
        }
        if size == min(setting.sizes):
            contestants["first"] = contest.first
        seconds = race(contestants, setting.few_rounds)
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
