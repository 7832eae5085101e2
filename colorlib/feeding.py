"""What one must know to use trained weights, as it stands in their own file."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from colorlib.backbones import ScoreKind
from colorlib.errors import UserError
from colorlib.records import BackboneRecord
from colorlib.targets import Gray, Space

LARGEST = 4096  # pixels; a file from elsewhere shall not ask for all the memory


class Feeding(BaseModel):
    """How a model was fed when it was trained, and so must be fed ever after.

    Attributes:
        model: Its name among `colorlib.model.MODELS`, if it has one.
        size: Side of its training photographs, pixels.
        see_size: Side of the square that its backbones see, pixels.
        scores: What it is told by its backbones.
        target: The space it predicts colour in.
        gray: Where the gray image comes from.
        backbones: In the order of what it is told.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    model: str = ""
    size: int = Field(ge=8, le=LARGEST)
    see_size: int = Field(ge=8, le=LARGEST)
    scores: ScoreKind
    target: Space
    gray: Gray
    backbones: list[BackboneRecord]


def read_feeding(path: Path, notes: dict[str, Any]) -> Feeding:
    """Check the notes of a model that someone may have handed over.

    Args:
        path: Its file, for the error.
        notes: As `colorlib.model.load_model` returns them.

    Raises:
        UserError: If one is missing or does not fit; the message names it.

    Example:
        >>> notes = {"size": 64, "see_size": 224, "scores": "logits", "gray": "L"}
        >>> notes |= {"target": "lab", "backbones": []}
        >>> read_feeding(Path("model.safetensors"), notes).size
        64
    """
    try:
        return Feeding(**notes)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"])
        raise UserError(
            f"{path} does not say how to feed the model: {field}: {fault['msg']}, "
            f"found {fault['input']!r:.60}; train it with this package"
        ) from error
