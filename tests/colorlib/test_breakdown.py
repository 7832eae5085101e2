import numpy as np
import pytest
import torch
from skimage import color as skcolor

from colorlib.breakdown import CHROMA_CLASSES, PLACES, break_down
from colorlib.sampling import OrderedBatches, Samples
from colorlib.targets import Target


def batches(images, batch_size=3):
    return OrderedBatches(Samples(images, None, np.arange(len(images))), batch_size)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)


def constant(a, b):
    """Predicts one colour, in Lab units."""

    def predict(L_norm, features):
        ab = torch.tensor([a, b]).view(1, 2, 1, 1) / 128
        return ab.expand(len(L_norm), 2, *L_norm.shape[-2:])

    return predict


def test_it_is_what_numpy_and_skimage_say(images):
    found = break_down(constant(6.0, 8.0), batches(images))
    ab = skcolor.rgb2lab(images)[..., 1:]  # (N, S, S, 2)
    squared = (((ab - [6.0, 8.0]) / 128) ** 2).mean(axis=-1)
    side = 16 // PLACES
    place = squared.reshape(7, PLACES, side, PLACES, side).mean(axis=(0, 2, 4))
    np.testing.assert_allclose(found.place_mse, place, rtol=1e-4)
    kind = np.minimum(np.hypot(*np.moveaxis(ab, -1, 0)) // 10, CHROMA_CLASSES - 1)
    for k in range(CHROMA_CLASSES):
        # a pixel at the very edge of a class may round to the other side
        assert abs(found.pixels[k] - (kind == k).sum()) <= 1
        assert found.predicted[k] == pytest.approx(10)
        assert found.mse[k] == pytest.approx(squared[kind == k].mean(), rel=0.02)


def test_the_parts_make_up_the_whole(images):
    found = break_down(constant(0.0, 0.0), batches(images))
    assert found.pixels.sum() == images[..., 0].size
    of_classes = (found.pixels * found.mse).nansum() / found.pixels.sum()
    assert of_classes == pytest.approx(found.place_mse.mean().item(), rel=1e-6)


def test_batches_make_no_difference(images):
    one, other = (
        break_down(constant(3.0, -4.0), batches(images, size)) for size in (1, 7)
    )
    torch.testing.assert_close(one.place_mse, other.place_mse)
    assert torch.equal(one.pixels, other.pixels)


def test_an_empty_class_has_no_number():
    gray = np.full((2, 8, 8, 3), 120, dtype=np.uint8)
    found = break_down(constant(0.0, 0.0), batches(gray))
    assert found.pixels.tolist() == [128] + [0] * (CHROMA_CLASSES - 1)
    assert found.mse[1:].isnan().all()


def test_a_model_of_another_space_is_judged_in_lab(images):
    def knows(L_norm, features):
        return target.split(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)[1]

    target = Target(space="luv")
    found = break_down(knows, batches(images, 7), target=target)
    assert found.place_mse.max() < 1e-6
