"""Convert matplotlib figures to inline SVG: CSS colors, no links, unique ids.

Figures use placeholder colors, which are replaced by the page's CSS variables, so that one SVG
works in light and dark mode. The output is deterministic: no date, no random ids.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# CSS variable → placeholder color that no figure uses otherwise.
COLORS = {
    "ink": "#010203",
    "soft": "#020304",
    "grid": "#030405",
    "band": "#040506",
    "stripe": "#050607",
    "good": "#060708",
    "bad": "#070809",
    "base": "#101112",
    "c1": "#111213",
    "c2": "#121314",
    "c3": "#131415",
    "c4": "#141516",
    "c5": "#151617",
}
SERIES = ("c1", "c2", "c3", "c4", "c5")
MARKERS = ("o", "s", "D", "^", "v", "P")


def model_colors(models: tuple[str, ...]) -> dict[str, str]:
    """Return the color name of each model; the first, the baseline, is gray."""
    rest = {m: SERIES[i % len(SERIES)] for i, m in enumerate(models[1:])}
    return {models[0]: "base", **rest} if models else {}


@contextmanager
def figure(width: float, height: float, *, is_small: bool = False) -> Iterator["Figure"]:
    """Yield an empty figure in the page's style; width and height are in inches.

    Call `svg` inside the context. A small figure has fixed margins: they align with those of its
    neighbors, and drawing takes half the time.
    """
    import matplotlib as mpl  # noqa: PLC0415 -- slow import (0.5 s), needed only for plots
    from matplotlib.figure import Figure  # noqa: PLC0415 -- as above

    c = COLORS
    style: Any = {  # Any: matplotlib types the keys as literals
        "svg.fonttype": "none",
        "svg.hashsalt": "upbring",
        "text.parse_math": False,  # a model may be called $x$
        "font.family": "DejaVu Sans",
        "font.size": 8,
        "axes.titlesize": 8.5,
        "axes.labelsize": 8,
        "text.color": c["ink"],
        "axes.labelcolor": c["soft"],
        "axes.edgecolor": c["grid"],
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "savefig.facecolor": "none",
        "xtick.color": c["grid"],
        "ytick.color": c["grid"],
        "xtick.labelcolor": c["soft"],
        "ytick.labelcolor": c["soft"],
        "grid.color": c["grid"],
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "path.simplify": True,
        "path.simplify_threshold": 0.5,
    }
    with mpl.rc_context(style), warnings.catch_warnings():
        # The font may lack a glyph of a model's name; the browser has fallback fonts.
        warnings.simplefilter("ignore")
        fig = Figure(figsize=(width, height), layout=None if is_small else "constrained")
        if is_small:
            fig.subplots_adjust(left=0.17, right=0.985, top=0.87, bottom=0.13)
        yield fig


def svg(fig: "Figure", *, name: str, title: str) -> Markup:
    """Return a figure as an SVG element; `title` is its alternative text."""
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = _prefix_ids(text, name)
    text = re.sub(r"font-family: [^;\"]*;?|(?<=px) '[^\"]*?sans-serif", "", text)
    for color, placeholder in COLORS.items():
        text = text.replace(placeholder, f"var(--{color})")
    box = re.search(r'viewBox="[^"]*"', text)
    assert box, "matplotlib writes a viewBox"
    body = text[text.index(">") + 1 :].strip()
    head = f'<svg {box[0]} role="img" aria-labelledby="{name}-title"><title id="{name}-title">'
    element = head + str(escape(title)) + "</title>" + body
    return Markup(element)  # noqa: S704 -- the title is escaped, the rest is from matplotlib


def _prefix_ids(text: str, name: str) -> str:
    """Prefix the ids that are referenced with the figure's name, and remove all others."""
    text = text.replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))

    def replace_id(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    text = re.sub(r'\sid="([^"]*)"', replace_id, text)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
