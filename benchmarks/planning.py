"""What a training on millions of photographs takes: bytes, hours, cost.

Bytes are counted. Hours on the machine of a benchmark record are what it measured of
one photograph, times the photographs. Hours on a GPU are an estimate: operations that
the record counted, over the rate that a training reached on one; or, where that is
slower, what the record measured of a process that hands out photographs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.records import OURS, Estimate, Measurement, SpeedRecord
from benchmarks.tables import LATER_EPOCH, duration
from colorlib.backbones import NUM_CLASSES
from colorlib.model import MODELS
from companion.report.tables import markdown_table

# Training photographs of ILSVRC 2012, and all of ImageNet as of 2011.
DATA_SETS = {"ImageNet-1k": 1_281_167, "ImageNet-21k": 14_197_122}
SIZES = (64, 128, 256)  # side of the packed squares, pixels
NETWORKS = len(MODELS["model3"])
SCORE_BYTES = 4 * NUM_CLASSES  # of one network for one photograph, float32
EPOCHS = 30  # of the plans that are shown
SCORES = "class scores of three networks, once"


@dataclass(frozen=True)
class Device:
    """A device to train on, as far as its maker, its owner and a guess tell.

    Attributes:
        peak: Operations a second in bf16, dense, as its maker states them.
        share: Of them that a training reaches.
        price: Of an hour, in any currency.
    """

    peak: float
    share: float
    price: float = 1.0

    def seconds(self, operations: float) -> float:
        """Time for so many operations.

        Example:
            >>> Device(peak=1e12, share=0.5).seconds(1e12)
            2.0
        """
        return operations / (self.peak * self.share)


H200_PEAK = 989e12  # operations a second in bf16: NVIDIA's data sheet, no sparsity


def measured_device(record: SpeedRecord, peak: float = H200_PEAK) -> Device:
    """The GPU of a benchmark record, with the share that its fastest step reached.

    Args:
        record: Of `python -m benchmarks gpu`.
        peak: Operations a second in bf16, dense, as its maker states them.

    Example:
        >>> from benchmarks.records import latest_speed
        >>> 0.3 < measured_device(latest_speed(on_gpu=True)).share < 0.5
        True
    """
    rates = [
        step.flops / Estimate.of(step.seconds[OURS]).median
        for step in record.measurements
        if step.case.startswith("training step") and step.flops
    ]
    return Device(peak=peak, share=max(rates) / peak)


@dataclass(frozen=True)
class Plan:
    """What a training takes, whatever the number of devices it is spread over.

    Attributes:
        packed_bytes: Of the photographs.
        score_bytes: Of the class scores of three networks.
        hours: Of one device and the process that feeds it: class scores and training.
        cost: Of these hours, in the currency of the device's price.
    """

    packed_bytes: int
    score_bytes: int
    hours: float
    cost: float


def plan(
    photographs: int, size: int, epochs: int, device: Device, record: SpeedRecord
) -> Plan:
    """Plan a training of `model3` at full width.

    Args:
        photographs: How many.
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
    stages = _stages(record)
    scores, training = stages[SCORES], stages[f"an epoch, {size} px"]
    seconds = scores.seconds(device) + epochs * training.seconds(device)
    hours = photographs * seconds / 3600
    return Plan(
        packed_bytes=packed_bytes(photographs, size),
        score_bytes=photographs * NETWORKS * SCORE_BYTES,
        hours=hours,
        cost=hours * device.price,
    )


@dataclass(frozen=True)
class _Stage:
    """Something that is done to every photograph.

    Attributes:
        operations: Of the networks, for one photograph.
        handed: Seconds until one process has handed out the photograph.
    """

    operations: float
    handed: float

    def seconds(self, device: Device) -> float:
        """Of one photograph: what the device takes, or what it waits for."""
        return max(device.seconds(self.operations), self.handed)


def _stages(record: SpeedRecord) -> dict[str, _Stage]:
    """What must be done to a photograph: once its class scores, then the epochs."""
    pairs = {SCORES: ("class scores of three networks", "decoding and packing")}
    for size in SIZES:
        step, waiting = f"training step, {size} px", f"waiting for batches, {size} px"
        pairs[f"an epoch, {size} px"] = (step, waiting)
    return {
        stage: _Stage(_operations(_named(record, work)), _each(_named(record, feed)))
        for stage, (work, feed) in pairs.items()
    }


