"""How a training step is made: what is tried, what is taken, that it learns alike."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from colorlib.errors import UserError
from colorlib.losses import chroma_mse
from colorlib.model import build_model
from colorlib.pace import (
    GAIN,
    LONG,
    PLAIN,
    TOLERANCES,
    Pace,
    Trial,
    decide,
    learns_the_same,
    open_ways,
    quickest,
    try_way,
)
from colorlib.sampling import Batch
from colorlib.training import ColorizationTask

HERE = torch.accelerator.current_accelerator(True) or torch.device("cpu")
COMPILED = Pace(compiled="default")
HALF = Pace("bf16-mixed")


@pytest.fixture
def task():
    torch.manual_seed(0)
    model = build_model("plain", width=0.25).to(memory_format=torch.channels_last)
    return ColorizationTask(model, chroma_mse, learning_rate=1e-3)


@pytest.fixture
def batch(colour_noise):
    images = (colour_noise(6, 32) * 255).byte().permute(0, 2, 3, 1).contiguous()
    return Batch(images, None).to(HERE)


@pytest.fixture
def colour_noise():
    def draw(count, size):
        generator = torch.Generator().manual_seed(3)
        coarse = torch.rand(count, 3, 4, 4, generator=generator)
        return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")

    return draw


# ------------------------------------------------------------------- what is open


def test_a_profile_that_says_all_leaves_nothing_open():
    ways = open_ways("bf16-mixed", "none", torch.device("cpu"))
    assert ways == [HALF]


@pytest.mark.parametrize(("device", "count"), [("cpu", 4), ("cuda", 6)])
def test_the_plainest_way_stands_first(device, count):
    ways = open_ways("auto", "auto", torch.device(device))
    assert ways[0] == PLAIN
    assert len(set(ways)) == count
    graphs = any(way.compiled == "reduce-overhead" for way in ways)
    assert graphs == (device == "cuda")


# ------------------------------------------------------------------- what is taken

trials = st.builds(
    Trial,
    st.sampled_from(open_ways("auto", "auto", torch.device("cuda"))[1:]),
    st.floats(0.01, 100),
    st.floats(0.001, 10),
    st.just((0.5, 0.4)) | st.just((0.5, 0.9)),
    st.sampled_from(["", "no compiler"]),
)


@given(plain=st.floats(0.001, 10), others=st.lists(trials), steps=st.integers(1, 10**6))
def test_what_is_taken_ends_sooner_and_learns_the_same(plain, others, steps):
    first = Trial(PLAIN, plain, plain, (0.5, 0.4))
    taken = quickest([first, *others], steps)
    if taken == first:
        return
    assert not taken.fault
    assert taken.losses == first.losses

    def total(trial):
        return trial.first_seconds + steps * trial.step_seconds

    assert total(taken) * GAIN < total(first)
    assert all(
        total(taken) <= total(other)
        for other in others
        if not other.fault and other.losses == first.losses
    )


def test_a_plain_way_that_fails_is_left_to_tell_so_itself():
    assert quickest([Trial(PLAIN, fault="no memory"), Trial(HALF)], 1000).pace == PLAIN


@pytest.mark.parametrize("precision", TOLERANCES)
def test_losses_may_differ_by_the_tolerance_and_no_more(precision):
    plain, tolerance = Trial(PLAIN, losses=(0.5, 0.4)), TOLERANCES[precision]
    for share, same in ((0.9, True), (1.1, False)):
        own = Trial(Pace(precision), losses=(0.5, 0.4 * (1 + share * tolerance)))
        assert learns_the_same(own, plain) is same


def test_the_book_states_the_tolerances():
    page = (Path(__file__).parents[2] / "book" / "speed.md").read_text()
    compiled, half = (f"{100 * TOLERANCES[p]:g} %" for p in ("32-true", "bf16-mixed"))
    assert f"within {compiled} of them compiled, within {half} in half" in page


# -------------------------------------------------------------- once and for all


class Clock:
    """Trials of which the compiled way is the faster one, or the other way round."""

    def __init__(self, compiled_seconds):
        self.compiled_seconds = compiled_seconds
        self.tried = []

    def __call__(self, pace):
        self.tried.append(pace)
        seconds = 1.0 if pace == PLAIN else self.compiled_seconds
        return Trial(pace, seconds, seconds, (0.5,))


CPU = torch.device("cpu")


def test_a_decision_is_kept_for_the_training_that_goes_on(tmp_path):
    path, ways = tmp_path / "pace.json", [PLAIN, COMPILED]
    decision = decide(path, ways, CPU, LONG, Clock(0.5))
    assert decision.pace == COMPILED
    assert [trial.pace for trial in decision.trials] == ways
    later = Clock(2.0)
    assert decide(path, ways, CPU, LONG, later) == decision
    assert later.tried == []


def test_what_was_decided_on_another_device_is_decided_anew(tmp_path):
    path, ways = tmp_path / "pace.json", [PLAIN, COMPILED]
    decide(path, ways, CPU, LONG, Clock(0.5))
    kept = json.loads(path.read_text()) | {"device": "a GPU that was here before"}
    path.write_text(json.dumps(kept))
    assert decide(path, ways, CPU, LONG, Clock(2.0)).pace == PLAIN


def test_nothing_is_tried_where_nothing_is_open(tmp_path):
    clock = Clock(0.5)
    assert decide(tmp_path / "pace.json", [HALF], CPU, LONG, clock).pace == HALF
    assert clock.tried == []
    assert not list(tmp_path.iterdir())


def test_a_short_training_that_is_made_longer_goes_on_as_it_began(tmp_path):
    path, ways, clock = tmp_path / "pace.json", [PLAIN, COMPILED], Clock(0.5)
    for steps in (LONG - 1, LONG):
        assert decide(path, ways, CPU, steps, clock).pace == PLAIN
    assert clock.tried == []


def test_a_long_training_that_is_cut_short_goes_on_as_it_began(tmp_path):
    path, ways, clock = tmp_path / "pace.json", [PLAIN, COMPILED], Clock(0.5)
    for steps in (LONG, LONG - 1):
        assert decide(path, ways, CPU, steps, clock).pace == COMPILED
    assert clock.tried == ways


@pytest.mark.parametrize("content", ["", "{}{", '{"pace": {"precision": "float8"}}'])
def test_a_damaged_decision_is_refused_by_name(tmp_path, content):
    path = tmp_path / "pace.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"pace\.json: .*delete it"):
        decide(path, [PLAIN, HALF], CPU, LONG, Clock(1.0))


# ------------------------------------------------------------------- what is tried


def weights_of(task):
    return {name: value.clone() for name, value in task.state_dict().items()}


def test_trials_leave_the_task_and_the_drawing_of_numbers_as_they_were(task, batch):
    before, drawn = weights_of(task), torch.get_rng_state()
    trial = try_way(task, batch, HERE, PLAIN)
    assert trial.losses[-1] < trial.losses[0]  # the copy has learned
    assert all(torch.equal(before[name], v) for name, v in task.state_dict().items())
    assert torch.equal(drawn, torch.get_rng_state())


@pytest.mark.parametrize("pace", [COMPILED, HALF])
def test_every_way_learns_the_same(task, batch, pace):
    plain, trial = (try_way(task, batch, HERE, way) for way in (PLAIN, pace))
    assert not trial.fault
    assert len(trial.losses) == len(plain.losses) > 3
    assert learns_the_same(trial, plain)
    assert trial.losses != plain.losses  # it is another way


@pytest.mark.parametrize("fault", ["found no compiler", "out of memory\nand more"])
def test_a_way_that_cannot_be_gone_says_why(task, batch, monkeypatch, fault):
    def broken(step, **how):
        def fail(*arguments):
            raise RuntimeError(fault)

        return fail

    monkeypatch.setattr(torch, "compile", broken)
    trial = try_way(task, batch, HERE, COMPILED)
    assert trial.fault == f"RuntimeError: {fault.partition(chr(10))[0]}"


def test_a_loss_that_is_no_number_is_a_fault(task, batch):
    task.learning_rate = 1e30
    assert "no number" in try_way(task, batch, HERE, PLAIN).fault
