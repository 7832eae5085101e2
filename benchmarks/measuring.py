"""Timing by alternating rounds, peak memory, and a matrix product as reference."""

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.records import MATRIX_SIDE
from colorlib.errors import UserError

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
NAME = 80  # letters of a kernel's name, some of which are longer than a page

Candidate = Callable[[], object]


def race(
    candidates: Mapping[str, Candidate], rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Time some functions, in turns, so that all meet the same disturbances.

    Args:
        candidates: Called without arguments.
        rounds: How often each is timed.
        warm_up: Rounds before that are not timed.

    Returns:
        Seconds of each candidate, one a round.

    Example:
        >>> seconds = race({"sum": lambda: sum(range(9)), "nothing": int}, rounds=3)
        >>> {name: len(values) for name, values in seconds.items()}
        {'sum': 3, 'nothing': 3}
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(-warm_up, rounds):
        for name, call in candidates.items():
            start = time.perf_counter()
            call()
            if number >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def race_processes(
    commands: Mapping[str, Sequence[str]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Time some Python programs, in turns, and see how much memory each takes.

    Args:
        commands: Arguments of the interpreter. A program that times itself prints the
            seconds on a last line of its own; of others the whole process counts.
        rounds: How often each is run.

    Returns:
        Seconds of each, one a round; and its largest resident memory in bytes.

    Raises:
        UserError: If a program fails; its last line says why.

    Example:
        >>> seconds, peak = race_processes({"python": ["-c", "print(0.5)"]}, rounds=2)
        >>> seconds, 2**20 < peak["python"] < 2**30
        ({'python': [0.5, 0.5]}, True)
    """
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    peak = dict.fromkeys(commands, 0)
    for _ in range(rounds):
        for name, command in commands.items():
            taken, held = _run(command)
            seconds[name].append(taken)
            peak[name] = max(peak[name], held)
    return seconds, peak


def _run(command: Sequence[str]) -> tuple[float, int]:
    """Seconds and peak memory of one program."""
    measured = [sys.executable, "-m", "benchmarks.peak_memory", *command]
    done = subprocess.run(
        measured, cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    if found["status"]:
        raise UserError(f"found that {' '.join(command)} failed: {found['last']}")
    try:
        return float(found["last"]), found["bytes"]
    except ValueError:
        return found["seconds"], found["bytes"]  # it does not time itself


class MatrixProduct:
    """The fastest thing a machine does: the product of two large matrices.

    Args:
        side: Their rows and columns.
        dtype: Of their numbers.
        device: Where they are.
    """

    def __init__(
        self,
        side: int = MATRIX_SIDE,
        dtype: torch.dtype = torch.float32,
        device: torch.device = CPU,
    ) -> None:
        self.flops = 2 * side**3
        self.factors = torch.rand(2, side, side, dtype=dtype, device=device)
        self.product = torch.empty(side, side, dtype=dtype, device=device)

    def __call__(self) -> None:
        """Multiply, `flops` operations."""
        torch.mm(*self.factors, out=self.product)


def waited_for(call: Candidate, device: torch.device, calls: int = 1) -> Candidate:
    """Some calls of a function, and the wait until a device has done them.

    A GPU works while the program goes on: a clock must wait for it.
    """

    def candidate() -> None:
        for _ in range(calls):
            call()
        if device.type != "cpu":
            torch.accelerator.synchronize(device)

    return candidate


def device_memory(call: Candidate, device: torch.device) -> int | None:
    """Bytes that a call holds on a GPU beside what was there; None elsewhere."""
    if device.type != "cuda":
        call()
        return None
    gc.collect()  # what others have left must not go meanwhile
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    return torch.cuda.max_memory_allocated(device) - before


def count_flops(call: Candidate) -> int:
    """Floating-point operations of a function, forward and backward.

    Example:
        >>> count_flops(lambda: torch.rand(2, 3) @ torch.rand(3, 5))
        60
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def profile_of(
    call: Candidate, count: int = 6, device: torch.device = CPU
) -> dict[str, float]:
    """The operations that take most of a device's time in a function, and which share.

    Example:
        >>> a = torch.rand(256, 256)
        >>> list(profile_of(lambda: a @ a, count=1))
        ['aten::mm']
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it complains of having no GPU
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]
    with profile(activities=activities) as profiler:
        call()
    times = {
        e.key[:NAME]: e.self_device_time_total if on_gpu else e.self_cpu_time_total
        for e in profiler.key_averages()
        if (e.device_type == DeviceType.CUDA) == on_gpu  # of a GPU, its own kernels
        and not (on_gpu and e.is_user_annotation)  # and not what spans them
    }
    largest = sorted(times, key=times.__getitem__, reverse=True)[:count]
    return {name: times[name] / sum(times.values()) for name in largest}


def processor_ticks() -> list[int] | None:
    """What the processors have done since the system began, see `man proc_stat`.

    Returns:
        Ticks in user mode, nice, system, idle, waiting for disks, two kinds of
        interrupts, and stolen; None where the system does not tell.
    """
    path = Path("/proc/stat")
    if not path.is_file():
        return None
    return [int(ticks) for ticks in path.read_text().split()[1:9]]


def stolen_share(before: list[int] | None, after: list[int] | None) -> float | None:
    """Share of the time between two readings in which the host did other work.

    Example:
        >>> stolen_share([5, 0, 1, 90, 0, 0, 0, 4], [75, 0, 1, 100, 0, 0, 0, 24])
        0.2
    """
    if before is None or after is None:
        return None
    ticks = [new - old for old, new in zip(before, after, strict=True)]
    return round(ticks[-1] / max(sum(ticks), 1), 3)
