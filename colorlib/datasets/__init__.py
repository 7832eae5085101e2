"""Photographs from somewhere, packed once, divided into training and test."""

from colorlib.datasets.duplicates import identical, near_duplicates
from colorlib.datasets.finding import Dataset, fetch_missing, find_lfw, open_source
from colorlib.datasets.manifest import Manifest
from colorlib.datasets.packed import PackedImages, iterate_kept, pack
from colorlib.datasets.scenes import (
    object_colours,
    object_mask,
    recolour_scene,
    render_scenes,
)
from colorlib.datasets.shards import SHARD, Images, ShardedImages
from colorlib.datasets.sources import Item, Reading, Source
from colorlib.datasets.splits import Split, SplitKind, split

__all__ = [
    "SHARD",
    "Dataset",
    "Images",
    "Item",
    "Manifest",
    "PackedImages",
    "Reading",
    "ShardedImages",
    "Source",
    "Split",
    "SplitKind",
    "fetch_missing",
    "find_lfw",
    "identical",
    "iterate_kept",
    "near_duplicates",
    "object_colours",
    "object_mask",
    "open_source",
    "pack",
    "recolour_scene",
    "render_scenes",
    "split",
]
