"""The photographs of the bundled model: drawn, packed, and kept apart.

    python -m tools.bundled_data ../data ../packed

Each set becomes one array of squares, `SET.npy` (N, S, S, 3) uint8, and a table,
`SET.npz`, of what each photograph is for. What is held out for testing was drawn before
anything was trained, and is committed as a list of hashes: `bundled_held_out.txt`.

The draw is by the files' own SHA-256: of each class (or of all, or of people) the
lowest come first. So it depends on nothing but the photographs.
"""

import hashlib
import io
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from colorlib.data.packed import is_grayscale
from colorlib.files import atomic_write
from colorlib.images import PhotographError, fit_square, load_rgb

HELD_OUT = Path(__file__).with_name("bundled_held_out.txt")
DIGITS = 16  # of a SHA-256, in hexadecimal: no two of a million files agree by chance
TRAIN, VALIDATION, TEST, LEFT_OUT = range(4)  # what a photograph is for
NEAR = 6  # bits of 64: perceptual hashes closer than that are near-duplicates


@dataclass(frozen=True)
class PhotographSet:
    """Where a set lies, and how many of it are kept from training.

    Attributes:
        name: Of the set, and of its files.
        root: Its folder below the data folder.
        size: Side of the packed squares, pixels: its own, at most 160.
        drawn_from: Of the paths, the part that tests and validation are drawn from.
        test: Photographs held out for testing.
        validation: Photographs held out for choosing.
        group: What a draw balances: "class" the folders, "person" draws whole people,
            "" all photographs alike.
    """

    name: str
    root: str
    size: int
    drawn_from: str = ""
    test: int = 2000
    validation: int = 500
    group: str = "class"


SETS = (
    PhotographSet("mini-imagenet", "mini-imagenet", 84),
    PhotographSet("miniplaces", "miniplaces/data/images", 128, "test/", group=""),
    PhotographSet("imagenette", "imagenette", 160, "val/"),
    PhotographSet("lfw", "lfw-deepfunneled", 160, group="person"),
    PhotographSet("tiny-imagenet", "tiny-imagenet/train", 64, test=0, validation=0),
    # Breadth: a thousand classes. Not trained on, and not used to choose settings.
    PhotographSet(
        "imagenet-sample", "imagenet-sample", 160, test=10**6, validation=0, group=""
    ),
)


def files_of(a_set: PhotographSet, data: Path) -> list[Path]:
    """All photographs of a set; of Tiny ImageNet only classes no other set has."""
    root = data / a_set.root
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in _JPEG)
    if a_set.name == "tiny-imagenet":
        named = [data / "mini-imagenet/train", data / "imagenette/train"]
        taken = {path.name for folder in named for path in folder.glob("n*")}
        files = [path for path in files if path.relative_to(root).parts[0] not in taken]
    if not files:
        raise SystemExit(f"found no photographs in {root}; see the top of this file")
    return files


_JPEG = {".jpeg", ".jpg"}


def short_hash(content: bytes) -> str:
    """The first digits of a file's SHA-256."""
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def draw(a_set: PhotographSet, hashes: dict[str, str], count: int) -> set[str]:
    """Draw photographs by hash: round after round, the lowest of each group.

    Args:
        a_set: Whose photographs.
        hashes: Path within the set -> hash.
        count: How many to draw; all, if there are fewer. Of people, as many whole
            people as are needed.

    Returns:
        The hashes drawn.
    """
    if a_set.group == "person":
        return _draw_people(hashes, count)
    groups: dict[str, list[str]] = defaultdict(list)
    for path, hash_ in sorted(hashes.items(), key=lambda item: item[1]):
        groups[Path(path).parent.name if a_set.group else ""].append(hash_)
    rounds = [
        (place, hash_) for group in groups.values() for place, hash_ in enumerate(group)
    ]
    return {hash_ for _, hash_ in sorted(rounds)[:count]}


def _draw_people(hashes: dict[str, str], count: int) -> set[str]:
    """All photographs of some people, who are ordered by the hash of their names."""
    people: dict[str, list[str]] = defaultdict(list)
    for path, hash_ in hashes.items():
        people[Path(path).parent.name].append(hash_)
    drawn: set[str] = set()
    for person in sorted(people, key=lambda name: short_hash(name.encode())):
        if len(drawn) >= count:
            break
        drawn |= set(people[person])
    return drawn


def divide(a_set: PhotographSet, hashes: dict[str, str]) -> dict[str, int]:
    """What each photograph is for, by its hash: hash -> TRAIN, VALIDATION or TEST."""
    pool = {
        path: hash_ for path, hash_ in hashes.items() if a_set.drawn_from in f"{path}"
    }
    test = draw(a_set, pool, a_set.test)
    rest = {path: hash_ for path, hash_ in pool.items() if hash_ not in test}
    validation = draw(a_set, rest, a_set.validation)
    purposes = dict.fromkeys(hashes.values(), TRAIN)
    return purposes | dict.fromkeys(validation, VALIDATION) | dict.fromkeys(test, TEST)


