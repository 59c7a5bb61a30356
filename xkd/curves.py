"""The curve of a training run."""

import numpy as np
import plotly.graph_objects as go

from xkd.palette import DISTILLED, FONT_PIXELS


def losses(values, name):
    """Loss of every step (thin) and its running mean over a twentieth of the run (thick)."""
    values = np.asarray(values)
    width = max(1, len(values) // 20)
    mean = np.convolve(values, np.ones(width) / width, "valid")
    figure = go.Figure(go.Scatter(y=values, mode="lines", line={"width": 1, "color": "#bbbbbb"}, name="every step"))
    figure.add_scatter(
        x=np.arange(width - 1, len(values)),
        y=mean,
        mode="lines",
        line={"width": 3, "color": DISTILLED.colour},
        name="mean",
    )
    return styled(figure, "step", name)


def styled(figure, x, y, height=380):
    """The figure in the project's look, with the names of its axes."""
    figure.update_layout(
        template="plotly_white", font={"size": FONT_PIXELS}, width=800, height=height, margin={"t": 50, "r": 20}
    )
    figure.update_xaxes(title=x)
    figure.update_yaxes(title=y)
    return figure
