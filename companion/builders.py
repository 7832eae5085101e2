"""From a profile to a network, and to what its training minimises."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from colorlib.bins import bin_centres, rebalancing, soft_encode
from colorlib.color import AB_SCALE, images_to_float
from colorlib.losses import BinCrossEntropy, chroma_huber, chroma_l1, chroma_mse
from colorlib.model import ColorizationModel, build_model
from colorlib.sampling import Batch
from colorlib.targets import PAPER, Target
from colorlib.training import Loss
from companion.config import CLASSIFYING, Profile

POOLED = 4  # colours are counted on the grid that a model classifies on

REGRESSIONS: dict[str, Loss] = {
    "mse": chroma_mse,
    "huber": chroma_huber,
    "l1": chroma_l1,
}


def target_of(profile: Profile) -> Target:
    """What of a photograph is seen, and what is to be predicted."""
    return Target(profile.target, profile.gray)


def model_for(
    profile: Profile,
    model_name: str,
    backbones: Sequence[str],
    feature_lengths: tuple[int, ...] = (),
) -> ColorizationModel:
    """Build a model as a profile wants it.

    Args:
        profile: Names every choice.
        model_name: One of `colorlib.model.MODELS`.
        backbones: Names of the classifiers that are fused.
        feature_lengths: Channels of each, if it is their features that are fused.

    Returns:
        The untrained model, drawn from the global random state. It classifies colours
        if that is what its loss asks for.
    """
    return build_model(
        model_name,
        backbones=backbones,
        width=profile.width,
        scores=profile.scores,
        feature_lengths=feature_lengths,
        fusion=profile.fusion,
        skips=profile.skips,
        normalisation=profile.normalisation,
        upsampling=profile.upsampling,
        channels=target_of(profile).channels,
        classes=profile.loss_of(model_name) in CLASSIFYING,
    )


def loss_for(profile: Profile, model_name: str, train: Iterable[Batch]) -> Loss:
    """Choose the loss of a model.

    Args:
        profile: Names the loss, or leaves it to the model.
        model_name: One of `colorlib.model.MODELS`.
        train: The training photographs, which tell how rare each colour is.

    Returns:
        Called as `loss(outputs, true_target_norm)`.
    """
    kind = profile.loss_of(model_name)
    if kind == "cross_entropy":
        return BinCrossEntropy()
    if kind == "rebalanced":
        return BinCrossEntropy(rebalancing(bin_prior(train)))
    return REGRESSIONS[kind]


@torch.no_grad()
def bin_prior(batches: Iterable[Batch]) -> Tensor:
    """How often each bin of the ab plane occurs in some photographs.

    Args:
        batches: The photographs, each once.

    Returns:
        (Q,) float64, sum 1, in the order of `bin_centres`.

    Reference:
        Zhang, Isola & Efros (2016), Section 2.2.
    """
    centres = bin_centres()
    total = torch.zeros(len(centres), dtype=torch.float64)
    for batch in batches:
        _, ab_norm = PAPER.split(images_to_float(batch.images))  # (B, 2, S, S)
        ab = F.avg_pool2d(ab_norm, POOLED) * AB_SCALE  # (B, 2, S/4, S/4)
        total += soft_encode(ab, centres).double().sum(dim=(0, 2, 3))  # (Q,)
    return total / total.sum()


@torch.no_grad()
def adjust_logits(model: ColorizationModel, prior: Tensor, strength: float) -> None:
    """Have a trained classifier answer as if rare colours had been more frequent.

    What it says of a bin is multiplied by the bin's rebalancing weight to the power of
    `strength`, and normalised: by Bayes' rule its answer under another prior. It is one
    number a bin, added to the last layer; nothing is trained again.

    Args:
        model: A model that classifies; changed in place.
        prior: (Q,), how often each bin occurs in the training photographs.
        strength: 0 changes nothing; 1 is as training with rebalancing would have it.

    Reference:
        Menon et al. (2021), Long-tail Learning via Logit Adjustment, Section 4.
    """
    bias = model.decoder.last.bias
    assert bias is not None
    bias += strength * rebalancing(prior).log().to(bias)
