"""The photographs that packages bring, and what is kept of them."""

import numpy as np
from skimage.color import rgb2lab

from companion import photographs
from companion.photographs import CLASSIFIERS, PHOTOGRAPHS, VIEWS, coloured, square


def test_lightness_stays_and_chroma_is_that_given():
    """By scikit-image's Lab: a lightness within what rounding to 8 bits changes."""
    ab = np.zeros((2, 64, 64), np.int8)
    ab[0], ab[1] = 10, 20
    true, out = (rgb2lab(of) for of in (square("cat", 96), coloured("cat", ab, 96)))
    inside = (true[..., 0] > 30) & (true[..., 0] < 85)  # where no screen clips
    assert np.abs(out[..., 0] - true[..., 0])[inside].max() < 1.5
    assert np.abs(out[..., 1:] - (10, 20))[inside].mean() < 1
    gray = coloured("cat", np.zeros((2, 64, 64)), 96)
    assert np.abs(rgb2lab(gray)[..., 1:]).max() < 1


def test_class_scores_are_those_of_the_protocol():
    kept = photographs.kept_class_scores()
    assert kept.classifiers == CLASSIFIERS
    assert kept.logits.shape == (len(PHOTOGRAPHS), len(VIEWS), 3, 1000)
    assert np.isfinite(kept.logits).all()
    assert all(len(digest) == 64 for digest in kept.weights)
    assert (kept.of("coffee", "colour").argmax(-1) == 967).all()  # espresso
    assert not np.allclose(kept.of("coffee", "gray"), kept.of("coffee", "colour"))
