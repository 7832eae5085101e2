"""The generated texts and pictures of pages: front page, Results and README.

A page says where a generated text belongs::

    <!-- findings: NAME -->
    what stands here is replaced by `blocks(found)[NAME]`
    <!-- end -->

The book does this when it is built; `python -m tools.pages README.md` does it to a
file of the repository.
"""

import itertools
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from colorlib.errors import UserError
from colorlib.evaluation import GRAY, MODEL
from colorlib.stats import Estimate
from companion.comparisons import (
    LOSS,
    REFERENCE,
    Result,
    compare_all,
    fraction_removed,
    runs_of,
    secondary,
    stricter_p_values,
)
from companion.photographs import shown_models
from companion.records import TRUTH
from companion.report import figures
from companion.report.findings import (
    HYPOTHESES,
    PLACES,
    READINGS,
    Findings,
    condition,
)
from companion.report.tables import (
    NBSP,
    NONE,
    comparison_table,
    interval,
    markdown_table,
    signed,
)
from companion.similarity import MEASURES

# Model and data set -> PSNR and RMSE as printed; None for an empty cell.
Printed = tuple[float | None, float | None]
TABLE_1: dict[tuple[str, str], Printed] = {
    ("Model 1", "LFW"): (0.334, None),
    ("Model 1", "ImageNet"): (0.331, None),
    ("Model 4", "ImageNet"): (None, 0.299),
    ("Model 2", "LFW"): (0.342, 0.311),
    ("Model 2", "ImageNet"): (0.334, 0.296),
    ("Model 3", "LFW"): (0.356, 0.291),
    ("Model 3", "ImageNet"): (0.342, 0.294),
}
TABLED = {"LFW": ("lfw", "test"), "ImageNet": ("imagenet", "seen")}
# Ablations beside the protocol's questions, and the columns of their table.
VARIANTS = (
    "aggregation", "untrained", "untrained_maps", "losses", "targets", "skips",
)  # fmt: skip
VARIANT_COLUMNS = {
    "loss, seen": ("seen", LOSS),
    "loss, unseen": ("unseen", LOSS),
    "CIEDE2000, seen": ("seen", "ciede2000"),
}
OURS = {  # row of the table -> our condition
    "no fusion": "none",
    "Model 1": "maps, one",
    "Model 2": "maps, two",
    "Model 3": "maps",
}


# ----------------------------------------------------------------------- the headlines


def headlines(found: Findings) -> list[tuple[str, str]]:
    """The three findings of the front page: a title and a text, with their numbers."""
    return [_does_it_help(found), _do_more_help(found), _table_1()]


HELP = "Does fusing networks help?"  # as long as there is no answer


def _does_it_help(found: Findings) -> tuple[str, str]:
    """H1, and what becomes of it on new classes and on faces."""
    titles = {
        "supported": "Fusing networks helps on classes that were trained on.",
        "contradicted": "Not every fusion of networks helps.",
        "undecided": _for_which_it_helps(found),
        "pending": HELP,
    }
    rows = []
    for place, where in PLACES.items():
        effects = [found.against_none(reading, 3, place) for reading in READINGS]
        label = "faces (LFW)" if "lfw" in place else where.removeprefix("ImageNet, ")
        rows += [[label, *map(_short, effects)]] * any(effects)
    title = titles[found.outcomes["H1"]]
    if not rows:
        return title, found.state
    text = (
        "Change of the loss, three networks against none; uncorrected 95 % intervals; "
        "bold: significant (Holm). Only *seen* classes were trained on."
    )
    if found.did_not_learn:
        text += f" {found.did_not_learn} {_without_collapsed(found)}"
    table = markdown_table(["", *READINGS], rows)
    return title, f"{text}\n\n{table}"


def _for_which_it_helps(found: Findings) -> str:
    """The readings that lower the loss significantly on seen classes, as a title."""
    effects = {r: found.against_none(r, 3, ("imagenet", "seen")) for r in READINGS}
    helps = [r for r, one in effects.items() if one is not None and one.sign < 0]
    if not helps:
        return HELP
    parts = [f"{' and '.join(helps).capitalize()} help on seen classes"]
    parts += [f"{r}: {e.conclusion}" for r, e in effects.items() if e and e.sign >= 0]
    return "; ".join(parts) + "."


def _short(one: Result | None) -> str:
    """An effect with its interval, in bold if it is significant."""
    if one is None:
        return NONE
    unit = one.contrast.unit
    mark, number = "**" * bool(one.sign), signed(one.effect.mean, unit)
    return f"{mark}{number}{mark} ({interval(one.effect, 1 if unit == '%' else 2)})"


