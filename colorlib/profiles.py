"""Profiles: what to run and how large, as flat YAML files.

One file serves both the command line (`colorlib train --profile laptop`) and the
notebooks (each takes the keys it declares in its parameters cell). A file holds only
what differs from the defaults below; a key that does not exist is an error.
"""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from colorlib.errors import UserError

PROFILES_FOLDER = Path(__file__).parent.parent / "profiles"

Dataset = Literal["scenes", "lfw", "imagenet", "imagenette", "folder"]
ModelName = Literal["plain", "model1", "model2", "model3"]


class Profile(BaseModel):
    """Everything a run depends on, but for the folders of this machine.

    Example:
        >>> Profile(dataset="lfw", size=64).batch_size
        20
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # data
    dataset: Dataset = "scenes"
    count: int | None = Field(None, ge=8)  # photographs to use; None for all
    size: int = Field(64, ge=16)  # side of the square training images, pixels
    split: Literal["random", "group"] = "random"  # the paper's; or person-disjoint
    test_fraction: float = Field(0.25, gt=0, lt=1)  # the paper, Section 4.3
    validation_fraction: float = Field(0.05, ge=0, lt=1)  # of the training part

    # network
    models: tuple[ModelName, ...] = ("plain", "model3")
    backbones: tuple[str, ...] | None = None  # in place of the paper's, which is None
    weights: Literal["pretrained", "random", "file"] = "pretrained"
    scores: Literal["softmax", "logits"] = "softmax"
    width: float = Field(1.0, gt=0, le=4)  # factor on the number of channels

    # training
    batch_size: int = Field(20, ge=1)  # the paper, Section 5.2
    learning_rate: float = Field(1e-3, gt=0)  # the paper's "0.001μ", read as 0.001
    max_epochs: int = Field(1, ge=1)
    max_steps: int | None = Field(None, ge=1)
    max_minutes: float | None = Field(None, gt=0)  # wall time of one model
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int | Literal["auto"] = "auto"
    seed: int = Field(0, ge=0)


def load_profile(name_or_path: str, **overrides: Any) -> Profile:
    """Read a profile and lay `overrides` over it.

    Args:
        name_or_path: The name of a file in `profiles/`, or the path of one.
        overrides: Keys of `Profile`; None leaves the profile's own value.

    Returns:
        The validated profile.

    Raises:
        UserError: If there is no such profile, a key does not exist or a value
            does not fit; the message names the file and the key.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = PROFILES_FOLDER / f"{name_or_path}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in PROFILES_FOLDER.glob("*.yaml")))
        raise UserError(
            f"found no profile {name_or_path!r}, expected one of {known} "
            "or the path of a YAML file"
        )
    values = read_yaml(path)
    values |= {key: value for key, value in overrides.items() if value is not None}
    try:
        return Profile(**values)
    except ValidationError as error:
        raise UserError(f"profile {path}: {_first_fault(error)}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds keys and values.

    Raises:
        UserError: If it cannot be read or is not a mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"profile {path}: cannot be read: {reason}") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"profile {path}: expected lines `key: value`, found none")
    return values


def _first_fault(error: ValidationError) -> str:
    """One line for pydantic's several: which key, what was found, what is wanted."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"key {key!r} does not exist; keys are {', '.join(Profile.model_fields)}"
    found = f", found {fault['input']!r}" if key else ""
    return f"{key + ': ' if key else ''}{fault['msg']}{found}"
