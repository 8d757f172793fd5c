"""A chart as SVG for the report: the only importer of matplotlib.

No JavaScript, no fonts and no address: text stays text, and colours are CSS variables of the page,
which knows whether it is dark.
"""

import re
import warnings
from collections.abc import Sequence
from io import BytesIO
from math import log10
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

from bench.reporting.charts import Chart, Point
from bench.reporting.texts import with_margin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PALETTE", "svg"]

PALETTE = {
    "paper": ("#ffffff", "#171b21"),
    "ink": ("#1b1f24", "#e8ebef"),
    "muted": ("#545d68", "#a3adb9"),
    "grid": ("#d5dae0", "#39414b"),
    "series-1": ("#0b5cad", "#7db8ff"),
    "series-2": ("#a84300", "#ffad6b"),
    "series-3": ("#006b54", "#56d3b2"),
    "series-4": ("#7d35a0", "#d7a6f5"),
    "series-5": ("#a3143f", "#ff92ab"),
    "series-6": ("#5b5f00", "#d0d667"),
}
"""Colours by name, light and dark; what carries text or meaning has a contrast of 4.5 on paper."""

WIDTH = 400
"""Pixels: a phone shows it as it is, a wider page enlarges it."""

FONT = 12

LINES_HEIGHT, HISTORY_HEIGHT = 280, 150

DOTS_HEIGHT, DOTS_MARGIN = 33, 54
"""Of one row, and of everything else."""

LABEL, LABEL_LEGEND = 46, 20
"""Characters of a name over its row, and in a legend; it is whole in the table."""

MOST_TICKS = 6
"""On an axis of values."""

MOST_STEPS = 10
"""On an axis of what was asked for, such as steps."""

MARKERS = "osD^vP"

WORDS = {"slower": 4, "faster": 2}
"""Colours of the levels of a history."""

LEAST_SPAN = 0.1
"""What the height of a history stands for at least, relative: noise is no mountain."""

HATCHES = ("", "////", "----", "xxxx", "||||", "\\\\")

LEGEND = 44
"""Pixels of two lines of a legend."""

NEAR, FAR = (0.5, 0.67, 0.8, 1, 1.25, 1.5, 2), (0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100)
"""Where the scale of a ratio has numbers: up to 2, and beyond."""

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"

_SENTINELS = {name: f"#0a00{number:02x}" for number, name in enumerate(PALETTE, 1)}
"""What stands for a colour until the drawing is done: matplotlib knows no CSS variable."""

_COLORS = [color for name, color in _SENTINELS.items() if name.startswith("series")]

_SETTINGS: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a $ in a name is a $
    "font.size": FONT,
    "axes.edgecolor": _SENTINELS["muted"],
    "axes.labelcolor": _SENTINELS["muted"],
    "axes.titlecolor": _SENTINELS["muted"],
    "axes.titlelocation": "left",
    "axes.titlesize": FONT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _SENTINELS["grid"],
    "grid.linewidth": 0.7,
    "hatch.color": _SENTINELS["paper"],
    "hatch.linewidth": 0.8,
    "legend.columnspacing": 1.2,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.2,
    "lines.markersize": 5,
    "text.color": _SENTINELS["ink"],
    "xtick.color": _SENTINELS["muted"],
    "ytick.color": _SENTINELS["muted"],
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
}