def _without_collapsed(found: Findings) -> str:
    """The effects on seen classes without these seeds, in a sentence."""
    other = found.without_collapsed
    effects = [(r, other.against_none(r, 3, ("imagenet", "seen"))) for r in READINGS]
    changes = [f"{r} {signed(e.effect.mean, '%')}" for r, e in effects if e is not None]
    if not changes:
        return "Without these seeds nothing can be compared."
    return f"Without these seeds, on seen classes: {', '.join(changes)}."


MORE = "Do more networks help more?"  # as long as there is no single answer


def _do_more_help(found: Findings) -> tuple[str, str]:
    """H3: one, two and three networks."""
    outcomes = {reading: found.outcomes[f"H3, {reading}"] for reading in READINGS}
    titles: dict[frozenset[str], str] = {
        frozenset({"supported"}): "The first network adds most.",
        frozenset({"contradicted"}): "Further networks add as much as the first.",
    }
    lines = []
    for reading in READINGS:
        of = [found.against_none(reading, n, ("imagenet", "seen")) for n in (1, 2, 3)]
        steps = [signed(one.effect.mean, "%") for one in of if one is not None]
        if len(steps) == 3:
            lines.append(f"{reading} {', '.join(steps)}")
    start = "Mean change with one, two and three networks, seen classes (exploratory): "
    if not lines:
        return MORE, found.state
    text = f"{start}{'; '.join(lines)}"
    title = titles.get(frozenset(outcomes.values()), MORE)
    if title == MORE:
        answered = ", ".join(f"{answer} for {of}" for of, answer in outcomes.items())
        claim = "The first network adds more than the second and third do on average"
        text = f"{claim}: {answered}. {text}"
    return title, f"{text}."


def implied_peaks() -> dict[tuple[str, str], float]:
    """The peak that makes PSNR and RMSE of a cell of Table 1 fit.

    Example:
        >>> round(implied_peaks()["Model 3", "LFW"], 3)
        0.303
    """
    return {
        place: rmse * 10 ** (psnr / 20)
        for place, (psnr, rmse) in TABLE_1.items()
        if psnr is not None and rmse is not None
    }


def _table_1() -> tuple[str, str]:
    """The audit's result: arithmetic, no run."""
    peaks = implied_peaks().values()
    return (
        "The columns of Table 1 do not fit together.",
        "The printed pairs of PSNR and RMSE agree only if the largest possible value "
        f"varies from {min(peaks):.3f} to {max(peaks):.3f}, more than by rounding. So "
        "they describe different errors or averages, and no score can be compared "
        "with them.",
    )


# --------------------------------------------------------------------------- the tables


def table_1_beside_ours(found: Findings) -> str:
    """PSNR and RMSE: Table 1 as printed, beside ours in declared units; Markdown."""
    rows = []
    for model in ("no fusion", "Model 1", "Model 2", "Model 3", "Model 4"):
        cells = [model]
        for data, place in TABLED.items():
            printed = TABLE_1.get((model, data), (None, None))
            cells.append(_pair(*(f"{v:.3f}" if v else NONE for v in printed)))
            cells.append(_own_scores(found, OURS.get(model, ""), place))
        rows.append(cells)
    heads = ["", "LFW printed", "LFW ours", "ImageNet printed", "ImageNet ours"]
    return markdown_table(heads, rows)


def _own_scores(found: Findings, name: str, place: tuple[str, str]) -> str:
    """PSNR and RMSE of a condition, means over seeds and images."""
    data, test = place
    own = [r.scores[test][MODEL] for r in found.records(data, name) if r.scores]
    if not own:
        return NONE
    psnr, rmse = (
        np.mean([s[m].mean for s in own]) for m in ("psnr_rgb", "rmse_ab_norm")
    )
    return _pair(f"{psnr:.2f}", f"{rmse:.4f}")


def _pair(psnr: str, rmse: str) -> str:
    """Both in one line; a single dash if there is neither."""
    return NONE if psnr == rmse == NONE else f"{psnr}{NBSP}/{NBSP}{rmse}"


def removed_table(found: Findings) -> str:
    """The fraction of the mean-image loss that each condition removes; Markdown."""
    removed = fraction_removed(found.runs)
    names = [REFERENCE] + [condition(r, n) for r in READINGS for n in (1, 2, 3)]
    rows = [
        [name, *(_percent(removed.get((*place, name))) for place in PLACES)]
        for name in names
    ]
    return markdown_table(["what is fused", *PLACES.values()], rows)


