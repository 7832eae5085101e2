"""The bundled model: from photographs to safetensors, in one command.

    python -m tools.bundled_data ../data ../packed
    python -m tools.train_bundled ../packed ../run --weights ../mobilenetv2.safetensors

Give the same command again to go on after a stop: every `--save-every` steps all that
the next step depends on is written to `RUN/checkpoint.pt`. The schedule is a function
of the number of samples, so it does not matter how fast the machine is, or how many
threads it lends (OMP_NUM_THREADS). On a GPU give `--device cuda`.

At the end `RUN/model.safetensors` and `RUN/record.json` are written. To get them from
what is trained so far, add `--export`.

Reference:
    The encoder's weights: MobileNetV2 of TensorFlow's model zoo, Apache-2.0.
"""

import argparse
import copy
import io
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from colorlib.bins import SIGMA, bin_centres, soft_encode
from colorlib.color import AB_SCALE, L_SCALE, images_to_float, lab_to_rgb
from colorlib.files import atomic_write, file_sha256
from colorlib.metrics import score_images
from colorlib.unet import ColorUNet, UNetConfig, save_unet
from tools.bundled_batches import (
    Batch,
    Photographs,
    as_lightness,
    coarse_ab,
    make_batch,
    resize,
    spread,
)
from tools.bundled_data import HELD_OUT, VALIDATION
from tools.bundled_network import LEAST, folded, trainable

AB_CELLS = 256  # a, b in -128 ... 127, one Lab unit each
PRIOR_BATCHES = 64  # that tell how often each bin occurs
PRIOR_STEP = 2**40  # of the first of them: no run trains on it
SETTINGS = ("view_size", "caution")  # chosen after training


@dataclass(frozen=True)
class Recipe:
    """What determines the run, beside the photographs and the initial weights.

    Attributes:
        samples: Training samples in all; the learning rate ends at 0 there. Until the
            cool-down begins it may be changed between one stop and the next.
        batch: Samples a step.
        decoder_rate: Highest learning rate of the decoder, which starts from nothing.
        encoder_rate: That of the encoder, which is pretrained.
        warm_up: Steps in which the rates rise from 0.
        cool_down: Fraction of the steps in which they fall to 0 at the end.
        weight_decay: Of the kernels, by AdamW.
        average: Decay a step of the moving average of the weights that is kept.
        rare: Power: a bin that is n times rarer weighs n ** rare more in the loss.
        validation: Photographs a set to validate on.
        validation_size: Side of these, pixels.
        seed: Of everything random.
    """

    samples: int = 640_000
    batch: int = 32
    decoder_rate: float = 1e-3
    encoder_rate: float = 3e-4
    warm_up: int = 500
    cool_down: float = 0.25
    weight_decay: float = 0.02
    average: float = 0.999
    rare: float = 0.25
    validation: int = 128
    validation_size: int = 96
    seed: int = 0

    @property
    def steps(self) -> int:
        """How many steps the samples take."""
        return self.samples // self.batch


# ----------------------------------------------------------------------------- the loss


