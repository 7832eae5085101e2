"""Images from somewhere, packed once into one array, divided into parts."""

from colorlib.data.archives import download
from colorlib.data.packed import Manifest, PackedImages, pack
from colorlib.data.sources import DataConfig, ImageSource, open_source
from colorlib.data.splits import Split, split

__all__ = [
    "DataConfig",
    "ImageSource",
    "Manifest",
    "PackedImages",
    "Split",
    "download",
    "open_source",
    "pack",
    "split",
]