def sensitivity_table(found: Findings) -> str:
    """The primary contrasts without runs that did not learn, and by S - 1; Markdown."""
    others = found.without_collapsed.primary
    strict = stricter_p_values(found.primary)
    rows = []
    for one, p in zip(found.primary, strict, strict=True):
        contrast = one.contrast
        without = next((two for two in others if two.contrast == contrast), None)
        cells = [_short(one), _short(without), str(without.seeds if without else 0)]
        parts = [contrast.hypothesis]  # a label says no more than the hypothesis
        parts += [] if contrast.label else [contrast.name, contrast.test_set]
        rows.append(
            [", ".join(parts), *cells, f"{one.effect.p_adjusted:.2g}", f"{p:.2g}"]
        )
    heads = ["comparison", "as planned", "without runs that did not learn", "seeds"]
    return markdown_table([*heads, "adjusted p", "adjusted p, S - 1"], rows)


def _percent(fraction: Estimate | None) -> str:
    """A fraction in percent with its interval."""
    if fraction is None:
        return NONE
    mean, low, high = (
        100 * x for x in (fraction.mean, fraction.ci_low, fraction.ci_high)
    )
    if not np.isfinite(low):
        return f"{mean:.1f} %"
    return f"{mean:.1f} % ({low:.1f} to {high:.1f})"


def variants_table(found: Findings) -> str:
    """What other aggregations, weights, losses and targets change; Markdown."""
    runs = runs_of(VARIANTS, results=found.folder)
    rows: dict[str, dict[tuple[str, str], Result]] = {}
    for one in compare_all(runs, secondary(VARIANTS)):
        place = (one.contrast.test_set, one.contrast.metric)
        rows.setdefault(one.contrast.name, {})[place] = one
    if not rows:
        return "Not yet measured: no run is recorded."
    cells = []
    for name, of in rows.items():
        effects = [_short(of.get(place)) for place in VARIANT_COLUMNS.values()]
        cells.append([name, *effects, str(min(one.seeds for one in of.values()))])
    return markdown_table(["", *VARIANT_COLUMNS, "seeds"], cells)


def named_table(found: Findings) -> str:
    """How often a classifier that is not fused names the class correctly; Markdown."""
    rows: dict[str, list[float]] = {}
    shown = {"none": "without fusion", **{k: f"three networks, {k}" for k in READINGS}}
    for name, label in shown.items():
        for record in found.records("imagenet", name):
            methods = record.scores.get("seen", {})
            for method, of in methods.items():
                if "named" in of:
                    row = label if method == MODEL else method
                    rows.setdefault(row, []).append(of["named"].mean)
    order = sorted(rows, key=lambda row: np.mean(rows[row]))
    means = {row: 100 * np.mean(rows[row]) for row in order}
    cells = [[row, f"{mean:.1f} %"] for row, mean in means.items()]
    table = markdown_table(["colours", "top-1 accuracy"], cells)
    own = [mean for row, mean in means.items() if row in shown.values()]
    if not own or not {GRAY, TRUTH} <= set(means):
        return table
    text = (
        f"Our models' colours reach {min(own):.1f} to {max(own):.1f} %, no "
        f"colour {means[GRAY]:.1f} %, true colours {means[TRUTH]:.1f} %."
    )
    gains = {
        name: one
        for name in READINGS
        for one in found.results
        if one.contrast.metric == "named" and one.contrast.weights.get(name)
    }
    listed = [
        f"{name} {100 * one.effect.mean:+.1f} ({interval(one.effect.scaled(100), 1)})"
        for name, one in gains.items()
    ]
    better = [name for name, one in gains.items() if one.sign > 0]
    return (
        f"{text} Against none, percentage points: {', '.join(listed)}; 20 classes. "
        f"Significantly more: {', '.join(better) or 'none of them'}.\n\n"
        f":::{{dropdown}} The accuracy with all colours\n{table}\n:::"
    )


# -------------------------------------------------------------------------- the answers


def answer(found: Findings, name: str) -> str:
    """One hypothesis: what it says, the outcome and the effects; a Markdown item."""
    own = [one for one in found.primary if one.contrast.hypothesis == name]
    effects = "; ".join(
        f"{one.contrast.name} {_short(one)}, {one.conclusion}" for one in own
    )
    outcome, said = found.outcomes[name], HYPOTHESES[name.split(",")[0]]
    return f"- {name}, {said}: *{outcome}*" + (f": {effects}." if effects else ".")


def stopping(found: Findings) -> str:
    """In how many runs more epochs might have helped, in a sentence."""
    ran = [r for by_seed in found.runs.values() for r in by_seed.values() if r]
    if not ran:
        return found.state
    last = sum(r.training.best_epoch == r.training.epochs for r in ran)
    best = np.median([r.training.best_epoch for r in ran])
    return (
        f"The validation loss was lowest in epoch {best:.0f} (median of {len(ran)} "
        f"runs). In {last} of them that was the last one allowed, so that longer "
        "training might help."
    )


