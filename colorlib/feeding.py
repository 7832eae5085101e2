"""What one must know to use trained weights, as it stands in their own file."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from colorlib.backbones import Backbone, load_backbone
from colorlib.errors import UserError

LARGEST = 4096  # pixels; a file from elsewhere shall not ask for all the memory


class BackboneRecord(BaseModel):
    """Which frozen network, and where its weights come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    weights: Literal["pretrained", "random", "file"]
    weights_hash: str


class InputSpec(BaseModel):
    """What a trained model expects.

    Attributes:
        size: Side of its training images, pixels.
        backbones: The frozen networks that it fuses, in the order of their features.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    size: int = Field(ge=8, le=LARGEST)
    backbones: list[BackboneRecord]


def input_spec(path: Path, notes: dict[str, Any]) -> InputSpec:
    """Check the notes of a model that someone may have handed over.

    Args:
        path: Its file, for the error.
        notes: As `colorlib.model.load_model` returns them.

    Raises:
        UserError: If one is missing or does not fit; the message names it.

    Example:
        >>> notes = {"size": 64, "backbones": []}
        >>> input_spec(Path("model.safetensors"), notes).size
        64
    """
    try:
        return InputSpec(**notes)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"])
        raise UserError(
            f"{path} does not say what the model expects: {field}: {fault['msg']}, "
            f"found {fault['input']!r:.60}; train it with this package"
        ) from error


def load_stated(
    spec: InputSpec, path: Path, weights_root: Path | None = None
) -> list[Backbone]:
    """Load the frozen networks that a model was trained with, and no others.

    Args:
        spec: Of the model.
        path: Its file, for the errors.
        weights_root: Folder of the networks' files, for a model trained with
            `weights: file`.

    Raises:
        UserError: If a file is not there, or is not the one of the training.
    """
    backbones = []
    for wanted in spec.backbones:
        weights: str | Path = wanted.weights
        if weights == "file":
            if weights_root is None:
                raise UserError(
                    f"{path} was trained with the file of {wanted.name}; "
                    "give --weights-root, the folder it is in"
                )
            weights = weights_root
        backbone = load_backbone(wanted.name, weights)
        if backbone.weights_hash != wanted.weights_hash:
            raise UserError(
                f"{path} was trained with other weights of {wanted.name}: found "
                f"{backbone.weights_hash[:12]}, expected "
                f"{wanted.weights_hash[:12]}; use the same file"
            )
        backbones.append(backbone)
    return backbones
