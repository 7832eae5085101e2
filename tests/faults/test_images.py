"""Whatever an image file holds, it is shown as it is, or refused by its name."""

from contextlib import suppress

import numpy as np
import pytest
from hostile import KINDS, corpus, no_files

from colorlib.colorize import Colorizer
from colorlib.data import DataConfig, open_source, pack
from colorlib.images import PhotographError, PhotographFile

RECORD = {
    "name": "images",
    "title": "Hostile and odd images",
    "expected": "the file is read as the picture it shows and coloured at its own "
    "size, or refused by its name in one line; cut short it is refused or shown whole",
}


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_image_is_shown_as_it_is_or_refused(kind, tmp_path, tally):
    colorizer, wrong = Colorizer.load(), []
    for hostile in kind():
        path = tmp_path / hostile.name
        path.write_bytes(hostile.content)
        with suppress(AssertionError), tally(hostile.kind):
            wrong.append(hostile.name)
            shown_or_refused(hostile, path, colorizer)
            wrong.pop()
    assert wrong == []


def shown_or_refused(hostile, path, colorizer):
    try:
        photograph = PhotographFile(path).read()
    except PhotographError as error:
        assert hostile.may_be_refused, error  # noqa: PT017  # it may be read, too
        assert str(error).startswith(str(path))  # noqa: PT017
        assert "\n" not in error.reason  # noqa: PT017
        return
    if hostile.shows is not None:
        assert photograph.rgb.shape == hostile.shows.shape
        off = np.abs(photograph.rgb.astype(float) - hostile.shows)
        assert off.max() <= max(hostile.close, 1)
    shape = photograph.rgb.shape
    assert colorizer.colorize(photograph).rgb.shape == shape


@pytest.mark.faults
def test_a_folder_of_them_all_is_packed_and_what_is_refused_is_named(tmp_path, tally):
    folder, files = tmp_path / "photographs", {file.name: file for file in corpus()}
    folder.mkdir()
    for name, file in files.items():
        (folder / name).write_bytes(file.content)
    no_images = {path.name for path in no_files(folder)}
    source = open_source(DataConfig("folder"), folder)
    manifest = pack(source, 16, tmp_path / "cache").manifest
    named = {*manifest.ids, *manifest.grayscale, *manifest.unreadable}
    assert named == {*files, *no_images}  # nothing is passed over in silence
    with tally("no file: link, pipe"):
        assert no_images <= manifest.unreadable.keys()
    for name in {*manifest.unreadable} - no_images:
        assert files[name].may_be_refused, name
    assert len(manifest.ids) > 50