def packed_bytes(photographs: int, size: int) -> int:
    """Bytes of packed photographs: three a pixel.

    Example:
        >>> packed_bytes(1000, 64)
        12288000
    """
    return photographs * size * size * 3


def large_run_tables(record: SpeedRecord, device: Device) -> dict[str, str]:
    """The tables of the book's page.

    Args:
        record: Of the machine that was measured.
        device: That the hours on a GPU are of.

    Returns:
        heading -> a Markdown table.
    """
    names = list(DATA_SETS)
    return {
        "Bytes": markdown_table(["", *names], list(_byte_rows())),
        "Hours without a GPU, measured": markdown_table(
            ["what", "a photograph", *names], list(_measured_rows(record))
        ),
        "Hours on a GPU: estimated": markdown_table(
            ["what", "operations a photograph", "the device takes, a second",
             "a process hands out, a second, measured", *names],
            list(_estimated_rows(record, device)),
        ),
        "Whole plans": markdown_table(
            ["data set", "size", "on disks", "hours, one device"],
            list(_plan_rows(record, device)),
        ),
    }  # fmt: skip


def _byte_rows() -> Iterator[list[str]]:
    """What lies on disks."""
    counts = DATA_SETS.values()
    yield ["photographs", *(f"{count:,}" for count in counts)]
    for size in SIZES:
        yield [f"packed, {size} px", *(_bytes(packed_bytes(n, size)) for n in counts)]
    scores = [_bytes(count * NETWORKS * SCORE_BYTES) for count in counts]
    yield [f"class scores of {NETWORKS} networks", *scores]


def _measured_rows(record: SpeedRecord) -> Iterator[list[str]]:
    """What the record's machine would need for all photographs, once."""
    once = ("decoding and packing", "class scores", LATER_EPOCH, "predicting and scor")
    for measurement in record.measurements:
        each = measurement.per_image()
        if each and measurement.case.startswith(once):
            times = [duration(each.median * count) for count in DATA_SETS.values()]
            yield [measurement.case, duration(each.median), *times]


def _estimated_rows(record: SpeedRecord, device: Device) -> Iterator[list[str]]:
    """What a device would need for all photographs, once."""
    for what, stage in _stages(record).items():
        seconds = stage.seconds(device)
        yield [
            what,
            f"{stage.operations / 1e9:.3g} G",
            f"{1 / device.seconds(stage.operations):,.0f}",
            f"{1 / stage.handed:,.0f}",
            *(duration(seconds * count) for count in DATA_SETS.values()),
        ]


def _plan_rows(record: SpeedRecord, device: Device) -> Iterator[list[str]]:
    """Trainings of each data set at each size."""
    for name, count in DATA_SETS.items():
        for size in SIZES:
            found = plan(count, size, EPOCHS, device, record)
            yield [
                name,
                f"{size} px",
                _bytes(found.packed_bytes + found.score_bytes),
                f"{found.hours:.3g}",
            ]


def _named(record: SpeedRecord, start: str) -> Measurement:
    """The measurement whose case begins so."""
    return next(m for m in record.measurements if m.case.startswith(start))


def _operations(measurement: Measurement) -> float:
    """Counted for one photograph."""
    assert measurement.flops is not None
    return measurement.flops / measurement.images[OURS]


def _each(measurement: Measurement) -> float:
    """Seconds that were measured of one photograph."""
    found = measurement.per_image()
    assert found is not None
    return found.median


def _bytes(size: float) -> str:
    """Bytes in the unit that fits, powers of a thousand.

    Example:
        >>> [_bytes(value) for value in (4.2e7, 1.57e10, 2.79e12)]
        ['42 MB', '15.7 GB', '2.79 TB']
    """
    units = {"TB": 1e12, "GB": 1e9}
    for unit, one in units.items():
        if size >= one:
            return f"{size / one:.3g} {unit}"
    return f"{size / 1e6:.3g} MB"
