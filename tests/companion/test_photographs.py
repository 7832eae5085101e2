"""The photographs that packages bring, and what is kept of them."""

import numpy as np

from companion import photographs
from companion.photographs import CLASSIFIERS, PHOTOGRAPHS, VIEWS


def test_class_scores_are_those_of_the_protocol():
    kept = photographs.kept_class_scores()
    assert kept.classifiers == CLASSIFIERS
    assert kept.logits.shape == (len(PHOTOGRAPHS), len(VIEWS), 3, 1000)
    assert np.isfinite(kept.logits).all()
    assert all(len(digest) == 64 for digest in kept.weights)
    assert (kept.of("coffee", "colour").argmax(-1) == 967).all()  # espresso
    assert not np.allclose(kept.of("coffee", "gray"), kept.of("coffee", "colour"))
