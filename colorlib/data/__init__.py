"""Data sets: images read, packed once into one array, split for training and test."""

from colorlib.data.packed import Manifest, PackedImages, pack
from colorlib.data.sources import PARTS, DataConfig, ImageSource, open_source
from colorlib.data.splits import Split, split

__all__ = [
    "PARTS",
    "DataConfig",
    "ImageSource",
    "Manifest",
    "PackedImages",
    "Split",
    "open_source",
    "pack",
    "split",
]