def svg(chart: Chart, name: str) -> str:
    """Draw a chart as an SVG element for HTML; ids in it depend on `name`, one a page.

    Its title and its description are those of the chart. The same chart gives the same text.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        # the browser has fonts for signs that matplotlib's own font lacks
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS | {"svg.hashsalt": name})
        figure = Figure(layout="constrained")
        FigureCanvasSVG(figure)
        draw = {"lines": _lines, "stacked": _stacked, "history": _history}.get(chart.kind, _dots)
        draw(figure, chart)
        file = BytesIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _inlined(file.getvalue(), chart, name)


def _lines(figure: "Figure", chart: Chart) -> None:
    _size(figure, LINES_HEIGHT + LEGEND)
    axes = figure.add_subplot()
    points = [point for series in chart.series for point in series.points]
    _scale(axes, "y", points, chart.log)
    along = sorted({point.at for point in points})
    if chart.log_along:
        axes.set_xscale("log", base=2)
        axes.set_xlim(along[0] / 1.3, along[-1] * 1.3)
    else:
        axes.set_xlim(0, along[-1] * 1.06)
    _ticks(axes.xaxis, _thinned(along, chart.log_along))
    axes.grid(False, axis="x")
    for series, color, marker in zip(chart.series, _COLORS, MARKERS, strict=False):
        x = [point.at for point in series.points]
        if series.line is not None:
            fixed, step = series.line
            axes.plot([0, x[-1]], [fixed, fixed + step * x[-1]], color=color)
        axes.errorbar(
            x,
            [point.value for point in series.points],
            _reach(series.points),
            color=color,
            marker=marker,
            linestyle="-" if series.line is None else "",
            elinewidth=1.4,
            capsize=3,
            label=_short(series.name, LABEL_LEGEND),
        )
    axes.set_xlabel(chart.along)
    axes.set_title(chart.unit + (", logarithmic" if chart.log else ""))
    _legend(figure)


def _dots(figure: "Figure", chart: Chart) -> None:
    """Draw a line a name: the name over it, the value and its word at its right end."""
    axes = _rows(figure, [series.name for series in chart.series])
    if chart.kind == "ratios":
        _ratio_scale(axes, chart)
    else:
        _scale(axes, "x", [series.points[0] for series in chart.series], chart.log)
    words = sorted({series.word for series in chart.series})
    for row, series in enumerate(chart.series):
        (point,) = series.points
        if series.band is not None:
            low, high = series.band
            axes.barh(row, high - low, 0.3, low, color=_SENTINELS["grid"])
        axes.errorbar(
            [point.value],
            [row],
            xerr=_reach(series.points),
            color=_COLORS[0],
            marker=MARKERS[words.index(series.word) % len(MARKERS)],
            elinewidth=1.4,
            capsize=3,
        )
        axes.axhline(row, color=_SENTINELS["grid"], linewidth=0.7, zorder=0)
        _beside(axes, row, f"{with_margin(point.value, point.margin)} {series.word}".strip())
    axes.set_xlabel(chart.unit + (", logarithmic" if chart.log else ""))


def _stacked(figure: "Figure", chart: Chart) -> None:
    """Draw a bar a name, in parts that differ by hatch and colour."""
    axes = _rows(figure, chart.names, LEGEND)
    left = [0.0] * len(chart.names)
    for series, color, hatch in zip(chart.series, _COLORS, HATCHES, strict=False):
        widths = [point.value for point in series.points]
        axes.barh(
            range(len(widths)),
            widths,
            0.36,
            left,
            facecolor=color,
            edgecolor=_SENTINELS["paper"],
            hatch=hatch,
            label=_short(series.name, LABEL_LEGEND),
            linewidth=0.5,
        )
        left = [sum(pair) for pair in zip(left, widths, strict=True)]
    _scale(axes, "x", [Point(0, whole, None) for whole in left], log=False)
    for row, whole in enumerate(left):
        _beside(axes, row, with_margin(whole, None))
    axes.set_xlabel(chart.unit)
    _legend(figure)


def _history(figure: "Figure", chart: Chart) -> None:
    """Draw the runs, the level of each segment, and a labelled line where a new level begins."""
    _size(figure, HISTORY_HEIGHT)
    axes = figure.add_subplot()
    runs, *levels = chart.series
    axes.plot(
        [point.at for point in runs.points],
        [point.value for point in runs.points],
        color=_SENTINELS["muted"],
        marker="o",
        markersize=3,
        linewidth=0.5,
    )
    _, top = axes.get_ylim()
    for level in levels:
        start, end = level.points
        color = _COLORS[WORDS.get(level.word, 0)]
        axes.plot([start.at, end.at], [start.value, end.value], color=color, linewidth=2.5)
        if level.word:
            axes.axvline(start.at - 0.5, color=color, linewidth=1, linestyle="--")
            axes.annotate(level.word, (start.at - 0.5, top), color=color, annotation_clip=False)
    _scale(axes, "y", runs.points, log=False)
    values = [point.value for point in runs.points]
    low, high = min(values), max(values)
    room = max(high - low, LEAST_SPAN * high)
    axes.set_ylim((low + high) / 2 - 0.6 * room, (low + high) / 2 + 0.7 * room)
    places = sorted({round(part * (len(chart.names) - 1) / 3) for part in range(4)})
    axes.set_xticks(places, [_short(chart.names[place], LABEL_LEGEND) for place in places])
    axes.grid(False, axis="x")
    axes.set_title(chart.unit)


def _rows(figure: "Figure", names: Sequence[str], more: float = 0) -> "Axes":
    """Return axes with a row for each name, which stands above its row's middle."""
    _size(figure, DOTS_MARGIN + DOTS_HEIGHT * len(names) + more)
    axes = figure.add_subplot()
    axes.set_ylim(len(names) - 0.6, -0.75)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    for row, name in enumerate(names):
        axes.text(
            0,
            row - 0.3,
            _short(name),
            transform=axes.get_yaxis_transform(),
            bbox={"facecolor": _SENTINELS["paper"], "edgecolor": "none", "pad": 0.5},
        )
    return axes


