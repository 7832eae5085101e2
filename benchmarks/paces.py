"""What half precision and compilation make of a training step on this device."""

from collections.abc import Callable, Iterator

from benchmarks.measuring import CPU, race
from benchmarks.networks import OurStep
from benchmarks.records import OURS, REFERENCE, Measurement
from benchmarks.setting import Setting
from colorlib.pace import Pace, open_ways


def pace(setting: Setting) -> Iterator[Measurement]:
    """Each way that a profile may leave open, beside the plain one."""
    compiled = "none" if setting.quick else "auto"  # compilation alone takes a minute
    for way in open_ways("auto", compiled, CPU)[1:]:
        for size, count in setting.sizes.items():
            yield one_way(setting, way, size, count)


def one_way(setting: Setting, way: Pace, size: int, count: int) -> Measurement:
    """A step made one way and the plain way, in turns; compilation is not timed."""
    batch = setting.batch(count, size)
    plain, own = OurStep(setting.model()), OurStep(setting.model(), way)
    contestants: dict[str, Callable[[], object]] = {
        OURS: lambda: own(batch),
        REFERENCE: lambda: plain(batch),
    }
    kind = way.precision if way.compiled == "none" else f"{way.precision}, compiled"
    return Measurement(
        benchmark="pace",
        case=f"training step {kind}, {size} px, batch {count}",
        reference="float32, not compiled",
        images={OURS: count, REFERENCE: count},
        seconds=race(contestants, setting.few_rounds),  # seconds each, some of them
    )
