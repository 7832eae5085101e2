"""What each pretrained classifier expects: its specification, stated in one place.

A file of weights implies an input size, a scaling, an order of classes. Feeding a
network otherwise gives no error, only worse scores. So the specification stands here
beside its name, or comes from the file itself if that carries one.

References:
    Section 4.2 of the paper names the networks; the figures are those of timm 1.0.31.
"""

import difflib
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, ValidationError
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError, safe_open

from colorlib.errors import UserError

Positive = Annotated[FiniteFloat, Field(gt=0)]
Triple = tuple[FiniteFloat, FiniteFloat, FiniteFloat]

NUM_CLASSES = 1000  # ImageNet-1k, in the order of the sorted WordNet ids
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
HALF: Triple = (0.5, 0.5, 0.5)  # as mean and as deviation: [0, 1] becomes [-1, 1]


@dataclass(frozen=True)
class BackboneSpec:
    """Everything that a file of weights implies.

    Attributes:
        name: Architecture and tag: which network, trained how.
        timm_name: What timm calls the network.
        input_size: Side of the square images it was trained on, pixels.
        mean: Subtracted from the three channels in [0, 1].
        std: They are then divided by it.
        interpolation: How its images were resized.
        num_classes: 1000, or 1001 if class 0 is "background".
        weights_file: Name of the file in a folder of weights.
        note: Origin and licence of the weights.
        hub_id: Where timm finds the weights; empty if only a file has them.
        hub_sha256: Of the file there, which may be replaced under its name; empty if it
            is not known, and then any file is taken.
        create_options: Further arguments of `timm.create_model`.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]  # it becomes part of file names
    timm_name: str
    input_size: Annotated[int, Field(ge=32, le=1024)]
    mean: Triple
    std: tuple[Positive, Positive, Positive]
    interpolation: Literal["bilinear", "bicubic"]
    num_classes: Annotated[int, Field(ge=1000, le=1001)]
    weights_file: str
    note: str
    hub_id: str = ""
    hub_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    create_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def drop_background(self) -> bool:
        """Whether class 0 is "background" and is dropped."""
        return self.num_classes != NUM_CLASSES


SPECS = {
    spec.name: spec
    for spec in (
        # The paper's three. The tag matters: what timm takes for a plain `resnet50`
        # was trained with another loss, and its logits have another scale. The hashes
        # are those that other public projects state of the same files; of the third
        # none was found.
        BackboneSpec(
            name="vgg16.tv_in1k",
            timm_name="vgg16.tv_in1k",
            input_size=224,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            interpolation="bilinear",
            num_classes=1000,
            weights_file="vgg16.tv_in1k.safetensors",
            note="torchvision's weights, bsd-3-clause",
            hub_id="timm/vgg16.tv_in1k",
            hub_sha256="57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
        ),
        BackboneSpec(
            name="resnet50.tv_in1k",
            timm_name="resnet50.tv_in1k",
            input_size=224,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            interpolation="bilinear",
            num_classes=1000,
            weights_file="resnet50.tv_in1k.safetensors",
            note="torchvision's weights, bsd-3-clause",
            hub_id="timm/resnet50.tv_in1k",
            hub_sha256="5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888",
        ),
        BackboneSpec(
            name="inception_resnet_v2.tf_in1k",
            timm_name="inception_resnet_v2.tf_in1k",
            input_size=299,
            mean=HALF,
            std=HALF,
            interpolation="bicubic",
            num_classes=1000,  # 1001 in TensorFlow; timm's port has no background
            weights_file="inception_resnet_v2.tf_in1k.safetensors",
            note="TensorFlow's weights, apache-2.0",
            hub_id="timm/inception_resnet_v2.tf_in1k",
        ),
        # Three small ones that travel as files, from 8-bit TFLite models of the public
        # repository google-coral/test_data.
        BackboneSpec(
            name="mobilenetv1_100.tflite_in1k",
            timm_name="mobilenetv1_100",
            input_size=224,
            mean=HALF,
            std=HALF,
            interpolation="bilinear",
            num_classes=1001,
            weights_file="mobilenetv1_100_in1k.safetensors",
            note="TFLite weights made float again, apache-2.0",
            create_options={"pad_type": "same"},
        ),
        BackboneSpec(
            name="mobilenetv2_100.tflite_in1k",
            timm_name="mobilenetv2_100",
            input_size=224,
            mean=HALF,
            std=HALF,
            interpolation="bilinear",
            num_classes=1001,
            weights_file="mobilenetv2_100_in1k.safetensors",
            note="TFLite weights made float again, apache-2.0",
            create_options={"pad_type": "same"},
        ),
        BackboneSpec(
            name="mobilenetv2_100.tf2ptq_in1k",
            timm_name="mobilenetv2_100",
            input_size=224,
            mean=HALF,
            std=HALF,
            interpolation="bilinear",
            num_classes=1001,
            weights_file="mobilenetv2_100_tf2ptq_in1k.safetensors",
            note="TFLite weights of another training made float again, apache-2.0",
            create_options={"pad_type": "same"},
        ),
    )
}


def spec_for(name: str) -> BackboneSpec:
    """Find the specification of a classifier.

    Args:
        name: One of `SPECS`, or any timm name with its tag.

    Returns:
        The specification; of a network that is not in `SPECS`, timm's own.

    Raises:
        UserError: If timm has no such network, the tag is missing, or it is no
            classifier of ImageNet-1k.

    Example:
        >>> spec_for("inception_resnet_v2.tf_in1k").input_size
        299
    """
    return SPECS[name] if name in SPECS else spec_from_timm(name)


def spec_from_timm(name: str) -> BackboneSpec:
    """Read a specification out of timm's list of pretrained networks.

    Args:
        name: A timm name with its tag.

    Returns:
        The specification.

    Raises:
        UserError: As `spec_for`.

    Example:
        >>> spec_from_timm("resnet18.a1_in1k").interpolation
        'bicubic'
    """
    import timm  # takes seconds, and a model without backbones does not need it

    known = timm.list_pretrained()
    config = timm.get_pretrained_cfg(name) if name in known else None
    if config is None:
        raise UserError(_unknown(name, known))
    return _validated(
        f"backbone {name}",
        name=name,
        timm_name=name,
        input_size=config.input_size[-1],
        mean=config.mean,
        std=config.std,
        interpolation=config.interpolation,
        num_classes=config.num_classes,
        weights_file=f"{name}.safetensors",
        note=f"timm's weights, {config.license or 'licence not stated'}",
        hub_id=config.hf_hub_id or "",
    )


def spec_of_file(path: Path, name: str) -> BackboneSpec:
    """Find the specification that belongs to a file of weights.

    Args:
        path: A safetensors file. If its metadata name a `timm_model`, they are taken:
            `num_classes`, `input_size`, `mean`, `std`, `interpolation`, `pad_type`.
        name: What the classifier is to be called; for a file without such metadata a
            name that `spec_for` knows.

    Returns:
        The specification.

    Raises:
        UserError: If the file is no safetensors file, its metadata are wrong, or they
            are those of another network.
    """
    metadata = _read_metadata(path)
    if "timm_model" not in metadata:
        return spec_for(name)
    architecture = name.partition(".")[0]
    if metadata["timm_model"] != architecture:
        raise UserError(
            f"{path}: found weights of {metadata['timm_model']}, expected those of "
            f"{architecture}; name the backbone as its file does, or give another file"
        )
    size, mean, std = (
        metadata.get(key, "").split(",") for key in ("input_size", "mean", "std")
    )
    return _validated(
        f"{path}, metadata",
        name=name,
        timm_name=architecture,
        input_size=size[-1],  # of "3,224,224"
        mean=mean,
        std=std,
        interpolation=metadata.get("interpolation"),
        num_classes=metadata.get("num_classes"),
        weights_file=path.name,
        note=metadata.get("license", "licence not stated"),
        create_options={key: metadata[key] for key in ("pad_type",) if key in metadata},
    )


def _read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says about itself; nothing in it is run."""
    try:
        with safe_open(path, "numpy") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path}: found no safetensors file ({error}), expected one; "
            "other formats can run code when they are opened and are refused"
        ) from error


def _validated(subject: str, **values: Any) -> BackboneSpec:
    """A specification from values that others wrote, strings among them."""
    try:
        return BackboneSpec(**values)
    except ValidationError as error:
        fault = error.errors()[0]
        raise UserError(
            f"{subject}: {fault['loc'][0]}: found {fault['input']!r}, expected what a "
            f"classifier of ImageNet-1k has: {fault['msg']}; take another"
        ) from error


def _unknown(name: str, known: list[str]) -> str:
    """Why a name is refused, and which one may have been meant."""
    tagged = [other for other in known if other.startswith(f"{name}.")]
    if tagged:
        return f"found backbone {name!r} without a tag, expected one of {tagged}"
    close = difflib.get_close_matches(name, [*SPECS, *known])
    return f"found backbone {name!r}, expected a name of timm's, such as {close}"
