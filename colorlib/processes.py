"""Several processes that train one model: which of them this is, and who started them.

Lightning trains with a process a device, and starts them itself; or `torchrun` or
SLURM's `srun` started them, on one machine or on several. All of them run the same
program. What is to be written, the first one writes.
"""

import os

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.utilities.rank_zero import rank_zero_only


def is_rank_zero() -> bool:
    """Whether this process is the one that writes; a process alone is.

    Example:
        >>> is_rank_zero()
        True
    """
    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]  # it has one


def started_processes() -> tuple[int, int] | None:
    """Processes a machine, and machines, as `torchrun` or SLURM started them.

    Returns:
        Both numbers; None if nobody started more than this process.

    Example:
        >>> started_processes() is None
        True
    """
    if TorchElasticEnvironment.detect():
        each = int(os.environ["LOCAL_WORLD_SIZE"])
        return each, int(os.environ["WORLD_SIZE"]) // each
    if SLURMEnvironment.detect():  # a job of one task need not say that it is one
        each = int(os.environ.get("SLURM_NTASKS_PER_NODE", 1))
        return each, int(os.environ.get("SLURM_NNODES", 1))
    return None


def local_rank() -> int:
    """Which of the processes on its machine this one is, from 0; 0 if it is alone.

    Example:
        >>> local_rank()
        0
    """
    if TorchElasticEnvironment.detect():
        return int(os.environ["LOCAL_RANK"])
    return int(os.environ["SLURM_LOCALID"]) if SLURMEnvironment.detect() else 0


def torch_device(accelerator: str) -> torch.device:
    """The device the profile's `accelerator` means on this machine.

    Each of several processes that were started together has a GPU of its own.

    Example:
        >>> torch_device("cpu")
        device(type='cpu')
    """
    if accelerator != "auto":
        device = torch.device(accelerator)
    else:
        device = torch.accelerator.current_accelerator(True) or torch.device("cpu")
    if device.type == "cuda" and started_processes():
        return torch.device("cuda", local_rank() % torch.cuda.device_count())
    return device
