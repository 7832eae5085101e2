"""What a run costs, before it is run: its operations, over what a machine does.

Reference:
    PyTorch's counter of operations, `torch.utils.flop_counter`: a multiplication and
    an addition are two.
"""

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from colorlib.model import ColorizationModel

# Of the matrix rate: what a training step reached on two cores was .6 with a quarter of
# the channels and .7 with all of them, at 64 px; .8 and .5 at 128 px, .3 at 32 px.
EFFICIENCY = 0.6
RATE_SIDE = 1024  # of the matrices that are multiplied to learn the rate


def forward_flops(model: ColorizationModel, size: int) -> int:
    """Floating-point operations of one photograph's forward pass.

    Args:
        model: Any of `build_model`; best built on the device `meta`, which has no
            numbers and costs nothing.
        size: Side of the photograph, pixels.

    Example:
        >>> from colorlib.model import build_model
        >>> with torch.device("meta"):
        ...     model = build_model("plain")
        >>> 19.0e9 < forward_flops(model, 256) < 20.0e9
        True
    """
    device = next(model.parameters()).device
    shape = model.config.feature_shape()
    told = torch.zeros(1, *shape, device=device) if shape else None
    with FlopCounterMode(display=False) as counter:
        model.outputs(torch.zeros(1, 1, size, size, device=device), told)
    return int(counter.get_total_flops())


def training_seconds(
    model: ColorizationModel, size: int, photographs: int, rate: float
) -> float:
    """Estimate how long a training takes.

    Args:
        model: As for `forward_flops`.
        size: Side of the photographs, pixels.
        photographs: That are seen, each as often as it is.
        rate: Of the machine, see `matrix_rate`.

    Returns:
        Seconds; half or twice as much is no surprise.
    """
    backward_too = 3 * forward_flops(model, size)
    return backward_too * photographs / (EFFICIENCY * rate)


def matrix_rate(device: torch.device | str = "cpu", seconds: float = 0.2) -> float:
    """Measure how fast a machine multiplies large matrices, operations per second."""
    a = torch.rand(RATE_SIDE, RATE_SIDE, device=device)
    (a @ a).sum().item()  # warm up
    start, products = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        (a @ a).sum().item()  # waits for the device
        products += 1
    return products * 2 * RATE_SIDE**3 / (time.perf_counter() - start)
