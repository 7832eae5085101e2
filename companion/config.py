"""Settings: one tree of `data`, `model` and `train`, as YAML profiles hold it.

    profile ─ Profile.run("model3") ─► RunConfig: all that a run's result depends on

A profile holds only what differs from the defaults; a key that does not exist is an
error. One profile serves the command line and the notebooks.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from colorlib.data import DataConfig
from colorlib.errors import UserError
from colorlib.files import hash_of
from colorlib.model import MODELS, ModelConfig
from colorlib.training import TrainConfig

PROFILES_FOLDER = Path(__file__).parent / "profiles"
CLASSIFYING = ("cross_entropy", "rebalanced")
NULL = object()  # overrides a key with null; None means: not overridden
MACHINE = ("accelerator", "devices")  # no result depends on them

ModelName = Literal["plain", "model1", "model2", "model3", "model4"]
Weights = Literal["pretrained", "random", "file"]
Kind = TypeVar("Kind", bound=BaseModel)


class Settings(BaseModel):
    """What a profile and a run have in common.

    Attributes:
        data: Which images, and how they are divided.
        model: The network.
        train: How it is trained.
        weights: Where those of the frozen networks come from.
        encoder_weights: Where those of the VGG16 come from that `model4` begins with.
        judge: A classifier that is not fused: how often it names the class of the
            coloured image rightly is scored, on ImageNet (Zhang et al., 2016).
        validation_only: Whether the test images stay unseen, as for tuning.
        protocol: Version of the protocol that a run belongs to; empty for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    data: DataConfig = Field(default_factory=DataConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    weights: Weights = "pretrained"
    encoder_weights: Weights = "pretrained"
    judge: str | None = None
    validation_only: bool = False
    protocol: str = ""

    def model_copy(
        self, *, update: Mapping[str, Any] | None = None, deep: bool = False
    ) -> Self:
        """A changed copy, validated like any other settings."""
        own = {key: getattr(self, key) for key in type(self).model_fields}
        return type(self)(**{**own, **(update or {})})


class RunConfig(Settings):
    """All that the result of one run depends on, but for the files it reads.

    Attributes:
        name: `plain`, `model1`, ...
    """

    name: ModelName

    @property
    def run_name(self) -> str:
        """The name of the run and of its record, known before it is run."""
        hashed = hash_of(self.decisive())[:8]
        return f"{self.data.dataset}-{self.data.size}-{self.name}-{hashed}"

    def decisive(self) -> dict[str, Any]:
        """All settings that the result depends on, as JSON holds them."""
        settings = self.model_dump(mode="json")
        train = settings["train"].items()
        settings["train"] = {key: v for key, v in train if key not in MACHINE}
        return settings

    @model_validator(mode="after")
    def _fits_together(self) -> "RunConfig":
        """Refuse what no model can be built for."""
        if self.model.classes and self.model.target != "lab":
            raise ValueError(
                f"found a loss of classes with target {self.model.target!r}, expected "
                "target 'lab': the classes are bins of the ab plane"
            )
        if self.train.hflip and self.model.features == "maps" and self.model.backbones:
            raise ValueError(
                "found hflip with feature maps, expected one of the two: the maps are "
                "those of the image as it is"
            )
        return self


class Profile(Settings):
    """What to run and how large.

    `model.backbones` names the networks of `model3`; `model2` and `model1` fuse the
    first two and the first one of them. Without any they are the paper's.

    Attributes:
        models: Which models.

    Example:
        >>> Profile(data={"size": 32}).run("plain").run_name
        'scenes-32-plain-...'
    """

    models: tuple[ModelName, ...] = ("plain", "model3")

    @model_validator(mode="after")
    def _runs_fit_together(self) -> "Profile":
        try:
            for name in self.models:
                self.run(name)
        except ValidationError as error:
            raise ValueError(_first_fault(error)) from error
        return self

    def run(self, name: ModelName, seed: int | None = None) -> RunConfig:
        """The settings of one model, with what does not concern it at its default."""
        train, model = self.train, self.model
        loss = train.loss or ("rebalanced" if name == "model4" else "mse")
        train = replace(train, loss=loss, seed=train.seed if seed is None else seed)
        count = len(MODELS[name])
        model = replace(
            model,
            backbones=(model.backbones or MODELS["model3"])[:count],
            input_sizes=model.input_sizes and model.input_sizes[:count],
            encoder="vgg16" if name == "model4" else model.encoder,
            classes=loss in CLASSIFYING,
        )
        if not count:
            default = ModelConfig()
            unused = ("input_sizes", "features", "aggregation", "dropout")
            model = replace(model, **{key: getattr(default, key) for key in unused})
        shared = {key: getattr(self, key) for key in Settings.model_fields}
        shared |= {"train": train, "model": model}
        if name != "model4":
            shared["encoder_weights"] = "pretrained"
        return RunConfig(name=name, **shared)


def load_profile(name_or_path: str, **overrides: Any) -> Profile:
    """Read a profile and lay `overrides` over it.

    Args:
        name_or_path: The name of a file in `profiles/`, or the path of one.
        overrides: Keys such as `data.size`, with dots; None leaves the profile's own,
            `NULL` sets it to none.

    Raises:
        UserError: If there is no such profile, a key does not exist or a value does
            not fit; the message names the file and the key.

    Example:
        >>> load_profile("smoke", **{"train.max_epochs": 3}).train.max_epochs
        3
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = PROFILES_FOLDER / f"{name_or_path}.yaml"
    known = ", ".join(sorted(p.stem for p in PROFILES_FOLDER.glob("*.yaml")))
    values = read_yaml(path, f"expected one of {known} or the path of a YAML file")
    if not isinstance(values, dict):
        raise UserError(f"profile {path}: expected lines `key: value`, found none")
    given = {
        key: None if value is NULL else value
        for key, value in overrides.items()
        if value is not None
    }
    return validated(Profile, overlaid(values, given), f"profile {path}")


def read_yaml(path: Path, expected: str = "expected a YAML file") -> Any:
    """Read a file of settings; of an empty one, {}.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot be read ({reason}), {expected}") from error


def overlaid(values: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Lay keys with dots over nested ones.

    Example:
        >>> overlaid({"data": {"size": 64}}, {"data.size": 32, "data.seed": 1})
        {'data': {'size': 32, 'seed': 1}}
    """
    laid = dict(values)
    for key, value in overrides.items():
        part, _, inner = key.partition(".")
        under = laid.get(part)
        beside = under if isinstance(under, dict) else {}
        laid[part] = {**beside, inner: value} if inner else value
    return laid


def validated(kind: type[Kind], values: dict[str, Any], place: str) -> Kind:
    """Build a model of settings; what does not fit is one line that names the key.

    Raises:
        UserError: If something does not fit.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{place}: {_first_fault(error)}") from error


def _first_fault(error: ValidationError) -> str:
    """What does not fit, in one line that names the key."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    text = fault["msg"].removeprefix("Value error, ")
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"key {key!r} does not exist"
    return f"{key}: {text}, found {fault['input']!r:.80}" if key else text
