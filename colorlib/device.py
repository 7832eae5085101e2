"""The device that computes."""

import torch


def torch_device(accelerator: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda` or `mps` means on this machine.

    Example:
        >>> torch_device("cpu")
        device(type='cpu')
    """
    if accelerator == "auto":
        return torch.accelerator.current_accelerator(True) or torch.device("cpu")
    return torch.device(accelerator)
