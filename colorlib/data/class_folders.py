"""A folder of classes, as torchvision reads it."""

from collections import Counter
from pathlib import Path
from typing import Any

from torchvision.datasets import ImageFolder

from colorlib.images.album import photographs_below


class ClassFolders(ImageFolder):  # type: ignore[misc]  # torchvision has no types
    """torchvision's folder a class, but that links may lead anywhere.

    Attributes:
        left_out: Kind of file that is no image of a class -> how many.
    """

    def make_dataset(
        self, directory: str, class_to_idx: dict[str, int], **_: Any
    ) -> list[tuple[Path, int]]:
        """Find the images of each class, and count what else there is."""
        self.left_out, samples = Counter[str](), []
        for path in photographs_below(Path(directory), self.left_out):
            name = path.relative_to(directory).parts[0]
            if name in class_to_idx:
                samples.append((path, class_to_idx[name]))
            else:
                self.left_out["images in no class"] += 1
        return samples
