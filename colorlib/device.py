"""The device that computes."""

import torch


def torch_device(accelerator: str) -> torch.device:
    """The device that an `accelerator` means on this machine.

    Args:
        accelerator: `auto`, `cpu`, `cuda` or `mps`.

    Example:
        >>> torch_device("cpu")
        device(type='cpu')
    """
    if accelerator == "auto":
        return torch.accelerator.current_accelerator(True) or torch.device("cpu")
    return torch.device(accelerator)