def _beside(axes: "Axes", row: int, text: str) -> None:
    """Write a text at the right end of a row."""
    place = axes.get_yaxis_transform()
    axes.text(1.02, row, text, transform=place, verticalalignment="center")


def _legend(figure: "Figure") -> None:
    figure.legend(loc="outside upper left", ncols=3)


def _ratio_scale(axes: "Axes", chart: Chart) -> None:
    """Put 1 in the middle: twice as long is as far from it as half as long."""
    ends = [
        end
        for series in chart.series
        for point in series.points
        for end in (point.value, *(point.interval or ()), *(series.band or ()))
        if end > 0
    ]
    reach = max(1.25, *(max(end, 1 / end) for end in ends)) * 1.05
    axes.set_xscale("log")
    axes.set_xlim(1 / reach, reach)
    ticks = NEAR if reach < NEAR[-1] * 1.1 else FAR
    _ticks(axes.xaxis, [tick for tick in ticks if 1 / reach <= tick <= reach])
    axes.axvline(1, color=_SENTINELS["ink"], linewidth=1)


def _size(figure: "Figure", height: float) -> None:
    """Make one unit of the SVG a pixel: its points are 72 an inch."""
    figure.set_size_inches(WIDTH / 72, height / 72)


def _scale(axes: "Axes", which: Literal["x", "y"], points: Sequence[Point], log: bool) -> None:
    """Make an axis of values show every interval: from 0, or logarithmic."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low = min(point.interval[0] if point.interval else point.value for point in points)
    high = max(point.interval[1] if point.interval else point.value for point in points)
    axis = axes.xaxis if which == "x" else axes.yaxis
    ends = (low / 1.2, high * 1.2) if log else (0, high * 1.06)
    axes.set(**{f"{which}scale": "log" if log else "linear", f"{which}lim": ends})
    digits = (1, 2, 5) if high < 100 * low else (1, 3) if high < 1000 * low else (1,)
    axis.set_major_locator(
        LogLocator(subs=digits, numticks=MOST_TICKS) if log else MaxNLocator(MOST_TICKS - 1)
    )
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))


def _ticks(axis: Any, values: Sequence[float]) -> None:
    from matplotlib.ticker import NullLocator

    axis.set_ticks(values, [_number(value) for value in values])
    axis.set_minor_locator(NullLocator())


def _thinned(values: Sequence[float], log: bool) -> list[float]:
    """Leave out values whose numbers would overlap, the smaller of two first."""
    place = {value: log10(value) if log else value for value in values}
    reach = place[values[-1]] - (place[values[0]] if log else 0)
    kept = [values[-1]]
    for value in reversed(values[:-1]):
        if place[kept[-1]] - place[value] >= reach / MOST_STEPS:
            kept.append(value)
    return kept[::-1]


def _number(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.0e}".replace("e+0", "e").replace("e-0", "e-")
    return f"{value:,.6g}".replace(",", "\u202f")


def _reach(points: Sequence[Point]) -> list[list[float]]:
    """Return how far the intervals reach below and above; 0 where there is none."""
    intervals = [(point.value, point.interval or (point.value,) * 2) for point in points]
    below = [max(0.0, value - interval[0]) for value, interval in intervals]
    return [below, [max(0.0, interval[1] - value) for value, interval in intervals]]


def _short(name: str, most: int = LABEL) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _inlined(drawing: bytes, chart: Chart, name: str) -> str:
    """Return a drawing as an element of HTML, which needs no namespace and styles nothing else.

    Read as XML and written again, so that no text can be taken for markup.
    """
    root = ElementTree.fromstring(drawing)
    referenced = set(re.findall(r"#([\w-]+)", drawing.decode()))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style") or not child.tag.startswith(_SVG):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.attrib = {
            key.replace(_HREF, "href"): _colored(value)
            for key, value in element.attrib.items()
            if key != "id" or value in referenced
        }
    for tag, text in (("desc", chart.description), ("title", chart.title)):
        element = ElementTree.Element(tag, id=f"{name}-{tag}")
        element.text = text
        root.insert(0, element)
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-labelledby": f"{name}-title",
        "aria-describedby": f"{name}-desc",
    }
    return ElementTree.tostring(root, encoding="unicode")


def _colored(value: str) -> str:
    for name, sentinel in _SENTINELS.items():
        value = value.replace(sentinel, f"var(--{name})")
    return value
