"""Photographs from somewhere, packed once, divided into training and test."""

from colorlib.data.duplicates import identical, near_duplicates
from colorlib.data.finding import Dataset, fetch_missing, find_lfw, open_source
from colorlib.data.manifest import Manifest
from colorlib.data.packed import PackedImages, iterate_kept, pack
from colorlib.data.shards import SHARD, Images, ShardedImages
from colorlib.data.sources import Item, Reading, Source
from colorlib.data.splits import Split, SplitKind, split

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
    "open_source",
    "pack",
    "split",
]
