"""How a training step is made: the plain way, or a faster one where that pays.

    what the profile leaves open -> ways -> each tried on one batch -> the way taken

Half precision and compilation pay for some networks on some devices and cost on
others. So they are tried, on copies of the very model, before it is trained. A way is
taken if the training ends sooner with it, compilation included, and if it learns the
same: before and behind its first step the loss is the plain way's within `TOLERANCES`.
Later losses cannot be compared so closely, since Adam makes much of little: on an H200
the third ones of float32, with and without compilation, were 3 % apart.

A decision rests on a clock. It is kept beside the checkpoint, so that a resumed
training goes on as it began, and in the record.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Literal, Protocol, Self

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from colorlib.errors import UserError
from colorlib.files import atomic_write, file_lock
from colorlib.sampling import Batch

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Compiled = Literal["none", "default", "reduce-overhead"]

# How far the first losses of a way may be from the plain one's, as a share of them.
TOLERANCES: dict[Precision, float] = {
    "32-true": 1e-3,
    "bf16-mixed": 0.02,
    "16-mixed": 0.02,
}
HALF: dict[Precision, torch.dtype] = {
    "bf16-mixed": torch.bfloat16,
    "16-mixed": torch.float16,
}
COMPARED = 2  # losses: of the first weights, and of those behind the first step
WORSE = 0.1  # by which share the last loss may be larger than the plain way's
GAIN = 1.05  # by which a way must be faster, or the plain one is as good
WARM, TIMED = 3, 5  # steps: a CUDA graph is replayed from the third one on
PATIENCE = 30.0  # seconds a way may take, but for its first two steps
LONG = 500  # steps: a shorter training is over before trials can pay


@dataclass(frozen=True)
class Pace:
    """A way to make a training step.

    Attributes:
        precision: As Lightning names it.
        compiled: `none`, or a mode of `torch.compile`; `reduce-overhead` replays the
            step as a CUDA graph.
    """

    precision: Precision = "32-true"
    compiled: Compiled = "none"


PLAIN = Pace()


@dataclass(frozen=True)
class Trial:
    """What a way did.

    Attributes:
        pace: The way.
        first_seconds: Of the first step, with compilation.
        step_seconds: Of a later step, the median.
        losses: Before each step, of one and the same batch.
        fault: Why it cannot be gone, or nothing.
    """

    pace: Pace
    first_seconds: float = 0.0
    step_seconds: float = 0.0
    losses: tuple[float, ...] = ()
    fault: str = ""


@dataclass(frozen=True)
class Decision:
    """The way taken on a device, and the trials that led to it, if any."""

    pace: Pace = PLAIN
    device: str = ""
    trials: tuple[Trial, ...] = ()


class Task(Protocol):
    """What is tried: a training task, such as `colorlib.training.ColorizationTask`."""

    def to(self, device: torch.device) -> Self:
        """Move it."""

    def compile_step(self, compiled: Compiled) -> Self:
        """Make its steps the compiled way."""

    def adam(self) -> torch.optim.Optimizer:
        """An optimiser of its weights."""

    def loss_of(self, batch: Batch) -> Tensor:
        """The loss to be stepped down."""


def open_ways(precision: str, compiled: str, device: torch.device) -> list[Pace]:
    """All ways that a profile leaves open on a device, the plainest first.

    Args:
        precision: One of `Precision`, or `auto`.
        compiled: One of `Compiled`, or `auto`.
        device: Where the training is to be.

    Example:
        >>> open_ways("auto", "none", torch.device("cpu"))[-1]
        Pace(precision='bf16-mixed', compiled='none')
    """
    modes = ["none", "default"] + ["reduce-overhead"] * (device.type == "cuda")
    return [
        Pace(way, mode)  # type: ignore[arg-type]  # the profile has checked them
        for way in (["32-true", "bf16-mixed"] if precision == "auto" else [precision])
        for mode in (modes if compiled == "auto" else [compiled])
    ]


def decide(
    path: Path,
    ways: Sequence[Pace],
    device: torch.device,
    steps: int,
    attempt: Callable[[Pace], Trial],
) -> Decision:
    """Take one of several ways, or the one that was taken before.

    Of several processes one decides and the others read what it found.

    Args:
        path: Where the decision is kept.
        ways: As `open_ways` lists them.
        device: Where; what was decided on another one is not read.
        steps: Of the training to come.
        attempt: Tries a way.

    Raises:
        UserError: If the file is no decision.
    """
    name = _name(device)
    if len(ways) == 1:
        return Decision(ways[0], name)
    with file_lock(path.with_suffix(".lock")):
        known = _read(path)
        if known and known.device == name and known.pace in ways:
            return known  # also if it now is to go on for longer, or less long
        if steps < LONG:
            decision = Decision(ways[0], name)
        else:
            trials = tuple(attempt(way) for way in ways)
            decision = Decision(quickest(trials, steps).pace, name, trials)
        atomic_write(path, _JSON.dump_json(decision, indent=1) + b"\n")
    return decision


def quickest(trials: Sequence[Trial], steps: int) -> Trial:
    """The way with which so many steps end first, among those that learn the same.

    Args:
        trials: The plain way's first.
        steps: Of the training to come.

    Example:
        >>> plain = Trial(Pace(), 1.0, 1.0, (0.5, 0.4))
        >>> fast = Trial(Pace(compiled="default"), 60.0, 0.5, (0.5, 0.4))
        >>> [quickest([plain, fast], steps).pace.compiled for steps in (100, 1000)]
        ['none', 'default']
    """
    plain, *others = trials
    best, shortest = plain, _total(plain, steps) / GAIN
    if plain.fault:
        return plain  # the training will tell
    for trial in others:
        if learns_the_same(trial, plain) and _total(trial, steps) < shortest:
            best, shortest = trial, _total(trial, steps)
    return best


def learns_the_same(trial: Trial, plain: Trial) -> bool:
    """Whether a way begins as the plain one, within the tolerance, and learns as much.

    Example:
        >>> plain = Trial(Pace(), losses=(0.5, 0.4, 0.3))
        >>> learns_the_same(Trial(Pace("bf16-mixed"), losses=(0.5, 0.401, 0.32)), plain)
        True
        >>> learns_the_same(Trial(Pace("bf16-mixed"), losses=(0.5, 0.5, 0.5)), plain)
        False
    """
    if trial.fault:
        return False
    tolerance = TOLERANCES[trial.pace.precision]
    first = zip(trial.losses[:COMPARED], plain.losses, strict=False)
    begins_alike = all(abs(loss - right) <= tolerance * right for loss, right in first)
    return begins_alike and trial.losses[-1] <= (1 + WORSE) * plain.losses[-1]


def try_way(task: Task, batch: Batch, device: torch.device, pace: Pace) -> Trial:
    """Make some steps on a copy of a task; the task itself stays as it is.

    Args:
        task: Not trained yet.
        batch: What every step is made on, on the device.
        device: Where.
        pace: How.
    """
    seconds: list[float] = []
    losses: list[float] = []
    own = copy.deepcopy(task).to(device).compile_step(pace.compiled)
    optimizer = own.adam()
    half = HALF.get(pace.precision)
    try:
        while len(seconds) < WARM + TIMED and sum(seconds[2:]) < PATIENCE:
            start = perf_counter()
            with torch.autocast(device.type, half, enabled=half is not None):
                loss = own.loss_of(batch)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
            _wait_for(device)
            seconds.append(perf_counter() - start)
    except RuntimeError as error:  # no compiler, no memory, no such operation
        return Trial(pace, fault=f"{type(error).__name__}: {_first_line(error)}")
    if not all(math.isfinite(loss) for loss in losses):
        return Trial(pace, fault="its loss is no number any more")
    later = median(seconds[WARM:] or seconds[1:])
    return Trial(pace, seconds[0], later, tuple(losses))


def _total(trial: Trial, steps: int) -> float:
    """Seconds a training would take."""
    return trial.first_seconds + steps * trial.step_seconds


def _wait_for(device: torch.device) -> None:
    """Until a device has done all that it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _name(device: torch.device) -> str:
    """Its maker's name for it, of a GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _first_line(error: Exception) -> str:
    """Compilers tell much."""
    return str(error).strip().partition("\n")[0][:200]


def _read(path: Path) -> Decision | None:
    """What was decided before; None if nothing was."""
    try:
        return _JSON.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise UserError(
            f"{path}: found no decision how to train, expected what was written there; "
            "delete it and give the same command again"
        ) from error


_JSON = TypeAdapter(Decision)
