"""How the generators of a run were trained, for its page: whether what they draw collapsed, and their losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from levels import save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from augury.report.curves import upright
from augury.report.training import RIGHT, verdict
from augury.study.exhibit import Gallery, Training
from augury.study.gallery import galleries
from augury.study.run import Finished

COLOURS = ("#0b57a4", "#b3261e", "#7a7a00", "#00796b", "#7b3fa0", "#444444", "#c77700", "#5b8db8")
WIDE, TALL = 3.8, 3.4  # inches of one generator's losses
BELOW = (0.5, -0.22)  # a plot and the name of its axis: inside it the legend would lie on lines
ACROSS = 3
FINEST = 1.0  # pixels: what a line does within one makes the file large, and is not seen


def collapse(finished: Finished) -> list[str]:
    """Return what the collapse detector says of every generator that it looked at."""
    looked = [each for each in finished.outcome.generators if each.looked]
    return [f"- {each.name}: {' '.join((verdict(each), *each.findings)).rstrip('.')}." for each in looked]


def losses(finished: Finished, path: Path) -> list[str]:
    """Draw the losses of every generator of the first split, and return the picture; nothing where none has any."""
    trained = [each for each in galleries(finished) if each.training is not None and each.training.losses]
    if not trained:
        return []
    draw(trained, path)
    name = f"losses of {', '.join(each.generator for each in trained)}"
    return ["Losses in the first split:", "", f'![{name}](generators/{path.parent.name}/{path.name} "{name}")', ""]


def draw(trained: Sequence[Gallery], path: Path) -> None:
    """Draw one plot per generator."""
    matplotlib.rcParams |= {"path.simplify_threshold": FINEST}
    across = min(ACROSS, len(trained))
    down = -(-len(trained) // across)
    figure = Figure(figsize=(WIDE * across, TALL * down), layout="constrained")
    plots = figure.subplots(down, across, squeeze=False).ravel()
    for plot, gallery in zip(plots, trained, strict=False):
        assert gallery.training is not None
        lines(plot, gallery.generator, gallery.training)
    for plot in plots[len(trained) :]:
        plot.axis("off")
    save(figure, path)


def lines(plot: Axes, name: str, training: Training) -> None:
    """Draw the losses of one generator's players, on the axis that the report would choose."""
    curves = {player: curve for player, curve in training.losses.items() if player != RIGHT}
    for (player, curve), colour in zip(curves.items(), COLOURS, strict=False):
        steps = np.linspace(curve.first, curve.last, len(curve.values))
        plot.plot(steps, curve.values, label=player, color=colour, linewidth=1)
    scale = upright(curves)
    plot.set(title=name, xlabel="steps", ylabel="loss, logarithmic" if scale.logarithmic else "loss")
    if scale.logarithmic:
        plot.set_yscale("log")
    elif scale.cut:
        plot.set_ylim(scale.axis.low, scale.axis.high)
    plot.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=BELOW, ncols=2)
