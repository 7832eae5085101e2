"""All that comes before training: photographs packed and split, class scores made.

Every step finds what an earlier call has finished.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from colorlib.backbones import Backbone, load_backbone
from colorlib.batches import Samples
from colorlib.class_scores import compute_class_scores
from colorlib.datasets import PackedImages, Source, Split, open_source, pack, split
from colorlib.errors import UserError
from colorlib.model import MODELS
from colorlib.profiles import Profile

Say = Callable[[str], None]
Scores = NDArray[np.float32]

BUILD = Path(__file__).parent.parent / "_build"  # generated, never committed
SEE_SIZE = 256  # pixels: what the backbones are shown of a photograph, at any `size`


@dataclass(frozen=True)
class Folders:
    """Where this machine keeps things; no result depends on them.

    Attributes:
        data: Photographs and archives, as they were published; None for scenes.
        weights: Files of pretrained backbones; may be None.
        cache: Packed images and class scores; may be deleted at any time.
        runs: Trained models, logs and records, one folder a model.
    """

    data: Path | None
    weights: Path | None
    cache: Path
    runs: Path

    @classmethod
    def choose(
        cls,
        data_root: str | Path | None = None,
        weights_root: str | Path | None = None,
        cache_root: str | Path | None = None,
        runs_root: str | Path | None = None,
    ) -> "Folders":
        """Take the folders that are given, and for the rest those of the project.

        Example:
            >>> Folders.choose(data_root="photographs").data.name
            'photographs'
        """
        return cls(
            data=Path(data_root).absolute() if data_root else None,
            weights=Path(weights_root).absolute() if weights_root else None,
            cache=Path(cache_root or BUILD / "cache").absolute(),
            runs=Path(runs_root or BUILD / "runs").absolute(),
        )


@dataclass(frozen=True)
class Data:
    """A packed data set and its three parts.

    Attributes:
        source: Where the photographs come from.
        packed: The photographs at the profile's size.
        split: The training and test part, as the paper's 3/4 and 1/4.
        train: Indices trained on: the training part less `validation`.
        validation: Indices watched while training.
    """

    source: Source
    packed: PackedImages
    split: Split
    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def prepare_data(profile: Profile, folders: Folders, say: Say = print) -> Data:
    """Pack the profile's photographs once, and split them.

    The validation photographs are taken out of the training part. The paper has
    none: its test part would have to serve for every choice.
    """
    source = open_source(profile.dataset, folders.data, profile.count, profile.seed)
    packed = pack(source, profile.size, folders.cache)
    parts = split(packed, profile.split, profile.test_fraction, profile.seed)
    held_out = round(profile.validation_fraction * len(parts.train))
    order = np.random.default_rng(profile.seed).permutation(parts.train)
    say(
        f"{packed.manifest.source}: {len(packed.images)} photographs, {profile.size} px"
    )
    return Data(
        source, packed, parts, np.sort(order[held_out:]), np.sort(order[:held_out])
    )


def backbone_names(profile: Profile, model_name: str) -> tuple[str, ...]:
    """The classifiers a model fuses: the profile's, or else the paper's."""
    if model_name == "plain":
        return ()
    return profile.backbones or MODELS[model_name]


def load_backbones(
    profile: Profile, model_name: str, folders: Folders
) -> list[Backbone]:
    """Load the classifiers a model fuses, with the weights the profile asks for."""
    names = backbone_names(profile, model_name)
    weights: str | Path | None = profile.weights
    if names and weights == "file":
        weights = folders.weights
    if weights is None:
        raise UserError(
            "found no folder of weights, but the profile says `weights: file`; "
            "give --weights-root"
        )
    return [load_backbone(name, weights) for name in names]


def scores_of(
    profile: Profile,
    data: Data,
    backbones: Sequence[Backbone],
    folders: Folders,
    *,
    progress: bool = True,
) -> Scores | None:
    """Class scores of all photographs, (N, K, 1000); None without backbones."""
    if not backbones:
        return None
    return compute_class_scores(
        data.source,
        data.packed.manifest,
        backbones,
        kind=profile.scores,
        see_size=SEE_SIZE,
        cache_root=folders.cache,
        device=torch_device(profile.accelerator),
        progress=progress,
    )


def samples_of(
    data: Data, class_scores: Scores | None, indices: NDArray[np.int64]
) -> Samples:
    """A part of the data set, with its class scores."""
    return Samples(data.packed.images, class_scores, indices)


def torch_device(accelerator: str) -> torch.device:
    """The device the profile's `accelerator` means on this machine."""
    if accelerator != "auto":
        return torch.device(accelerator)
    return torch.accelerator.current_accelerator(True) or torch.device("cpu")
