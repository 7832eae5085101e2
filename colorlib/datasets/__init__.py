"""Photographs from somewhere, packed once, divided into training and test."""

from colorlib.datasets.downloads import download_imagenette, download_lfw
from colorlib.datasets.finding import Dataset, find_lfw, open_source
from colorlib.datasets.packed import Manifest, PackedImages, iterate_kept, pack
from colorlib.datasets.scenes import render_scenes
from colorlib.datasets.sources import Item, Reading, Source
from colorlib.datasets.splits import Split, SplitKind, split

__all__ = [
    "Dataset",
    "Item",
    "Manifest",
    "PackedImages",
    "Reading",
    "Source",
    "Split",
    "SplitKind",
    "download_imagenette",
    "download_lfw",
    "find_lfw",
    "iterate_kept",
    "open_source",
    "pack",
    "render_scenes",
    "split",
]
