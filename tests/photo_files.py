"""What tests share: small photographs, in folders, in archives and on a server."""

import io
import tarfile
import threading
from contextlib import contextmanager
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import numpy as np
from PIL import Image


def photograph(seed, side=50):
    """A small photograph of soft random colours, an image of Pillow's."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def jpeg(seed, size=(40, 48), gray=False):
    """A small photograph of soft random colours, or shades of gray, as JPEG bytes."""
    shape = (4, 5) if gray else (4, 5, 3)
    coarse = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize(size[::-1]).save(file, "JPEG", quality=90)
    return file.getvalue()


def people(gray=False):
    """Three persons with six photographs in the layout of Labeled Faces in the Wild."""
    names = ["Ann_A", "Ann_A", "Bo_B", "Zoë_C", "Zoë_C", "Zoë_C"]
    numbers = [1, 2, 1, 1, 2, 3]
    return {
        f"lfw/{name}/{name}_{number:04d}.jpg": jpeg(seed, gray=gray)
        for seed, (name, number) in enumerate(zip(names, numbers, strict=True))
    }


def classes(root="", per_class=2):
    """Two classes of images."""
    return {
        f"{root}n0000000{k}/n0000000{k}_{i}.JPEG": jpeg(10 * k + i)
        for k in (1, 2)
        for i in range(per_class)
    }


def as_folder(root, files):
    """Write files below a folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def as_archive(path, files, mode="w:gz"):
    """Write files into a tar archive."""
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def served(folder):
    """Serve a folder from this machine; gives its address."""
    with HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
