"""Fetching data sets: over HTTPS, checked by hash, whole or not at all."""

from pathlib import Path

import pooch
import requests

from colorlib.errors import UserError

LFW_FILE = "lfw-funneled.tgz"
LFW_SHA256 = "b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a"
LFW_MIRRORS = (  # address and hash as in scikit-learn's fetch_lfw_people
    "https://ndownloader.figshare.com/files/5976015",
    "https://figshare.com/ndownloader/files/5976015",
)
IMAGENETTE_FILE = "imagenette2-320.tgz"
IMAGENETTE_MD5 = "3df6f0d01a2c9592104656642f5e78a3"  # torchvision's
IMAGENETTE_MIRRORS = ("https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",)


def download_lfw(data_root: Path) -> Path:
    """Fetch the funneled Labeled Faces in the Wild, 243 MB, unless it is there.

    Args:
        data_root: The folder to put the archive in.

    Returns:
        The archive.

    Raises:
        UserError: If no mirror gave the right file.
    """
    return _fetch(data_root, LFW_FILE, f"sha256:{LFW_SHA256}", LFW_MIRRORS)


def download_imagenette(data_root: Path) -> Path:
    """Fetch Imagenette, shorter side 320 px, 342 MB, unless it is there.

    Args:
        data_root: The folder to put the archive in.

    Returns:
        The archive.

    Raises:
        UserError: If no mirror gave the right file.
    """
    known_hash = f"md5:{IMAGENETTE_MD5}"
    return _fetch(data_root, IMAGENETTE_FILE, known_hash, IMAGENETTE_MIRRORS)


def _fetch(folder: Path, name: str, known_hash: str, mirrors: tuple[str, ...]) -> Path:
    """Try the mirrors in turn; a file that is there already is left as it is."""
    path = folder / name
    if path.exists():
        return path
    reasons = []
    for url in mirrors:
        try:
            pooch.retrieve(url, known_hash, name, folder, progressbar=True)
        except (requests.RequestException, OSError, ValueError) as error:
            reasons.append(f"{url}: {type(error).__name__}")
        else:
            return path
    raise UserError(
        f"{name}: no mirror gave the file with {known_hash} ({'; '.join(reasons)}); "
        f"place it in {folder} by hand"
    )
