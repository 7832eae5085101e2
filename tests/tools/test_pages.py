"""The generated texts of pages: with no runs, with some, with all; README's own."""

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("agg")

from made_records import made_record, planned_runs

from colorlib.errors import UserError
from colorlib.metrics import summarize
from companion import similarity
from companion.comparisons import (
    FUSION,
    LOSS,
    collapsed,
    compare_all,
    fraction_removed,
    runs_of,
    secondary,
    stricter_p_values,
)
from companion.records import write_record
from companion.report.findings import (
    HYPOTHESES,
    PLACES,
    READINGS,
    Findings,
    condition,
)
from companion.studies import plan
from tools import pages
from tools.keep_photographs import write_arrays

ROOT = Path(__file__).parents[2]
FAR = np.linspace(0, 1, 90)  # distances; the loss grows with them


def written(folder, count):
    """Records of planned runs with known effects, and distances."""
    for run, effect, tests, noise in planned_runs(count):
        seed, scores = run.config.train.seed, {}
        for test in tests:
            mean_image = 0.012 + 0.001 * np.random.default_rng(0).random(90)
            loss = mean_image * effect * (0.9 + 0.1 * FAR)
            loss = loss * noise.normal(1, 0.002, 90)
            scores[test] = dict.fromkeys(("loss_eq1", "psnr_rgb", "ciede2000"), loss)
            if not run.config.model.backbones:
                scores[test]["mean_image_loss"] = mean_image
        groups = {test: [i // 3 for i in range(90)] for test in scores}
        record = made_record(scores, seed, run.name, groups, source=run.data)
        if seed == 0:
            for test, metrics in scores.items():
                loss, psnr = metrics["loss_eq1"], metrics["psnr_rgb"]
                own = {"psnr_rgb": psnr, "rmse_ab_norm": loss**0.5}
                own |= {"mse_rgb": loss, "mse_ab_norm": loss}  # what is pooled
                record.scores[test] = {"model": summarize(own)}
        for test in {"seen"} & set(scores):
            record.per_image[test]["named"] = [1.0, 0.0] * 45
        write_record(record, folder / f"{run.name}.json")
    write_arrays(
        {
            "imagenet/seen/class scores": FAR,
            "imagenet/seen/gray image": FAR[::-1],
            "imagenet/origin": '["a", "b"]',
        },
        folder / similarity.NEAREST,
    )
    return folder


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    return Findings.read(written(tmp_path_factory.mktemp("all"), None))


def test_without_runs_every_text_says_so():
    found = Findings.read(Path("nowhere"))
    texts = pages.blocks(found)
    assert texts["headlines"].count("0 of 78 planned runs are recorded.") == 2
    assert "from 0.303 to 0.323" in texts["headlines"]
    assert "0.356\u00a0/\u00a00.291 | – |" in texts["Table 1"]
    assert all(texts[name].endswith("*pending*.") for name in found.outcomes)
    assert {name.split(",")[0] for name in found.outcomes} == set(HYPOTHESES)


def test_numbers_are_those_of_the_records(complete):
    assert complete.state == "All 78 planned runs are recorded."
    texts = pages.blocks(complete)
    lower = (
        "Significantly lower loss: maps (seen classes, unseen classes, unseen people)"
    )
    assert complete.significant_effects.startswith(f"{lower}; logits (seen")
    assert "**The first network adds most.** Mean change" in texts["headlines"]
    assert "| faces (LFW) | **-8.0\u00a0%**" in texts["headlines"]
    assert "maps -6.0\u00a0%, -7.0\u00a0%, -8.0\u00a0%" in texts["headlines"]
    assert (
        "H1, each reading lowers the loss on seen classes: *supported*" in texts["H1"]
    )
    one = complete.against_none("logits", 1, ("imagenet", "unseen"))
    assert one.effect.mean == pytest.approx(-5, abs=0.1)
    assert set(complete.panels()["LFW, unseen people"]) == {
        (reading, 3) for reading in ("maps", "logits", "softmax")
    }
    for row in ("no fusion", "Model 2"):
        assert re.search(
            rf"\| {row} \| .* 0.01\s/\s0\.1\d+ \|$", texts["Table 1"], re.M
        )


def test_a_variant_is_compared_with_the_reference_of_its_ablation(tmp_path):
    names = ("loss_eq1", "psnr_rgb", "ciede2000", "named")
    for run in plan("aggregation", "protocol"):
        if run.condition in ("maps", "maps, gate"):
            rng = np.random.default_rng([run.config.train.seed, len(run.condition)])
            effect = 0.95 if "gate" in run.condition else 1
            score = effect * rng.normal(0.01, 1e-5, 90)
            scores = {test: dict.fromkeys(names, score) for test in ("seen", "unseen")}
            record = made_record(scores, run.config.train.seed, run.name)
            write_record(record, tmp_path / f"{run.name}.json")
    head, _, *rows = pages.variants_table(Findings.read(tmp_path)).splitlines()
    assert head == "|  | loss, seen | loss, unseen | CIEDE2000, seen | seeds |"
    assert len(rows) == 1
    assert rows[0].startswith("| maps, gate against maps | **-5.0\u00a0%** (")
    assert rows[0].endswith(" | 3 |")
    assert pages.variants_table(Findings.read(tmp_path / "none")).startswith("Not yet")


def test_readings_that_differ_are_told_apart(complete, monkeypatch):
    outcomes = {**complete.outcomes, "H3, logits": "undecided"}
    monkeypatch.setitem(vars(complete), "outcomes", outcomes)
    (title, text) = pages.headlines(complete)[1]
    assert title == "Do more networks help more?"
    start = "The first network adds more than the second and third do on average: "
    answered = "supported for maps, undecided for logits, supported for softmax. "
    assert text.startswith(start + answered)


def test_similar_images_lose_less_where_records_say_so(complete):
    fifths = complete.similarity_curves("class scores")
    assert set(fifths) == {"ImageNet, seen classes"}
    removed = [one.mean for one in fifths["ImageNet, seen classes"]["none"]]
    # By hand: the loss is 0.9 of the mean image's at distance 0, and 1 at 1.
    assert removed == pytest.approx([0.09, 0.07, 0.05, 0.03, 0.01], abs=0.002)
    text = pages.similarity_table(complete)
    assert "| ImageNet, seen classes, none | 9.1 %" in text
    assert "in 2 of 2 rows by class scores and in 0 of 2 rows by gray image" in text


def test_distances_of_other_images_are_refused(tmp_path):
    folder = written(tmp_path, 2)
    write_arrays({"imagenet/origin": '["a", "other"]'}, folder / similarity.NEAREST)
    with pytest.raises(UserError, match="distances of other imagenet images"):
        similarity.kept_distances(runs_of(results=folder), folder)


def test_pictures_are_drawn_or_explained(complete, tmp_path):
    directives = pages.pictures(complete, tmp_path)
    names = {"strip", "effects", "fifths"}
    assert set(directives) == {path.stem for path in tmp_path.iterdir()} == names
    assert all(":alt: " in text for text in directives.values())
    empty = pages.pictures(Findings.read(Path("nowhere")), tmp_path)
    assert empty["effects"] == "0 of 78 planned runs are recorded."


def test_a_text_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match="found block 'nothing', expected one of state"):
        pages.filled("<!-- findings: nothing --> <!-- end -->", {"state": ""})


def test_the_answers_on_the_page_of_results_hold():
    """Its sentences after *Answer*; its numbers are generated."""
    found = Findings.read()
    seen, unseen, faces = PLACES
    of = {
        (place, name): found.against_none(name, 3, place)
        for place in PLACES
        for name in READINGS
    }
    lower = {key for key, one in of.items() if one.sign < 0}
    assert lower == {(place, "maps") for place in PLACES} | {(seen, "logits")}
    assert {key for key, one in of.items() if one.null} == {
        (faces, "logits"), (faces, "softmax"),
    }  # fmt: skip
    for name in READINGS:
        means = {place: of[place, name].effect.mean for place in PLACES}
        assert means[seen] < min(means[unseen], means[faces])
        one, two, three = (
            found.against_none(name, n, seen).effect.mean for n in (1, 2, 3)
        )
        assert 0 > one > two > three
    removed = fraction_removed(found.runs)
    for name in READINGS:
        two, three = (removed[*unseen, condition(name, n)].mean for n in (2, 3))
        assert three <= two
    weak = [removed[*place, "none"] for place in (seen, unseen)]
    weak += [removed[*unseen, condition("softmax", n)] for n in (1, 2, 3)]
    assert all(one.ci_low < 0 < one.ci_high for one in weak)
    rows = pages.table_1_beside_ours(found).splitlines()[3:6]  # Models 1 to 3
    one, two, three = (float(row.split("|")[5].split("\u00a0")[0]) for row in rows)
    assert one < two < three
    assert two - one < 0.1
    assert found.outcomes["H3, maps"] == found.outcomes["H3, logits"] == "supported"
    assert found.outcomes["H4a"] == found.outcomes["H5"] == "contradicted"
    against = {one.contrast.name: one for one in found.primary}
    assert against["maps against softmax"].sign < 0
    assert against["maps against logits"].effect.ci_high < -2


def test_what_results_says_of_similar_images_holds():
    by_scores, by_gray = map(Findings.read().similarity_curves, similarity.MEASURES)
    for curves in (by_scores, by_gray):
        for test in ("seen", "unseen"):
            own = curves[f"ImageNet, {test} classes"]
            assert 1.5 < own["maps"][0].mean / own["maps"][-1].mean < 3.1
            near, *_, far = own["none"]
            assert far.ci_low < near.mean < 0.07
    for name, fifths in by_scores["LFW, unseen people"].items():
        assert fifths[0].ci_low > fifths[-1].ci_high
        near, *_, far = by_gray["LFW, unseen people"][name]
        assert near.mean < far.mean


def test_what_results_says_of_runs_that_did_not_learn_holds():
    found = Findings.read()
    assert collapsed(found.runs) == [("imagenet", "none", 2), ("imagenet", "none", 4)]
    without = found.without_collapsed
    for one, other in zip(found.primary, without.primary, strict=True):
        assert (one.contrast, one.conclusion) == (other.contrast, other.conclusion)
        assert abs(other.effect.mean) <= abs(one.effect.mean) or not one.sign
    removed = fraction_removed(without.runs)
    for test, expected in (("seen", (5.9, 4.6, 7.3)), ("unseen", (5.4, 2.1, 8.6))):
        one = removed["imagenet", test, "none"].scaled(100)
        ends = one.ci_low, one.ci_high
        assert (one.mean, *ends) == pytest.approx(expected, abs=0.05)
    strict = zip(found.primary, stricter_p_values(found.primary), strict=True)
    significant = [one.contrast for one, p in strict if p < 0.05]
    assert [(one.hypothesis, next(iter(one.weights))) for one in significant] == [
        ("H1", "maps"), ("H1", "logits"), ("H5", "maps"),
    ]  # fmt: skip


def test_what_results_says_of_other_choices_holds():
    runs, asked = runs_of(pages.VARIANTS), secondary(pages.VARIANTS)
    found = {key_of(one): one for one in compare_all(runs, asked)}
    assert {one.seeds for one in found.values()} == {3}
    losses = {key[:2]: one for key, one in found.items() if key[2] == LOSS}
    for name, change in (("logits", 18.5), ("maps", 19.1)):
        random = losses.pop((f"{name}, random networks against {name}", "seen"))
        assert (random.sign, round(random.effect.mean, 1)) == (1, change)
    assert {one.conclusion for one in losses.values()} == {"inconclusive"}

    seen = ["seen", "ciede2000"]
    perceived = {name: one for (name, *at), one in found.items() if at == seen}
    below = {name for name, one in perceived.items() if one.sign < 0}
    assert below == {"maps, gate against maps"}
    assert perceived["maps, gate against maps"].effect.ci_low > -0.2
    assert found["maps, gate against maps", "unseen", "ciede2000"].sign == 0
    for name, change in (("logits", 0.70), ("maps", 0.86)):
        random = perceived[f"{name}, random networks against {name}"]
        assert (random.sign, round(random.effect.mean, 2)) == (1, change)
    removed = fraction_removed(runs)["imagenet", "seen", "maps, random networks"]
    ends = removed.mean, removed.ci_low, removed.ci_high
    assert ends == pytest.approx((0.047, 0.028, 0.067), abs=0.0005)
    assert perceived["RGB against none"].sign == 0
    assert found["RGB against none", "unseen", "ciede2000"].sign == 1
    assert abs(perceived["RGB, given lightness against none"].effect.mean) < 0.2

    assert ("imagenet", "none", 2) in collapsed(runs)
    for name, expected in (
        ("none", (10.78, 10.77, 11.15)),
        ("L1", (10.42, 10.44, 10.43)),
        ("cross-entropy", (10.25, 10.31, 10.29)),
    ):
        records = runs["imagenet", name].values()
        means = [np.mean(record.per_image["seen"]["ciede2000"]) for record in records]
        assert means == pytest.approx(expected, abs=0.005)


def test_what_results_says_of_all_channels_holds():
    runs = runs_of([*FUSION, "width"])
    wide = runs["imagenet", "full width"], runs["imagenet", "maps, full width"]
    assert [sum(map(bool, of.values())) for of in wide] == [3, 3]
    alike = [seed for _, name, seed in collapsed(runs) if name == "full width"]
    assert alike == [0, 1, 2]
    removed = fraction_removed(runs)
    wide, narrow = (20.0, 18.2, 21.7), (20.3, 18.2, 22.4)
    for name, expected in (("maps, full width", wide), ("maps", narrow)):
        one = removed["imagenet", "seen", name].scaled(100)
        ends = one.ci_low, one.ci_high
        assert (one.mean, *ends) == pytest.approx(expected, abs=0.05)


def key_of(result):
    """Which comparison it is."""
    one = result.contrast
    return one.name, one.test_set, one.metric


def test_readme_holds_what_the_records_say():
    """After new records: `python -m tools.pages README.md`."""
    text = (ROOT / "README.md").read_text()
    assert pages.filled(text, pages.blocks(Findings.read())) == text
    assert text.count("<!-- findings: ") == 2
