"""What a training on millions of images takes: bytes, hours, cost.

    bytes   3 a pixel, and 4 for each of 1000 class scores of each network
    hours   images x (scores once + epochs x step), each the larger of two times:
            operations / the device's rate, and what one process takes to hand it out
    cost    hours x price

The operations and the times of a process are those of a benchmark record.
"""

from itertools import product
from typing import NamedTuple

from benchmarks.records import OURS, Measurement, Rounds, SpeedRecord
from benchmarks.tables import LATER_EPOCH, duration
from colorlib.backbones.specs import NUM_CLASSES
from colorlib.model import MODELS
from companion.report.tables import markdown_table

# Training images of ILSVRC 2012, and all of ImageNet as of 2011.
DATA_SETS = {"ImageNet-1k": 1_281_167, "ImageNet-21k": 14_197_122}
SIZES = (64, 128, 256)  # side of the packed squares, pixels
SCORE_BYTES = 4 * NUM_CLASSES * len(MODELS["model3"])  # of one image, float32
EPOCHS = 30  # of the plans that are shown
PLANNED = ("on disks", "hours, one device")
H200_PEAK = 989e12  # operations a second in bf16: NVIDIA's data sheet, no sparsity
SCORES = "class scores of three networks"


class Device(NamedTuple):
    """A device to train on.

    Attributes:
        peak: Operations a second in bf16, dense, as its maker states them.
        share: Fraction of them that a training reaches.
        price: Of an hour, in any currency.
    """

    peak: float
    share: float
    price: float = 1.0


class Plan(NamedTuple):
    """What a training takes, on one device and the process that feeds it.

    Attributes:
        packed_bytes: Of the images.
        score_bytes: Of the class scores of three networks.
        hours: Class scores once, and all epochs.
        cost: Of these hours, in the currency of the device's price.
    """

    packed_bytes: int
    score_bytes: int
    hours: float
    cost: float


def measured_device(record: SpeedRecord, peak: float = H200_PEAK) -> Device:
    """The GPU of a benchmark record, with the share that its fastest step reached.

    Example:
        >>> from benchmarks.records import latest_speed
        >>> 0.3 < measured_device(latest_speed(on_gpu=True)).share < 0.5
        True
    """
    rates = [
        step.flops / Rounds.of(step.seconds[OURS]).median
        for step in record.measurements
        if step.case.startswith("training step") and step.flops
    ]
    return Device(peak=peak, share=max(rates) / peak)


def plan(
    images: int, size: int, epochs: int, device: Device, record: SpeedRecord
) -> Plan:
    """Plan a training of `model3` at full width.

    Args:
        images: How many.
        size: Side of the squares, pixels; one that the record has a step of.
        epochs: Passes over them.
        device: Where to train.
        record: Where operations were counted.

    Example:
        >>> from benchmarks.records import latest_speed
        >>> mine = Device(peak=312e12, share=0.3, price=2)  # an A100 at 2 an hour
        >>> found = plan(100_000, 64, epochs=10, device=mine, record=latest_speed())
        >>> found.packed_bytes, found.cost == 2 * found.hours
        (1228800000, True)
    """
    each = seconds_each(device, record)
    hours = images * (each[SCORES] + epochs * each[f"an epoch, {size} px"]) / 3600
    packed = 3 * size**2 * images
    return Plan(packed, SCORE_BYTES * images, hours, cost=hours * device.price)


def seconds_each(device: Device, record: SpeedRecord) -> dict[str, float]:
    """Stage -> seconds of one image: what the device takes, or what it waits for."""
    pairs = {SCORES: (SCORES, "decoding and packing")}
    for size in SIZES:
        step, waiting = f"training step, {size} px", f"waiting for batches, {size} px"
        pairs[f"an epoch, {size} px"] = (step, waiting)

    def named(start: str) -> Measurement:
        return next(m for m in record.measurements if m.case.startswith(start))

    found = {}
    for stage, (work, feed) in pairs.items():
        counted, handed = named(work), named(feed).per_image()
        operations = (counted.flops or 0) / counted.images[OURS]
        taken = operations / (device.peak * device.share)
        found[stage] = max(taken, handed.median if handed else 0)
    return found


def large_run_tables(record: SpeedRecord, device: Device) -> dict[str, str]:
    """The tables of the book's page: heading -> Markdown.

    Args:
        record: Of the machine that was measured.
        device: That the hours on a GPU are of.
    """
    once = ("decoding and packing", SCORES, LATER_EPOCH, "predicting and scoring")
    measured = [
        _hours(m.case, each.median)
        for m in record.measurements
        if m.case.startswith(once) and (each := m.per_image())
    ]
    estimated = [_hours(*stage) for stage in seconds_each(device, record).items()]
    plans = []
    for name, size in product(DATA_SETS, SIZES):
        found = plan(DATA_SETS[name], size, EPOCHS, device, record)
        disks = f"{(found.packed_bytes + found.score_bytes) / 1e9:,.0f} GB"
        plans.append([name, f"{size} px", disks, f"{found.hours:.3g}"])
    times = ["what", "an image", *DATA_SETS]
    return {
        "Hours without a GPU, measured": markdown_table(times, measured),
        "Hours on a GPU: estimated": markdown_table(times, estimated),
        "Whole plans": markdown_table(["data set", "size", *PLANNED], plans),
    }


def _hours(what: str, seconds: float) -> list[str]:
    """A row: the time of one image, and of every image of each data set."""
    every = (duration(seconds * count) for count in DATA_SETS.values())
    return [what, duration(seconds), *every]
