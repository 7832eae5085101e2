import pytest
import torch

from colorlib.collapse import degenerate_model_warnings
from colorlib.evaluation import MEAN_IMAGE, MODEL
from companion.cli import show_scores
from companion.config import load_profile
from companion.data_setup import Folders
from companion.pipeline import run_model


def scores(model, mean):
    return {
        MODEL: {"loss_eq1": torch.tensor(model)},
        MEAN_IMAGE: {"loss_eq1": torch.tensor(mean)},
    }


BETTER = scores([0.01, 0.03], [0.02, 0.04])
VARIED = torch.linspace(-0.5, 0.5, 8 * 2 * 4 * 4).reshape(8, 2, 4, 4)


def test_a_model_that_has_learned_has_no_sign():
    assert degenerate_model_warnings(BETTER, VARIED) == ()


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_one_answer_for_all_is_seen_whatever_the_answer(offset):
    image = torch.linspace(-0.5, 0.5, 32).reshape(1, 2, 4, 4) + offset
    (sign,) = degenerate_model_warnings(BETTER, image.expand(8, -1, -1, -1))
    assert "all alike" in sign


def test_no_better_than_the_mean_photograph_is_seen():
    (sign,) = degenerate_model_warnings(scores([0.02, 0.04], [0.03, 0.03]), VARIED)
    assert "0.03, is not below" in sign


def test_both_signs_are_named():
    alike = VARIED[:1].expand(2, -1, -1, -1)
    assert len(degenerate_model_warnings(scores([0.2], [0.1]), alike)) == 2


def test_a_run_that_learned_nothing_says_so_in_its_record_and_last_of_all(
    tmp_path, capsys
):
    profile = load_profile("smoke", learning_rate=1e-12)
    folders = Folders(None, None, tmp_path / "cache", tmp_path / "runs")
    record = run_model(profile, "plain", folders, progress=False, say=lambda line: None)
    assert "all alike" in record.note
    assert "is not below the pixel-wise training mean" in record.note
    show_scores(record)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"colorlib: warning: plain: {record.note}"
    show_scores(record)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"colorlib: warning: plain: {record.note}"
