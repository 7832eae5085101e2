"""Profiles: what to run and how large, as flat YAML files.

One file serves both the command line (`companion train --profile laptop`) and the
notebooks (each takes the keys it declares in its parameters cell). A file holds only
what differs from the defaults below; a key that does not exist is an error.
"""

from os.path import isfile
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from colorlib.errors import UserError
from colorlib.files import hash_of

PROFILES_FOLDER = Path(__file__).parent / "profiles"

Dataset = Literal["scenes", "lfw", "imagenet", "imagenette", "folder", "mixed"]
ModelName = Literal["plain", "model1", "model2", "model3", "model4"]
Loss = Literal["mse", "huber", "l1", "cross_entropy", "rebalanced"]
CLASSIFYING: tuple[Loss, ...] = ("cross_entropy", "rebalanced")


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
    train_count: int | None = Field(None, ge=1)  # trained on, at most; None for all
    test_count: int | None = Field(None, ge=2)  # tested on, at most; None for all
    data_seed: int = Field(0, ge=0)  # of the draw of photographs and of their split

    # what is seen and what is predicted
    gray: Literal["L", "luma"] = "L"  # the paper does not say where its gray comes from
    target: Literal["lab", "luv", "yuv", "rgb"] = "lab"

    # network
    models: tuple[ModelName, ...] = ("plain", "model3")
    backbones: tuple[str, ...] | None = None  # in place of the paper's, which is None
    weights: Literal["pretrained", "random", "file"] = "pretrained"
    encoder_weights: Literal["pretrained", "random", "file"] = "pretrained"  # model4's
    scores: Literal["softmax", "logits", "features", "maps"] = "softmax"
    fusion: Literal["average", "sum", "max", "gate", "concat"] = "average"
    width: float = Field(1.0, gt=0, le=4)  # factor on the number of channels
    skips: bool = False  # whether the decoder sees the encoder's finer features
    normalisation: Literal["none", "batch"] = "none"
    upsampling: Literal["nearest", "nearest_before", "bilinear"] = "nearest"

    # training
    loss: Loss | None = None  # None: Eq. 1 of the paper; `rebalanced` for model4
    logit_adjustment: float = Field(0, ge=0, le=1)  # turns classifiers to rare colours
    batch_size: int = Field(20, ge=1)  # the paper, Section 5.2
    hflip: bool = False  # whether half of the photographs are shown mirrored
    learning_rate: float = Field(1e-3, gt=0)  # the paper's "0.001μ", read as 0.001
    schedule: Literal["constant", "cosine"] = "constant"  # of the learning rate
    max_epochs: int = Field(1, ge=1)
    max_steps: int | None = Field(None, ge=1)
    max_minutes: float | None = Field(None, gt=0)  # wall time of one model
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compiled: Literal["auto", "none", "default", "reduce-overhead"] = "none"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: PositiveInt | Literal["auto"] = "auto"
    deterministic: bool = False  # refuse what a GPU may add up in any order
    seed: int = Field(0, ge=0)  # of the first weights and of the order of batches

    @model_validator(mode="after")
    def _fits_together(self) -> "Profile":
        """Refuse what no model can be built for."""
        losses = {self.loss_of(name) for name in self.models}
        if losses & {*CLASSIFYING} and self.target != "lab":
            raise ValueError(
                f"found a loss of classes with target {self.target!r}, expected "
                "target 'lab': the classes are bins of the ab plane"
            )
        if self.logit_adjustment and self.loss not in CLASSIFYING:
            raise ValueError(
                f"found logit_adjustment with loss {self.loss!r}, expected one of "
                f"{', '.join(CLASSIFYING)}: only classes can be rare"
            )
        if self.hflip and self.scores == "maps":
            raise ValueError(
                "found hflip with scores 'maps', expected one of the two: the maps "
                "are those of the photograph as it is"
            )
        return self

    def loss_of(self, model_name: str) -> Loss:
        """What a model is trained with, if the profile leaves it open."""
        return self.loss or ("rebalanced" if model_name == "model4" else "mse")


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
    if not isfile(path):  # not `path.is_file`, which raises where a name is too long
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


def settings_of(profile: Profile, model_name: str) -> dict[str, Any]:
    """What of a profile decides the result of one model, and differs from the default.

    Args:
        profile: The whole.
        model_name: The model; what concerns backbones is left out where it has none.

    Returns:
        Keys and values, and `model`; ready for JSON. A key that is added to `Profile`
        later does not change it.
    """
    settings = profile.model_dump(mode="json", exclude_defaults=True)
    idle = {"models", "accelerator", "devices"}
    if model_name in ("plain", "model4"):
        idle |= {"backbones", "weights", "scores", "fusion"}
    if model_name != "model4":
        idle |= {"encoder_weights"}
    return {"model": model_name} | {k: v for k, v in settings.items() if k not in idle}


def run_name(profile: Profile, model_name: str) -> str:
    """The name of a run, known before it is run: that of its record.

    Example:
        >>> run_name(load_profile("shipped"), "plain")
        'mixed-64-plain-7ac60132'
    """
    key = hash_of(settings_of(profile, model_name))[:8]
    return f"{profile.dataset}-{profile.size}-{model_name}-{key}"


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
