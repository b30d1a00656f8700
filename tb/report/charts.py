"""Draws the charts of the report (tb/report/report_page.py), as plotly figures without colours.

Colours come from one of two templates, light or dark, which the page applies to all charts at once.
"""

import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tb.run.layer import MAX_ABS_ERROR, MAX_ERROR_STEPS

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

MOST_POINTS = 4000  # largest number of points of a curve
MOST_BARS = 2000  # largest number of bars of a histogram


class Palette(NamedTuple):
    """The colours of a theme."""

    text: str
    muted: str
    grid: str
    series: tuple[str, ...]  # the colours of activations, psums, weights and what follows
    sequential: tuple[str, str]  # colours from zero to the largest value
    diverging: tuple[str, str, str]  # colours of negative values, zero and positive values


PALETTES = {
    "light": Palette(
        "#1c2430",
        "#5a6675",
        "#e1e5ea",
        ("#1f62b5", "#b4530a", "#6b3fa0", "#19794a"),
        ("#f1f4f8", "#123f7c"),
        ("#b4530a", "#f4f5f7", "#4c2a85"),
    ),
    "dark": Palette(
        "#e4e9ef",
        "#9aa7b6",
        "#2b3542",
        ("#6fadff", "#f2a25c", "#b794f0", "#57c98d"),
        ("#1d2733", "#9cc8ff"),
        ("#f2a25c", "#252e3a", "#c3a6f7"),
    ),
}


def template(palette: Palette) -> go.layout.Template:
    """Returns the settings that all charts have in common, in the colours of a theme."""
    axis = {
        "gridcolor": palette.grid,
        "linecolor": palette.muted,
        "zerolinecolor": palette.grid,
        "tickcolor": palette.muted,
        "ticks": "outside",
        "ticklen": 4,
        "automargin": True,
        "fixedrange": True,
        "title": {"standoff": 8, "font": {"color": palette.muted}},
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 12, "color": palette.text},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": palette.series,
            "xaxis": axis,
            "yaxis": axis,
            "margin": {"l": 8, "r": 12, "t": 28, "b": 8},
            "dragmode": False,
            "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
            "colorscale": {
                "sequential": [[i, colour] for i, colour in enumerate(palette.sequential)],
                "diverging": [[i / 2, colour] for i, colour in enumerate(palette.diverging)],
            },
            "coloraxis": {"colorbar": {"thickness": 10, "outlinewidth": 0, "ticks": "outside"}},
            "shapedefaults": {"line": {"color": palette.series[1], "width": 1.5, "dash": "dash"}},
            "annotationdefaults": {
                "font": {"color": palette.muted, "size": 11},
                "showarrow": False,
            },
        }
    )


def training(log: Sequence[dict]) -> dict[str, go.Figure]:
    """Returns the charts of loss and of accuracy by epoch."""
    epochs = [row["epoch"] for row in log]
    loss = go.Figure(go.Scatter(x=epochs, y=[row["train_loss"] for row in log], name="training"))
    loss.update_yaxes(title="cross-entropy, training", rangemode="tozero")
    accuracy = go.Figure()
    for name, key in (("training", "train_accuracy"), ("1,000 test images", "test_accuracy_1000")):
        accuracy.add_scatter(x=epochs, y=[row[key] for row in log], name=name)
    accuracy.update_yaxes(title="accuracy", tickformat=".0%", range=[0, 1.02])
    quantised = [row["epoch"] for row in log if row["quantised"]]
    for figure in (loss, accuracy):
        figure.update_traces(mode="lines+markers", marker_size=5)
        figure.update_xaxes(title="epoch")
        figure.update_layout(hovermode="x unified", height=280, margin_t=48, legend_y=1.1)
        if quantised and quantised[0] > epochs[0]:
            limit(figure, quantised[0] - 0.5, "4 bits from here")
    return {"loss": loss, "accuracy": accuracy}


def limit(figure: go.Figure, x: float, words: str, side: str = "right") -> None:
    """Draws a vertical line at `x`, with its name at the top on this `side` of it."""
    figure.add_shape(type="line", x0=x, x1=x, y0=0, y1=1, yref="paper")
    figure.add_annotation(
        x=x,
        y=1,
        yref="paper",
        text=words,
        yanchor="bottom",
        xanchor="left" if side == "right" else "right",
    )


