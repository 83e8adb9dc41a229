"""From matplotlib to SVG that lives inside of a page: colours by name, no links, no twins.

Colours are drawn as stand-ins and replaced by the page's own, so that one picture serves light and
dark. What is the same comes out the same: no date, no chance in the names.
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

# Stand-ins, none of which a picture would use by chance, and the page's names for them.
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
POINTS_PER_INCH = 72


def model_colors(models: tuple[str, ...]) -> dict[str, str]:
    """Return each model's colour name: what the road began with is grey."""
    rest = {m: SERIES[i % len(SERIES)] for i, m in enumerate(models[1:])}
    return {models[0]: "base", **rest} if models else {}


@contextmanager
def figure(width: float, height: float, *, is_small: bool = False) -> Iterator["Figure"]:
    """Yield an empty figure of so many inches, in the page's style; make its `svg` inside.

    A small one has fixed margins, which stand in line with its neighbours' and take half the time.
    """
    import matplotlib as mpl  # noqa: PLC0415 -- half a second, only where something is drawn
    from matplotlib.figure import Figure  # noqa: PLC0415 -- as above

    c = COLORS
    style: Any = {  # keys that matplotlib knows
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
        warnings.simplefilter(
            "ignore"
        )  # a name may have letters that its font lacks; a page has more
        fig = Figure(figsize=(width, height), layout=None if is_small else "constrained")
        if is_small:
            fig.subplots_adjust(left=0.17, right=0.985, top=0.87, bottom=0.13)
        yield fig


def svg(fig: "Figure", *, name: str, title: str) -> Markup:
    """Return a figure as an element of a page; `title` is read to who cannot see it."""
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
    assert box, "matplotlib gives a viewBox"
    body = text[text.index(">") + 1 :].strip()
    head = f'<svg {box[0]} role="img" aria-labelledby="{name}-title"><title id="{name}-title">'
    return Markup(head + str(escape(title)) + "</title>" + body)  # noqa: S704 -- title escaped, body matplotlib's


def _prefix_ids(text: str, name: str) -> str:
    """Keep the names that something points to, with the figure's before them; drop all others."""
    text = text.replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))

    def replace_id(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    text = re.sub(r'\sid="([^"]*)"', replace_id, text)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