def similarity_table(found: Findings) -> str:
    """Whether similar images are coloured better, by each distance; Markdown."""
    curves = [found.similarity_curves(measure) for measure in MEASURES]
    if not all(curves):
        return "Not yet measured: no run is recorded."
    rows, more = [], [0] * len(MEASURES)
    for place, name in itertools.product(curves[0], ("maps", REFERENCE)):
        row = [f"{place}, {name}"]
        for i, by in enumerate(curves):
            near, *_, far = by[place][name]
            row += [_percent(near), _percent(far)]
            more[i] += near.mean > far.mean
        rows.append(row)
    heads = [f"{end} similar, by {m}" for m in MEASURES for end in ("most", "least")]
    table = markdown_table(["mean-image loss removed in a fifth", *heads], rows)
    counts = zip(more, MEASURES, strict=True)
    held = " and ".join(f"in {n} of {len(rows)} rows by {m}" for n, m in counts)
    return (
        f"{table}\n\nThe models remove more of the loss of the most similar fifth than "
        f"of the least similar one {held}. The table has maps and none only; the "
        "figure has all readings, by class scores."
    )


# ---------------------------------------------------------------------------- the pages

BLOCK = re.compile(r"<!-- findings: (?P<name>.+?) -->.*?<!-- end -->", re.DOTALL)
ALT = {
    "strip": "Photographs in gray, in predicted colours, and in their own colours.",
    "effects": "Change of the loss over the number of fused networks, with intervals, "
    "for three readings of the paper; a panel for each test set.",
    "fifths": "Fraction of the mean-image loss that is removed, over fifths of the "
    "images from similar to dissimilar; a panel for each test set.",
}


def pictures(found: Findings, folder: Path) -> dict[str, str]:
    """Draw the pictures of the pages.

    Args:
        found: What was found.
        folder: Of the pages; takes the pictures.

    Returns:
        Name of a block -> the picture, as a directive; or a sentence that says why
        there is none.
    """
    figures.use_style()
    strip = figures.photograph_grid(shown_models(found.folder), lying=True, cell=1.0)
    drawn = {"strip": strip}
    if panels := found.panels():
        label = "change of the loss, % of no fusion"
        drawn["effects"] = figures.effects_by_networks(panels, label)
    if curves := found.similarity_curves("class scores"):
        drawn["fifths"] = figures.removed_by_fifths(curves)
    return dict.fromkeys(ALT, found.state) | {
        name: _saved(figure, folder, name) for name, figure in drawn.items()
    }


def _saved(figure: Figure, folder: Path, name: str) -> str:
    """Write a picture; the directive that shows it."""
    file = f"{name}.jpg" if name == "strip" else f"{name}.png"  # photographs, lines
    figure.savefig(folder / file, dpi=200)
    plt.close(figure)
    image = f"```{{image}} {file}\n:alt: {ALT[name]}\n:width: 100%\n```"
    return image if name == "strip" else f"::::{{div}} chart\n{image}\n::::"


CARD = ":::{{card}} {0}\n{1}\n:::"


def blocks(found: Findings) -> dict[str, str]:
    """Every generated text, by the name that pages call it."""
    return {
        "state": found.state,
        "headlines": "\n\n".join(f"**{t}** {text}" for t, text in headlines(found)),
        "cards": "\n\n".join(
            CARD.format(t.rstrip("."), text) for t, text in headlines(found)
        ),
        "Table 1": table_1_beside_ours(found),
        "removed": removed_table(found),
        "stopping": stopping(found),
        "primary": comparison_table(found.primary),
        "collapsed": f"{found.did_not_learn} {_without_collapsed(found)}",
        "sensitivity": sensitivity_table(found),
        "variants": variants_table(found),
        "named": named_table(found),
        "similarity": similarity_table(found),
        **{name: answer(found, name) for name in found.outcomes},
    }


def filled(text: str, texts: Mapping[str, str]) -> str:
    r"""Put generated texts in their places.

    Raises:
        UserError: If a page asks for a text that does not exist.

    Example:
        >>> filled("<!-- findings: a -->old<!-- end -->", {"a": "new"})
        '<!-- findings: a -->\n\nnew\n\n<!-- end -->'
    """

    def block(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in texts:
            raise UserError(f"found block {name!r}, expected one of {', '.join(texts)}")
        return f"<!-- findings: {name} -->\n\n{texts[name]}\n\n<!-- end -->"

    return BLOCK.sub(block, text)


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        page.write_text(filled(page.read_text(), blocks(Findings.read())))