def utilisation(leaving: np.ndarray, total: int, rows: int, cols: int) -> go.Figure:
    """Returns the chart of the share of PEs that multiply, by cycle.

    leaving: cycles in which a psum vector left the array, int [n]; total: cycles of the run.
    """
    busy = busy_pes(leaving, total, rows, cols) / (rows * cols)
    together = -(-total // MOST_POINTS)  # cycles a point, of a long run
    first = np.arange(0, total, together)
    shown = np.add.reduceat(busy, first) / np.diff(first, append=total)
    so_far = np.cumsum(busy) / np.arange(1, total + 1)
    name = "in the cycle" if together == 1 else f"mean of {together} cycles"
    figure = go.Figure()
    figure.add_scatter(x=first, y=shown, name=name, line_shape="hv", fill="tozeroy")
    figure.add_scatter(x=first, y=so_far[first], name="mean so far")
    figure.update_layout(height=260, hovermode="x unified")
    figure.update_xaxes(title="cycle", range=[0, total])
    figure.update_yaxes(title="PEs at work", tickformat=".0%", range=[0, 1.05])
    return figure


def mean_utilisation(leaving: np.ndarray, total: int, macs: int, rows: int, cols: int) -> go.Figure:
    """Returns the chart of the share of MACs that any array has done, by cycle.

    leaving: cycles in which a vector left the array, int [n], each of which stands for an equal
    part of `macs`; total: cycles of the run.
    """
    left = np.cumsum(np.bincount(leaving, minlength=total))
    cycles = np.arange(1, total + 1)
    share = left * (macs / len(leaving)) / (cycles * rows * cols)
    shown = np.arange(0, total, -(-total // MOST_POINTS))
    figure = go.Figure()
    figure.add_scatter(x=shown, y=share[shown], name="mean so far", fill="tozeroy")
    figure.update_layout(height=260, hovermode="x unified")
    figure.update_xaxes(title="cycle", range=[0, total])
    figure.update_yaxes(title="MACs of results", tickformat=".0%", rangemode="tozero")
    return figure


def busy_pes(leaving: np.ndarray, total: int, rows: int, cols: int) -> np.ndarray:
    """Returns the number of PEs that multiply in each cycle, int [total].

    The vector that leaves in cycle t entered ROWS + COLS − 1 cycles before, and row r, column c
    multiplied it r + c cycles after that.
    """
    diagonals = np.add.outer(np.arange(rows), np.arange(cols)).ravel()
    at_work = (leaving[:, None] - (rows + cols - 1) + diagonals).ravel()
    return np.bincount(at_work, minlength=total)


def psums(values: np.ndarray, lowest: int, highest: int) -> go.Figure:
    """Returns the chart of how often each psum of a tile occurs, within the range that is possible.

    values: the psums, int, of any shape; the range, from `lowest` to `highest`, is what ROWS
    products can reach.
    """
    width = -(-(highest - lowest) // MOST_BARS)  # psums that one bar stands for
    found, times = np.unique(values // width, return_counts=True)
    centres = found * width + (width - 1) / 2
    figure = go.Figure(go.Bar(x=centres, y=times, width=width, marker_line_width=0))
    figure.update_layout(height=260, showlegend=False, bargap=0)
    figure.update_xaxes(title="psum of a tile", range=[lowest * 1.08, highest * 1.08])
    figure.update_yaxes(title="number of psums", type="log", dtick=1)
    limit(figure, lowest, f"least {lowest:,}".replace("-", "−"))
    limit(figure, highest, f"most {highest:,}", "left")
    return figure


def bits(values: np.ndarray) -> np.ndarray:
    """Returns the fewest bits that hold each value in two's complement, int, in the same shape.

    >>> bits(np.array([0, -1, 1, -128, 128])).tolist()
    [1, 1, 2, 8, 9]
    """
    magnitude = np.where(values < 0, ~values, values)
    return np.ceil(np.log2(magnitude + 1)).astype(int) + 1


def widths(tile: np.ndarray, sums: np.ndarray, psum_width: int, sum_width: int) -> go.Figure:
    """Returns the chart of the bits that psums and sums need, against their registers' widths.

    tile, sums: psums of tiles and sums over all tiles, int, of any shape; widths are in bits.
    """
    figure = go.Figure()
    for values, name in ((tile, "psums of a tile"), (sums, "sums over all tiles")):
        needed, times = np.unique(bits(values), return_counts=True)
        figure.add_bar(x=needed, y=times / values.size, name=name)
    figure.update_layout(height=280, margin_t=60)
    figure.update_xaxes(title="bits needed, two's complement", range=[0, sum_width + 1], dtick=4)
    figure.update_yaxes(title="share", tickformat=".0%")
    limit(figure, psum_width, f"psum<br>{psum_width} bits", "left")
    limit(figure, sum_width, f"sums<br>{sum_width} bits", "left")
    figure.update_layout(legend_y=1.16)
    return figure


def errors(difference: np.ndarray, steps: np.ndarray) -> dict[str, go.Figure]:
    """Returns the charts of how far recovered outputs are from captured ones, where they differ.

    difference: the errors in the output's units, float [n]; steps: the same errors in
    steps of the integer sum, float [n]. Each chart shows its limit.
    """
    figures = {}
    for name, values, most, unit in (
        ("error", difference, MAX_ABS_ERROR, "|error|, units of the output"),
        ("steps", steps, MAX_ERROR_STEPS, "|error|, steps of the sum"),
    ):
        # The bars count exponents on a linear axis, so that all bars have the same width.
        exponents = np.log10(np.abs(values[values != 0]))
        lowest = np.floor(exponents.min(initial=np.log10(most) - 1))
        highest = exponents.max(initial=np.log10(most))  # rounding may allow more than the limit
        edges = np.arange(lowest, highest + 0.51, 0.25)
        times, _ = np.histogram(exponents, edges)
        figure = go.Figure(
            go.Bar(
                x=(edges[1:] + edges[:-1]) / 2,
                y=times,
                width=0.23,
                customdata=10 ** np.stack([edges[:-1], edges[1:]], 1),
                hovertemplate="%{customdata[0]:.1e} to %{customdata[1]:.1e}: %{y}<extra></extra>",
            )
        )
        powers = np.arange(lowest, edges[-1]).astype(int).tolist()
        figure.update_layout(height=260, showlegend=False)
        figure.update_xaxes(
            title=unit,
            range=[lowest, edges[-1]],
            tickvals=powers,
            ticktext=[f"10<sup>{power}</sup>".replace("-", "−") for power in powers],
        )
        figure.update_yaxes(title="outputs", rangemode="tozero")
        limit(figure, np.log10(most), f"limit {most:g}", "left")
        figures[name] = figure
    return figures


def layer_cycles(rows: Sequence[dict]) -> go.Figure:
    """Returns the chart of the cycles of each run in `core.json`, with two limits.

    One limit counts a cycle for each tap inside the map, the dense one for the padding's taps too.
    """
    names = [f"{html.escape(row['layer'])} × {row['batch']:g}" for row in rows]
    cycles = [row["cycles"] for row in rows]
    figure = go.Figure(
        go.Bar(
            x=cycles,
            y=names,
            orientation="h",
            name="cycles",
            textposition="inside",
            insidetextanchor="start",
            text=[f"{row['limit_cycles'] / row['cycles']:.1%}" for row in rows],
            textangle=0,
        )
    )
    for name, key, symbol in (
        ("limit: taps inside the map", "limit_cycles", "line-ns-open"),
        ("dense limit: 64 MACs a cycle", "dense_limit_cycles", "diamond-open"),
    ):
        figure.add_scatter(
            x=[row[key] for row in rows],
            y=names,
            name=name,
            mode="markers",
            marker={"symbol": symbol, "size": 14 if symbol[0] == "l" else 7, "line": {"width": 2}},
        )
    figure.update_layout(height=90 + 26 * len(rows), hovermode="y unified")
    figure.update_xaxes(
        title="cycles",
        type="log",
        dtick=1,
        exponentformat="SI",
        range=[1, np.log10(max(row["dense_limit_cycles"] for row in rows)) + 0.3],
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="")
    return figure


def maps(
    names: Sequence[str], columns: int, title: str, low: float, high: float, rows: str, cols: str
) -> go.Figure:
    """Returns a heatmap for each of `names`, still empty, all on one colour scale.

    The scale goes from `low` to `high`. `rows` and `cols` say what the sides are. The page fills in
    the values.
    """
    lines = -(-len(names) // columns)
    figure = make_subplots(
        lines, columns, subplot_titles=names, horizontal_spacing=0.03, vertical_spacing=0.2 / lines
    )
    for index, name in enumerate(names):
        figure.add_heatmap(
            coloraxis="coloraxis",
            row=index // columns + 1,
            col=index % columns + 1,
            xgap=1,
            ygap=1,
            hovertemplate=f"{name}<br>{rows} %{{y}}, {cols} %{{x}}: %{{z}}<extra></extra>",
        )
    bare = {
        "showticklabels": False,
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
        "constrain": "domain",
    }
    figure.update_xaxes(**bare)
    figure.update_yaxes(**bare, autorange="reversed")
    for axis, trace in zip(figure.select_yaxes(), figure.data, strict=False):
        axis.scaleanchor = trace.xaxis
    figure.update_layout(
        coloraxis={
            "cmin": low,
            "cmax": high,
            "autocolorscale": True,
            "colorbar": {"title": {"text": title, "side": "right"}},
        },
        height=36 + 110 * lines,
        margin_t=24,
    )
    return figure
