"""A line chart as an SVG file, written by hand: a few series over a few nights need no plotting library."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from seal_agent.errors import UsageError

WIDTH, HEIGHT, MARGIN = 720, 400, 56
LEGEND = 22
"""Height of one line of the legend, in pixels."""
COLOURS = ("#1b6ca8", "#7fb2d9", "#c8553d", "#e8a798", "#3a7d44", "#8a8a8a")


def draw(series: Mapping[str, Sequence[float]], title: str, out: Path) -> None:
    """Write shares between 0 and 1, one point per night; raise `UsageError` for a file that is no SVG."""
    if out.suffix.lower() != ".svg":
        raise UsageError(f"The plot is written as SVG; {str(out)!r} does not end in .svg.")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(chart(series, title), encoding="utf-8")


def chart(series: Mapping[str, Sequence[float]], title: str) -> str:
    longest = max((len(values) for values in series.values()), default=0)
    height = HEIGHT + LEGEND * len(series)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{MARGIN}" y="28" font-size="16">{escape(title)}</text>',
        *axes(longest),
    ]
    for number, (name, values) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x(place, longest):.1f},{y(value):.1f}" for place, value in enumerate(values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        line = HEIGHT + LEGEND * number
        parts.append(f'<line x1="{MARGIN}" y1="{line}" x2="{MARGIN + 24}" y2="{line}" stroke="{colour}" stroke-width="2.5"/>')
        parts.append(f'<text x="{MARGIN + 32}" y="{line + 4}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def axes(nights: int) -> list[str]:
    lines = []
    for percent in range(0, 101, 25):
        height = y(percent / 100)
        lines.append(f'<line x1="{MARGIN}" y1="{height:.1f}" x2="{WIDTH - MARGIN}" y2="{height:.1f}" stroke="#ddd"/>')
        lines.append(f'<text x="{MARGIN - 8}" y="{height + 4:.1f}" text-anchor="end">{percent} %</text>')
    for night in range(nights):
        lines.append(f'<text x="{x(night, nights):.1f}" y="{HEIGHT - MARGIN + 20}" text-anchor="middle">night {night + 1}</text>')
    return lines


def x(place: int, count: int) -> float:
    return MARGIN + (WIDTH - 2 * MARGIN) * (place / (count - 1) if count > 1 else 0.5)


def y(value: float) -> float:
    return MARGIN + (HEIGHT - 2 * MARGIN) * (1 - value)
