"""Is a record true? What of it can be checked here is checked here.

The record alone has a name, means and counts that must agree. With the photographs
their hash and their split are compared; with the trained weights, every score is made
again. And always its settings are trained in small, twice: the same, to the bit?
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colorlib.colorize import SHIPPED
from colorlib.evaluation import MODEL
from colorlib.files import file_sha256
from colorlib.model import load_model
from companion.config import Profile, load_profile, run_name
from companion.data_setup import Folders, Say, load_backbones, prepare_data, scores_of
from companion.pipeline import KEPT_PER_IMAGE, run_model
from companion.provenance import describe_data
from companion.records import Record, read_record
from companion.runner import recorded_profile
from companion.scoring import score_model

ROUNDING = 1e-5  # of what a record keeps, five digits
HALF_PRECISION = 2e-2  # of scores of the model in the box, whose weights are rounded
OWN = ("dataset", "count", "size", "width", "models", "backbones", "weights")
BOUNDS = ("encoder_weights", "train_count", "test_count", "max_epochs", "max_steps")
MACHINE = ("accelerator", "devices", "precision", "compiled")
SMALL = (*OWN, *BOUNDS, *MACHINE, "max_minutes", "split")


@dataclass(frozen=True)
class Check:
    """One thing that was compared.

    Attributes:
        what: In words.
        recorded: What the record says.
        found: What was found here.
        holds: Whether they agree.
    """

    what: str
    recorded: str
    found: str
    holds: bool


def verify(path: Path, folders: Folders, say: Say = print) -> list[Check]:
    """Check a record against all that is here.

    Args:
        path: The record.
        folders: Where things are: photographs in `data`, trained models in `runs`.
            What is not there is not checked, and `say` is told.
        say: Told, in one line, what is being done.

    Returns:
        The checks, in order.

    Raises:
        UserError: If the record cannot be read, or is of another version's profile.
    """
    record = read_record(path)
    profile = recorded_profile(record)
    checks = [*own_numbers(record, profile)]
    if profile.dataset == "scenes" or folders.data is not None:
        checks += _photographs(record, profile, folders, say)
        checks += _scores(record, profile, folders, say)
    else:
        say("no --data-root: photographs and scores are not checked")
    return [*checks, _small_form(profile, record.model.name, say)]


def own_numbers(record: Record, profile: Profile) -> Iterator[Check]:
    """What a record says twice has to agree."""
    name = run_name(profile, record.model.name)
    yield Check("name, from its settings", record.name, name, name == record.name)
    for metric in KEPT_PER_IMAGE:
        recorded = record.scores[MODEL][metric]
        values = np.array(record.per_image[metric])
        mean = values[np.isfinite(values)].mean()
        holds = bool(np.isclose(mean, recorded.mean, rtol=ROUNDING))
        holds &= len(values) == record.data.test == recorded.n
        what = f"{metric}, mean of {len(values)} photographs"
        yield Check(what, f"{recorded.mean:.6g}", f"{mean:.6g}", holds)


def _photographs(
    record: Record, profile: Profile, folders: Folders, say: Say
) -> Iterator[Check]:
    """Which photographs there are, and how they are split."""
    found = describe_data(prepare_data(profile, folders, say))
    for what in ("manifest_hash", "split_hash", "train", "validation", "test"):
        recorded, here = (str(getattr(part, what)) for part in (record.data, found))
        label = what.replace("_", " ")
        yield Check(label, recorded[:16], here[:16], here == recorded)


def _scores(
    record: Record, profile: Profile, folders: Folders, say: Say
) -> Iterator[Check]:
    """Every score of every test photograph, made again from the trained weights."""
    weights, tolerance = _trained_weights(record, folders)
    if weights is None:
        say(f"no weights of {record.name} in {folders.runs}: scores are not checked")
        return
    say(f"scoring {weights} again")
    model, _ = load_model(weights)
    data = prepare_data(profile, folders, say=lambda line: None)
    backbones = load_backbones(profile, record.model.name, folders)
    told = scores_of(profile, data, backbones, folders, progress=False)
    scores = score_model(profile, model, data, told, folders.cache)[MODEL]
    for metric in KEPT_PER_IMAGE:
        worst = _largest_change(record.per_image[metric], scores[metric].numpy())
        what = f"{metric} again, largest change"
        holds = bool(worst < tolerance)
        yield Check(what, f"below {tolerance:g}", f"{worst:.2g}", holds)


def _largest_change(old: list[float], new: NDArray[np.float32]) -> float:
    """Of the score of one photograph, as a share of their mean."""
    if len(old) != len(new):
        return np.inf
    finite = np.isfinite(old)
    change = np.abs(new - old)[finite].max() / np.abs(np.array(old)[finite]).mean()
    return float(change)


def _trained_weights(record: Record, folders: Folders) -> tuple[Path | None, float]:
    """The weights that were recorded, or the model in the box made from them."""
    for folder in (folders.runs, folders.runs / record.name):  # of train, of a study
        path = folder / record.model.name / "model.safetensors"
        if path.exists() and file_sha256(path) == record.model.weights_sha256:
            return path, 10 * ROUNDING
    if load_model(SHIPPED)[1]["record"] == record.name:
        return SHIPPED, HALF_PRECISION
    return None, 0.0


def _small_form(profile: Profile, model_name: str, say: Say) -> Check:
    """Train the settings in small, twice: they give the same weights, or are chance."""
    small = small_form(profile, model_name)
    say("training a small form of it, twice")
    with TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        hashes = [
            run_model(
                small,
                model_name,
                Folders(None, None, cache, Path(folder) / again),
                progress=False,
                say=lambda line: None,
            ).model.weights_sha256
            for again in ("once", "twice")
        ]
    once, twice = (one[:16] for one in hashes)
    return Check("small form, twice", once, twice, hashes[0] == hashes[1])


def small_form(profile: Profile, model_name: str) -> Profile:
    """The settings of a run on the data, networks and lengths of `smoke`.

    Example:
        >>> small = small_form(Profile(dataset="lfw", fusion="max"), "model3")
        >>> small.dataset, small.size, small.fusion
        ('scenes', 32, 'max')
    """
    smoke = load_profile("smoke")
    settings: dict[str, Any] = {key: getattr(smoke, key) for key in SMALL}
    return profile.model_copy(update={**settings, "models": (model_name,)})
