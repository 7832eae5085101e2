"""Chroma as classes: the ab plane cut into bins, for models that classify.

A regression that is unsure between red and green answers brown, the mean of both. A
classification says `red: 0.5, green: 0.5` and leaves the choice to the decoding.

    ab ── soft_encode ──► probabilities over Q bins ── annealed_mean ──► ab
                                                    or cautious_colour

The bins are derived here, not copied: every cell of a grid of 10 that some 8-bit sRGB
colour falls into. Zhang's list has 313 bins, which no simple derivation gives; ours
has 261.

Reference:
    Zhang, Isola & Efros (2016), arXiv:1603.08511, Sections 2.1 to 2.3.
"""

from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from colorlib.color import images_to_float, rgb_to_lab

BIN_WIDTH = 10.0  # Lab units
POOLING = 4  # colours are classified, and counted, on a quarter of the grid
NEIGHBOURS = 5  # nearest bins that encode a colour; as Zhang et al., whose code has 10
SIGMA = 5.0  # Lab units: of the Gaussian that weights them, and smooths the prior
UNIFORM = 0.5  # weight of the uniform distribution in the prior; 1: no rebalancing
TEMPERATURE = 0.38  # of the annealed mean: between the mean (1) and the mode (0)
SIMILAR = 20.0  # Lab units: standard deviation of the Gaussian in the cautious loss
TIE = 0.03  # temperature of the mean over the bins of nearly the least loss


@cache
def bin_centres() -> Tensor:
    """The centres of all bins that hold a colour a screen can show.

    Every ab value of a displayable colour also occurs on the surface of the RGB cube:
    changing the lightness at constant ab must leave the cube somewhere. So the six
    faces suffice; every third 8-bit level gives the same bins.

    Returns:
        (Q, 2) float32 in Lab units, multiples of 10, ascending; Q = 261.

    Example:
        >>> bin_centres().shape
        torch.Size([261, 2])
    """
    side = torch.arange(0, 256, 3, dtype=torch.uint8, device="cpu")
    u, v = torch.meshgrid(side, side, indexing="ij")  # (86, 86)
    faces = []
    for channel in range(3):
        for end in (0, 255):
            planes = [u, v]
            planes.insert(channel, torch.full_like(u, end))
            faces.append(torch.stack(planes, dim=-1))  # (86, 86, 3)
    lab = rgb_to_lab(images_to_float(torch.stack(faces)))  # (6, 3, 86, 86)
    ab = lab[:, 1:].movedim(1, -1).reshape(-1, 2)  # (6 * 7396, 2)
    cells: Tensor = torch.unique((ab / BIN_WIDTH).round(), dim=0)
    return cells * BIN_WIDTH


def soft_encode(ab: Tensor, centres: Tensor) -> Tensor:
    """Encode each colour as probabilities of its nearest bins.

    Args:
        ab: (..., 2, H, W) float, Lab units.
        centres: (Q, 2), Lab units.

    Returns:
        (..., Q, H, W), probabilities: not negative, sum 1 over the bins.

    Reference:
        Zhang et al. (2016), Section 2.1: 5 neighbours, sigma 5.

    Example:
        >>> ab = torch.tensor([20.0, -30.0]).view(2, 1, 1)
        >>> probabilities = soft_encode(ab, bin_centres())
        >>> bin_centres()[probabilities.argmax()]
        tensor([ 20., -30.])
    """
    centres = centres.to(ab)
    points = ab.movedim(-3, -1)  # (..., H, W, 2)
    squared = (points[..., None, :] - centres).square().sum(-1)  # (..., H, W, Q)
    nearest, index = squared.topk(NEIGHBOURS, dim=-1, largest=False)
    weights = (-nearest / (2 * SIGMA**2)).softmax(dim=-1)  # (..., H, W, 5)
    probabilities = torch.zeros_like(squared).scatter_(-1, index, weights)
    return probabilities.movedim(-1, -3)  # (..., Q, H, W)


