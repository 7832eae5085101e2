"""All that comes before training: photographs packed and split, class scores made.

Every step finds what an earlier call has finished.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from colorlib.backbones import Backbone, content_of, feature_shape, load_backbone
from colorlib.data import (
    PackedImages,
    Source,
    Split,
    identical,
    open_source,
    pack,
    split,
)
from colorlib.errors import UserError
from colorlib.features import Scores, compute_features
from colorlib.model import MODELS
from colorlib.processes import torch_device
from colorlib.sampling import Samples
from companion.config import Profile

Say = Callable[[str], None]

BUILD = Path(__file__).parent.parent / "_build"  # generated, never committed
VGG16 = "vgg16.tv_in1k"
BACKBONE_IMAGE_SIZE = (
    256  # pixels: what the backbones are shown of a photograph, at any `size`
)


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
        train: Indices trained on: the training part less `validation`, or fewer.
        validation: Indices watched while training.
        test: Indices tested on: the test part without what has the same pixels as a
            training photograph, or fewer.
    """

    source: Source
    packed: PackedImages
    split: Split
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def prepare_data(profile: Profile, folders: Folders, say: Say = print) -> Data:
    """Pack the profile's photographs once, and split them.

    The validation photographs are taken out of the training part. The paper has
    none: its test part would have to serve for every choice.

    Raises:
        UserError: If there are too few photographs, or none to test on that is not
            trained on.
    """
    seed = profile.data_seed
    source = open_source(profile.dataset, folders.data, profile.count, seed)
    packed = pack(source, profile.size, folders.cache)
    parts = split(packed, profile.split, profile.test_fraction, seed)
    held_out = round(profile.validation_fraction * len(parts.train))
    train = np.random.default_rng(seed).permutation(parts.train)
    test = np.random.default_rng(seed).permutation(parts.test)
    say(
        f"{packed.manifest.source}: {len(packed.images)} photographs, {profile.size} px"
    )
    trained_on = identical(packed.images, test, parts.train)  # (T,)
    if trained_on.any():
        say(f"left out {trained_on.sum()} test photographs that are trained on, too")
    if trained_on.all():
        raise UserError(
            f"{packed.manifest.source}: every test photograph is also a training "
            "photograph, expected different ones; give each photograph once"
        )
    return Data(
        source=source,
        packed=packed,
        split=parts,
        train=np.sort(train[held_out:][: profile.train_count]),
        validation=np.sort(train[:held_out]),
        test=np.sort(test[~trained_on][: profile.test_count]),
    )


def split_by_source(data: Data) -> dict[str, Data]:
    """The parts of a mixed data set, each as one of its own; of any other, nothing.

    Returns:
        name of the part, such as `lfw` -> its photographs, split as they are in `data`.
    """
    if data.source.name != "mixed":
        return {}
    names = np.array([group.partition(":")[0] for group in data.packed.groups])  # (N,)

    def only(name: str, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        chosen: NDArray[np.int64] = indices[names[indices] == name]
        return chosen

    return {
        name: replace(
            data,
            train=only(name, data.train),
            validation=only(name, data.validation),
            test=only(name, data.test),
        )
        for name in dict.fromkeys(names.tolist())
    }


def backbone_names(profile: Profile, model_name: str) -> tuple[str, ...]:
    """The classifiers a model fuses: the profile's, or else the paper's."""
    if not MODELS[model_name]:
        return ()
    return profile.backbones or MODELS[model_name]


def load_backbones(
    profile: Profile, model_name: str, folders: Folders
) -> list[Backbone]:
    """Load the classifiers a model fuses, with the weights the profile asks for."""
    names = backbone_names(profile, model_name)
    return [load_backbone(name, _weights(profile.weights, folders)) for name in names]


def load_vgg16(profile: Profile, model_name: str, folders: Folders) -> Backbone | None:
    """Load the trained VGG16 that `model4` begins with, if the profile wants one."""
    if model_name != "model4" or profile.encoder_weights == "random":
        return None
    if profile.width != 1:
        raise UserError(
            f"found width {profile.width}, but a trained VGG16 has width 1; "
            "give `encoder_weights: random` or `width: 1`"
        )
    return load_backbone(VGG16, _weights(profile.encoder_weights, folders))


def _weights(kind: str, folders: Folders) -> str | Path:
    """What `load_backbone` takes for what a profile says."""
    if kind != "file":
        return kind
    if folders.weights is None:
        raise UserError(
            "found no folder of weights, but the profile says `file`; "
            "give --weights-root"
        )
    return folders.weights


def feature_lengths(profile: Profile, backbones: Sequence[Backbone]) -> tuple[int, ...]:
    """Channels of each backbone's features, if a model is to be told features."""
    if profile.scores in ("softmax", "logits"):
        return ()
    content = content_of(profile.scores)
    return tuple(feature_shape(backbone, content)[0] for backbone in backbones)


def scores_of(
    profile: Profile,
    data: Data,
    backbones: Sequence[Backbone],
    folders: Folders,
    *,
    backbone_image_size: int = BACKBONE_IMAGE_SIZE,
    progress: bool = True,
) -> Scores | None:
    """What the backbones tell of all photographs, (N, ...); None without any.

    On a GPU they are asked in half precision, unless the profile wants to train in
    float32.

    Args:
        profile: Names what they are asked and shown.
        data: The profile's.
        backbones: In the order of what is told.
        folders: Where things are.
        backbone_image_size: Side of the square that they are shown, pixels.
        progress: Whether to draw a progress bar.
    """
    if not backbones:
        return None
    device = torch_device(profile.accelerator)
    return compute_features(
        data.source,
        data.packed.manifest,
        backbones,
        kind=profile.scores,
        gray=profile.gray,
        backbone_image_size=backbone_image_size,
        cache_root=folders.cache,
        device=device,
        half=device.type == "cuda" and profile.precision != "32-true",
        batch_size=128 if device.type == "cuda" else 32,
        progress=progress,
    )


def subset(data: Data, features: Scores | None, indices: NDArray[np.int64]) -> Samples:
    """A part of the data set, with its class scores."""
    return Samples(data.packed.images, features, indices)
