"""Write `tests/golden.json`, the reference outputs of the regression tests.

    python -m tools.golden

Other tests check that a formula is right; these check that its results have not
changed. Write the file anew only where a change of a result is intended, and state in
the commit which and why.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colorlib import color, losses, targets
from colorlib.bins import annealed_mean, bin_centres, rebalancing, soft_encode
from colorlib.metrics import alpha_beta, score_images
from colorlib.model import build_model
from colorlib.scenes import render_scenes
from companion.provenance import current_commit, now, this_hardware

GOLDEN = Path(__file__).parent.parent / "tests" / "golden.json"


def golden_values() -> dict[str, list[float]]:
    """Every guarded number, by what it is of."""
    scenes = torch.from_numpy(np.stack(list(render_scenes(4, 32, seed=0))))
    rgb = color.images_to_float(scenes)  # (4, 3, 32, 32)
    other = rgb.flip(0)
    L_norm, ab_norm = color.normalize_lab(color.rgb_to_lab(rgb))
    other_norm = ab_norm.flip(0)
    ab = 128 * ab_norm
    centres = bin_centres()  # (Q, 2)
    encoded = soft_encode(ab, centres)  # (4, Q, 32, 32)
    prior = encoded.mean(dim=(0, 2, 3))  # (Q,)
    answer = annealed_mean(encoded.clamp_min(1e-6).log(), centres)  # (4, 2, 32, 32)
    values = {
        "scenes": rgb.mean(dim=(0, 2, 3)),
        "lab": color.rgb_to_lab(rgb).mean(dim=(0, 2, 3)),
        "luv": targets.rgb_to_luv(rgb).mean(dim=(0, 2, 3)),
        "yuv": targets.rgb_to_yuv(rgb).mean(dim=(0, 2, 3)),
        "alpha_beta": alpha_beta(rgb).mean(dim=(0, 2, 3)),
        "bins": centres.abs().mean(dim=0),
        "annealed mean": answer.mean(dim=(0, 2, 3)),
        "rebalancing": rebalancing(prior)[::20],
        "mse": losses.chroma_mse(other_norm, ab_norm),
        "l1": losses.chroma_l1(other_norm, ab_norm),
    }
    values |= {f"score {k}": v for k, v in score_images(other, rgb).items()}
    torch.manual_seed(0)
    model = build_model("plain", width=0.125)
    values["first answer"] = model(L_norm).detach().abs().mean(dim=(0, 2, 3))
    values["after five steps"] = five_steps(model, L_norm, ab_norm)
    return {name: v.flatten().tolist() for name, v in values.items()}


def five_steps(model: torch.nn.Module, L_norm: Tensor, ab_norm: Tensor) -> Tensor:
    """The loss before each of five steps of Adam, (5,)."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    seen = []
    for _ in range(5):
        loss = losses.chroma_mse(model(L_norm), ab_norm)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        optimizer.step()
        seen.append(loss.detach())
    return torch.stack(seen)


if __name__ == "__main__":
    made = {
        "made_by": f"python {' '.join(sys.argv)}",
        "made": now(),
        "commit": current_commit(),
        "hardware": this_hardware("cpu").model_dump(),
        "values": golden_values(),
    }
    GOLDEN.write_text(json.dumps(made, indent=1) + "\n")