def annealed_mean(
    logits: Tensor, centres: Tensor, temperature: float = TEMPERATURE
) -> Tensor:
    """Turn the logits of the bins into one colour a pixel.

    Args:
        logits: (..., Q, H, W), one number a bin.
        centres: (Q, 2), Lab units.
        temperature: 1 gives the mean of the distribution, towards 0 its mode: the one
            is dull, the other patchy.

    Returns:
        `ab`, (..., 2, H, W) in Lab units.

    Reference:
        Zhang et al. (2016), Section 2.3, Eq. 5.

    Example:
        >>> centres = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
        >>> annealed_mean(torch.zeros(2, 1, 1), centres).flatten()
        tensor([5., 0.])
    """
    probabilities = (logits / temperature).softmax(dim=-3)  # (..., Q, H, W)
    return torch.einsum("...qhw,qc->...chw", probabilities, centres.to(probabilities))


def cautious_colour(logits: Tensor, centres: Tensor, caution: float) -> Tensor:
    """Choose the colour of the least expected loss, with gray as the safe answer.

    The loss of answering c where the true colour is t::

        1 - exp(-|c - t|^2 / (2 SIMILAR^2)) + caution * max(0, |c - t| - |t|)

    The first term levels off at 1, so a compromise between two distant colours does
    not pay. The second grows by `caution` for each Lab unit by which the answer is
    further from the true colour than gray is.

    Args:
        logits: (N, Q, H, W); their softmax gives the probabilities of the bins.
        centres: (Q, 2) in Lab units.
        caution: At least 0; that of the bundled model is 0.0075.

    Returns:
        `ab`, (N, 2, H, W) in Lab units: as the bins are coarse, the mean of those of
        nearly the least loss. If two distant colours tie, it lies between them.

    Reference:
        A Bayes decision, as in Berger (1985), Statistical Decision Theory, Section
        4.4; the loss is ours.

    Example:
        >>> centres = torch.tensor([[0.0, 0.0], [60.0, 40.0]])  # gray, red
        >>> logits = torch.tensor([0.45, 0.55]).log().view(1, 2, 1, 1)
        >>> cautious_colour(logits, centres, caution=0.0).flatten().round()
        tensor([58., 39.])
        >>> cautious_colour(logits, centres, caution=0.01).flatten().round()
        tensor([0., 0.])
    """
    centres = centres.to(logits)
    distance = torch.cdist(centres, centres)  # (Q, Q), from answers to true colours
    worse = (distance - centres.norm(dim=1)).clamp(min=0)  # than gray
    loss = 1 - (-distance.square() / (2 * SIMILAR**2)).exp() + caution * worse
    expected = torch.einsum("ct,nthw->nchw", loss, logits.softmax(dim=1))
    return annealed_mean(-expected, centres, TIE)


def rebalancing(prior: Tensor) -> Tensor:
    """Weights that let rare colours count as much as the grays that are everywhere.

    Args:
        prior: (Q,) how often each bin occurs in the training images, sum 1; in
            the order of `bin_centres`.

    Returns:
        (Q,) weights whose mean over the training images is 1.

    Reference:
        Zhang et al. (2016), Section 2.2, Eq. 4: the prior, smoothed by a Gaussian and
        mixed half and half with the uniform distribution over all our bins: each of
        them holds a colour that exists.

    Example:
        >>> weights = rebalancing(torch.full((261,), 1 / 261))
        >>> bool((weights - 1).abs().max() < 0.3)
        True
    """
    centres = bin_centres().to(prior)
    squared = torch.cdist(centres, centres).square()  # (Q, Q)
    smooth = (-squared / (2 * SIGMA**2)).softmax(dim=0) @ prior  # (Q,), sum 1
    weights = 1 / ((1 - UNIFORM) * smooth + UNIFORM / len(prior))
    return weights / (prior * weights).sum()


@torch.no_grad()
def bin_prior(ab_batches: Iterable[Tensor]) -> Tensor:
    """How often each bin of the ab plane occurs in some images.

    Args:
        ab_batches: (B, 2, S, S) in Lab units, each image once.

    Returns:
        (Q,) float64, sum 1, in the order of `bin_centres`.

    Reference:
        Zhang, Isola & Efros (2016), Section 2.2.
    """
    centres = bin_centres()
    total = torch.zeros(len(centres), dtype=torch.float64)
    for ab in ab_batches:
        pooled = F.avg_pool2d(ab, POOLING)  # (B, 2, S/4, S/4), the grid of the classes
        total += soft_encode(pooled, centres).double().sum(dim=(0, 2, 3))  # (Q,)
    return total / total.sum()
