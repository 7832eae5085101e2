"""Images from somewhere, packed once into one array, divided into parts."""

from colorlib.data.packed import Manifest, PackedImages, pack
from colorlib.data.sources import DataConfig, ImageSource, open_source
from colorlib.data.splits import Split, near_duplicates, split

__all__ = [
    "DataConfig",
    "ImageSource",
    "Manifest",
    "PackedImages",
    "Split",
    "near_duplicates",
    "open_source",
    "pack",
    "split",
]