def pack(a_set: PhotographSet, data: Path, out: Path) -> None:
    """Decode a set once, into `SET.npy` and `SET.npz`; does nothing if they exist.

    A file that cannot be read, is gray, or has the content of an earlier one is left
    out; the table says how many.
    """
    table = out / f"{a_set.name}.npz"
    if table.exists():
        return
    files, root = files_of(a_set, data), data / a_set.root
    hashes = {
        str(file.relative_to(root)): short_hash(file.read_bytes()) for file in files
    }
    purposes = divide(a_set, hashes)
    shape = (len(files), a_set.size, a_set.size, 3)
    images = np.lib.format.open_memmap(
        out / f"{a_set.name}.npy", mode="w+", dtype=np.uint8, shape=shape
    )
    rows, counts = [], Counter[str]()
    for path, square in _squares(root, hashes, a_set.size, counts):
        images[len(rows)] = square
        hash_ = hashes[path]
        rows.append((path, hash_, purposes[hash_], _perceptual_hash(square)))
    images.flush()
    paths, names, purpose, looks = zip(*rows, strict=True)
    _write_table(
        table,
        path=np.array(paths),
        sha=np.array(names),
        purpose=np.array(purpose, np.uint8),
        looks=np.array(looks, np.uint64),
        counts=np.array([f"{key}: {n}" for key, n in sorted(counts.items())]),
    )


def _write_table(path: Path, /, **columns: NDArray[Any]) -> None:
    """Write a table; it is there whole or not at all."""
    content = io.BytesIO()
    np.savez(content, **columns)
    atomic_write(path, content.getvalue())


def _squares(
    root: Path, hashes: dict[str, str], size: int, counts: Counter[str]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The photographs of a set that can be used, with their paths."""
    seen: set[str] = set()
    for path, hash_ in hashes.items():
        try:
            rgb = load_rgb(root / path)
        except PhotographError:
            counts["unreadable"] += 1
            continue
        if hash_ in seen or is_grayscale(rgb):
            counts["identical" if hash_ in seen else "gray"] += 1
            continue
        seen.add(hash_)
        counts["used"] += 1
        yield path, fit_square(rgb, size)


def _perceptual_hash(rgb: NDArray[np.uint8]) -> int:
    """The 64 bits of `imagehash.phash`."""
    return int(str(imagehash.phash(Image.fromarray(rgb))), 16)


def near_any(
    looks: NDArray[np.uint64], others: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    """Which perceptual hashes are within `NEAR` bits of any of some others.

    Args:
        looks: (N,), of those asked about.
        others: (M,), of those compared with.

    Returns:
        (N,) bool.
    """
    near = [(np.bitwise_count(others ^ look) <= NEAR).any() for look in looks]
    return np.array(near, np.bool_)


def separate(tables: Iterable[Path]) -> Counter[str]:
    """Take from training what is nearly a test photograph of any set.

    Returns:
        How many were taken, by set.
    """
    loaded = {path: dict(np.load(path)) for path in tables}
    test = np.concatenate(
        [table["looks"][table["purpose"] == TEST] for table in loaded.values()]
    )
    taken: Counter[str] = Counter()
    for path, table in loaded.items():
        kept_apart = (table["purpose"] != TEST) & (table["purpose"] != LEFT_OUT)
        asked = np.flatnonzero(kept_apart)
        near = asked[near_any(table["looks"][asked], test)]
        table["purpose"][near] = LEFT_OUT
        taken[path.stem] += len(near)
        _write_table(path, **table)
    return taken


def held_out_list(tables: Iterable[Path]) -> str:
    """The committed text: for each set the hashes of its test photographs."""
    lines = [
        "# Test photographs of the bundled model, held out before training: the first",
        f"# {DIGITS} hexadecimal digits of each file's SHA-256. See bundled_data.py.",
    ]
    for path in tables:
        table = np.load(path)
        test = sorted(table["sha"][table["purpose"] == TEST].tolist())
        if not test:
            continue
        lines += [f"# {path.stem}: {len(test)}", *test]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    data, out = map(Path, arguments)
    out.mkdir(parents=True, exist_ok=True)
    for a_set in SETS:
        pack(a_set, data, out)
        counts = ", ".join(np.load(out / f"{a_set.name}.npz")["counts"])
        print(f"{a_set.name}: {counts}", flush=True)
    tables = [out / f"{a_set.name}.npz" for a_set in SETS]
    for name, count in separate(tables).items():
        print(f"{name}: {count} near a test photograph, left out of training")
    text = held_out_list(tables)
    if HELD_OUT.exists() and HELD_OUT.read_text() != text:
        raise SystemExit(
            f"found other test photographs than {HELD_OUT.name} lists, expected the "
            "same: check the data against its checksums"
        )
    atomic_write(HELD_OUT, text.encode())


if __name__ == "__main__":
    main(sys.argv[1:])