class ColourLoss(nn.Module):
    """Cross-entropy against soft-encoded colours, rare ones weighted more.

    The bins and shares of each colour are looked up in a table of whole Lab units.

    Args:
        prior: (Q,) how often each bin occurs; None to weigh all alike.
        rare: See `Recipe`.
    """

    def __init__(self, prior: Tensor | None = None, rare: float = 0.0) -> None:
        super().__init__()
        axis = torch.arange(AB_CELLS, dtype=torch.float32) - AB_CELLS // 2
        ab = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))  # (2, 256, 256)
        shares = soft_encode(ab, bin_centres()).flatten(1).T  # (65536, Q)
        top, bins = shares.topk(5)
        self.register_buffer("bins", bins)  # (65536, 5)
        self.register_buffer("shares", top)
        if prior is not None:
            weights = prior.clamp(min=LEAST) ** -rare
            weights /= (weights * prior).sum()
            self.shares *= weights[bins]

    def forward(self, logits: Tensor, ab: Tensor) -> Tensor:
        """The mean over pixels.

        Args:
            logits: (N, Q, h, w).
            ab: (N, 2, h, w), Lab units.
        """
        bins, shares = self.look_up(ab)
        rows = logits.permute(0, 2, 3, 1).flatten(0, 2).float()  # (N * h * w, Q)
        log_shares = rows.gather(1, bins) - rows.logsumexp(1, keepdim=True)
        return -(shares * log_shares).sum(1).mean()

    def look_up(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """Bins and weighted shares of colours: both (N * h * w, 5)."""
        cell = (ab.round() + AB_CELLS // 2).clamp(0, AB_CELLS - 1).long()
        code = (cell[:, 0] * AB_CELLS + cell[:, 1]).flatten()
        return self.bins[code], self.shares[code]


def colour_prior(photographs: Photographs, recipe: Recipe) -> Tensor:
    """How often each bin occurs, smoothed over its neighbours: (Q,), sum 1."""
    loss, centres = ColourLoss(), bin_centres()
    counts = torch.zeros(len(centres))
    for step in range(PRIOR_BATCHES):
        rng = np.random.default_rng((recipe.seed, PRIOR_STEP + step))
        ab = coarse_ab(photographs.crops(rng, recipe.batch))
        bins, shares = loss.look_up(ab)
        counts.index_add_(0, bins.flatten(), shares.flatten())
    near = (-torch.cdist(centres, centres).square() / (2 * SIGMA**2)).softmax(0)
    smooth = near @ counts
    return smooth / smooth.sum()


# ------------------------------------------------------------------------- the training


class Training:
    """A run: everything that the next step depends on.

    Args:
        recipe: What determines it.
        photographs: To train on.
        folder: Of the run.
        weights: Of the pretrained encoder.
        device: Where to compute.
        bf16: Whether convolutions are computed in bfloat16.
    """

    def __init__(
        self,
        recipe: Recipe,
        photographs: Photographs,
        folder: Path,
        weights: Path | None = None,
        device: str = "cpu",
        bf16: bool = True,
    ) -> None:
        self.recipe, self.photographs, self.folder = recipe, photographs, folder
        self.device, self.bf16, self.step = torch.device(device), bf16, 0
        net = trainable(recipe.seed, weights)
        self.prior = colour_prior(photographs, recipe)
        with torch.no_grad():  # it begins with what is most frequent
            net.head.bias.copy_(self.prior.clamp(min=LEAST).log())
        self.net = net.to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.loss = ColourLoss(self.prior, recipe.rare).to(self.device)
        self.optimizer = torch.optim.AdamW(self._groups(), fused=True)

    def _groups(self) -> list[dict[str, object]]:
        """Encoder and decoder learn at two rates; only kernels decay."""
        recipe, groups = self.recipe, []
        for names, rate in (
            (("stem", "blocks"), recipe.encoder_rate),
            (("decoder", "head"), recipe.decoder_rate),
        ):
            weights = [p for k, p in self.net.named_parameters() if k.startswith(names)]
            for kernels in (True, False):
                chosen = [p for p in weights if (p.ndim > 1) == kernels]
                decay = recipe.weight_decay if kernels else 0.0
                group = {"params": chosen, "lr": 0.0, "highest": rate}
                groups.append({**group, "weight_decay": decay})
        return groups

    def run(self, save_every: int, validate_every: int) -> Iterator[dict[str, object]]:
        """Train to the end, yielding what is to be logged."""
        started, first, losses = time.monotonic(), self.step, []
        while self.step < self.recipe.steps:
            losses.append(self.take_step())
            if self.step % save_every == 0 or self.step == self.recipe.steps:
                self.save()
                done = (self.step - first) * self.recipe.batch
                rate = done / (time.monotonic() - started)
                yield {"loss": np.mean(losses), "samples_per_second": rate}
                losses = []
            if self.step % validate_every == 0 or self.step == self.recipe.steps:
                yield self.validate()

    def take_step(self) -> float:
        """One batch: forward, backward, update, average."""
        recipe = self.recipe
        batch = make_batch(self.photographs, recipe.seed, self.step, recipe.batch)
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest"] * self.schedule()
        self.net.train()
        loss = self._loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return float(loss.detach())

    def _loss(self, batch: Batch) -> Tensor:
        L_norm = batch.L_norm.to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.net.logits(L_norm)
        loss: Tensor = self.loss(logits, batch.ab.to(self.device))
        return loss

    def schedule(self) -> float:
        """Fraction of the highest rate: a straight line up, level, and down to 0."""
        warm = (self.step + 1) / self.recipe.warm_up
        left = self.recipe.steps - self.step
        cool = left / (self.recipe.cool_down * self.recipe.steps)
        return min(1.0, warm, cool)

    @torch.no_grad()
    def _update_average(self) -> None:
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        ours = self.net.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(ours[name], 1 - keep)
            else:
                value.copy_(ours[name])

    # ----------------------------------------------------------------------- validation

    @torch.no_grad()
    def validate(self, config: UNetConfig | None = None) -> dict[str, object]:
        """Loss and scores on fixed photographs, by set, as `export` would write it."""
        net = self._folded(config or UNetConfig()).to(self.device)
        held = Photographs(self.photographs.folder, VALIDATION)
        plain = ColourLoss().to(self.device)
        report: dict[str, object] = {}
        for name, images in held.images.items():
            rows = spread(held.rows[name], self.recipe.validation)
            sums: dict[str, list[Tensor]] = {"loss": []}
            for start in range(0, len(rows), self.recipe.batch):
                some = torch.from_numpy(images[rows[start : start + self.recipe.batch]])
                self._score(net, resize(some, self.recipe.validation_size), plain, sums)
            means = {k: float(torch.cat(v).mean()) for k, v in sums.items()}
            report[name] = {k: round(mean, 5) for k, mean in means.items()}
        return {"validation": report}

    def _folded(self, config: UNetConfig) -> ColorUNet:
        return folded(self.average, self.prior, self.recipe.rare, config)

    def _score(
        self,
        net: ColorUNet,
        images: Tensor,
        loss: ColourLoss,
        sums: dict[str, list[Tensor]],
    ) -> None:
        """Add the scores of some photographs."""
        images = images.to(self.device)
        L_norm, ab = as_lightness(images), coarse_ab(images)
        sums["loss"] += [loss(net.logits(L_norm), ab)[None]]
        size = L_norm.shape[-2:]
        ab_norm = F.interpolate(net(L_norm), size, mode="bilinear")
        lab = torch.cat([(L_norm + 1) * L_SCALE, ab_norm * AB_SCALE], 1)
        scores = score_images(lab_to_rgb(lab), images_to_float(images))
        for key in ("rmse_ab_norm", "psnr_rgb", "ciede2000", "colourfulness"):
            sums.setdefault(key, []).append(scores[key].cpu())

    # ------------------------------------------------------------- going on, and ending

    def save(self) -> None:
        """Write the checkpoint: there whole or not at all."""
        content = io.BytesIO()
        torch.save(
            {
                "recipe": asdict(self.recipe),
                "step": self.step,
                "prior": self.prior,
                "net": self.net.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            content,
        )
        atomic_write(self.folder / "checkpoint.pt", content.getvalue())

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        saved = torch.load(path, map_location=self.device, weights_only=True)
        if not self._continues(saved["recipe"], saved["step"]):
            raise SystemExit(
                f"{path} is of another recipe, {saved['recipe']}; "
                "give its options, or another folder"
            )
        self.step, self.prior = saved["step"], saved["prior"].cpu()
        self.net.load_state_dict(saved["net"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])

    def _continues(self, recipe: dict[str, object], step: int) -> bool:
        """Whether a checkpoint is one this recipe passes through."""
        known = asdict(self.recipe)
        if recipe == known:
            return True
        both = [Recipe(**recipe), self.recipe]
        level = all(step <= (1 - r.cool_down) * r.steps for r in both)
        return level and {**recipe, "samples": 0} == {**known, "samples": 0}

    def export(self, config: UNetConfig, weights: Path | None) -> None:
        """Write `model.safetensors` and `record.json`."""
        record = {
            "recipe": asdict(self.recipe),
            "steps_done": self.step,
            "photographs": {k: len(v) for k, v in self.photographs.rows.items()},
            "held_out_sha256": file_sha256(HELD_OUT) if HELD_OUT.exists() else None,
            "encoder_sha256": file_sha256(weights) if weights else None,
            "config": asdict(config),
            "torch": torch.__version__,
        }
        path = self.folder / "model.safetensors"
        save_unet(self._folded(config), path, record)
        record["validation"] = self.validate(config)["validation"]
        record["model_sha256"] = file_sha256(path)
        atomic_write(self.folder / "record.json", json.dumps(record, indent=1).encode())


def options() -> argparse.ArgumentParser:
    """The command line; every field of the recipe is an option."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("packed", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--weights", type=Path, help="MobileNetV2 as timm names it")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--float32", action="store_true", help="no bfloat16")
    parser.add_argument("--save-every", type=int, default=200, help="steps")
    parser.add_argument("--validate-every", type=int, default=1000, help="steps")
    parser.add_argument("--export", action="store_true", help="train no further")
    for name in SETTINGS:
        value = getattr(UNetConfig, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(value), default=value
        )
    for name, value in asdict(Recipe()).items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(value), default=value
        )
    return parser


def main() -> None:
    given = vars(options().parse_args())
    recipe = Recipe(**{name: given[name] for name in asdict(Recipe())})
    given["run"].mkdir(parents=True, exist_ok=True)
    training = Training(
        recipe, Photographs(given["packed"]), given["run"], given["weights"],
        given["device"], not given["float32"],
    )  # fmt: skip
    training.resume()
    print(f"from step {training.step}, {len(training.photographs):,} photographs")
    if not given["export"]:
        for line in training.run(given["save_every"], given["validate_every"]):
            samples = training.step * recipe.batch
            print(json.dumps({"samples": samples, **line}), flush=True)
    config = UNetConfig(**{name: given[name] for name in SETTINGS})
    training.export(config, given["weights"])


if __name__ == "__main__":
    main()
