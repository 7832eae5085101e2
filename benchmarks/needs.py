"""What the runs of an ablation will need at most: images, bytes of features, hours.

    python -m benchmarks.needs fusion --profile protocol

Arithmetic, no measurement: images that are gray or near-duplicates are left out later.
The rates are rough: 34 ms to train on an image of 64 px at the published width on two
CPU cores, in proportion to the pixels and to width^1.5; 0.5 ms on an H200 in batches of
20, up to 256 px, where launching the kernels takes most of the time.
"""

import argparse
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch

from colorlib.backbones import stored_kind
from colorlib.backbones.specs import MAP_SIDE, NUM_CLASSES, spec_for
from colorlib.data import DataConfig
from colorlib.features import STORED
from companion.config import RunConfig
from companion.studies import Run, plan

PUBLISHED = {  # images, and the classes they are of
    "lfw": (13_233, 5_749),
    "imagenet": (1_331_167, 1_000),  # the training and the validation images
    "imagenette": (13_394, 10),
    "scenes": (2_000, 2_000),
    "folder": (0, 1),  # not known before it is read
}
CPU_SECONDS, GPU_SECONDS = 0.034, 0.0005  # an image of 64 px at width 1; up to 256 px


class Needs(NamedTuple):
    """What one run needs at most.

    Attributes:
        trained: Images that are trained on.
        feature_bytes: Of the frozen networks' features on disk, by the network.
        cpu_hours: Of training on two cores; `gpu_hours`, on an H200.
    """

    trained: int
    feature_bytes: dict[str, int]
    cpu_hours: float
    gpu_hours: float


def needs_of(config: RunConfig) -> Needs:
    """Estimate what a run needs.

    Example:
        >>> from companion.config import load_profile
        >>> needs = needs_of(load_profile("paper").run("model1"))
        >>> needs.trained, needs.feature_bytes  # 17,000 x 1000 logits x 4 bytes
        (12112, {'inception_resnet_v2.tf_in1k': 68000000})
    """
    (images, trained), train = _images(config.data), config.train
    content, names = stored_kind(config.model.features), config.model.backbones
    each = 1 if content != "maps" else MAP_SIDE**2
    numbers = {n: NUM_CLASSES if content == "logits" else _channels(n) for n in names}
    size = images * each * np.dtype(STORED[content]).itemsize
    steps = train.max_epochs * -(-trained // train.batch_size)
    seen = min(train.max_steps or steps, steps) * train.batch_size / 3600
    pixels = (config.data.size / 64) ** 2
    return Needs(
        trained,
        {name: size * count for name, count in numbers.items()},
        cpu_hours=seen * CPU_SECONDS * pixels * config.model.width**1.5,
        gpu_hours=seen * GPU_SECONDS * max(1, pixels / 16),
    )


def _images(data: DataConfig) -> tuple[int, int]:
    """All images, and those trained on."""
    whole, groups = PUBLISHED[data.dataset]
    seen, unseen = data.count or whole, 0
    if data.classes is not None:
        seen = data.classes * (data.per_class or whole // groups)
        unseen = data.unseen_classes * data.unseen_per_class
    rest = round(seen * (1 - data.test_fraction))
    held = data.validation if data.validation >= 1 else data.validation * rest
    trained = rest - round(held)
    return seen + unseen, min(trained, data.train_count or trained)


@cache
def _channels(name: str) -> int:
    """Of a network's maps, from its description, without its weights."""
    import timm

    spec = spec_for(name)
    with torch.device("meta"):  # shapes alone
        net: Any = timm.create_model(spec.timm_name, **spec.create_options)
    tapped = spec.tap is not None
    return int(net.feature_info[spec.tap]["num_chs"] if tapped else net.num_features)


def lines_of(runs: Iterable[Run]) -> Iterator[str]:
    """Each run in a line, then the disk and the hours of all of them."""
    hours, stored = np.zeros(2), dict[tuple[str, ...], int]()
    for run in runs:
        needs, kind = needs_of(run.config), stored_kind(run.config.model.features)
        hours += needs.cpu_hours, needs.gpu_hours
        for network, size in needs.feature_bytes.items():
            stored[run.data, network, kind] = size  # once for all runs
        epochs = run.config.train.max_epochs
        yield f"{run.name}  {run.condition}: {needs.trained:,} images x {epochs} epochs"
    for (data, network, what), size in stored.items():
        yield f"features: {what} of {network}, {data}: {size / 1e9:.2f} GB on disk"
    yield (
        f"at most {hours[0]:.1f} hours of training on two CPU cores, {hours[1]:.1f} on "
        "an H200, by rough rates"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ablation")
    parser.add_argument("--profile", default="protocol")
    given = parser.parse_args()
    runs = {run.name: run for run in plan(given.ablation, given.profile)}
    print(*lines_of(runs.values()), sep="\n")


if __name__ == "__main__":
    main()
