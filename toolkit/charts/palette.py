"""Colours and shapes: one meaning each, told apart without colour too."""

from __future__ import annotations

__all__ = ["EVENTS", "OKABE_ITO", "PHASES", "PROVENANCE", "contrast"]

# Okabe and Ito 2008: seven colours that people with any common colour blindness tell apart.
OKABE_ITO = {
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
}

# Only colours that stand out from a white page and from a black one serve as marks: three to one on both.
PHASES = {"detect": OKABE_ITO["blue"], "decide": OKABE_ITO["vermilion"], "act": OKABE_ITO["green"]}

# Kind of event: sign for text, Vega's name of the shape, colour.
EVENTS = {
    "release": ("●", "circle", OKABE_ITO["blue"]),
    "hotfix": ("▲", "triangle-up", OKABE_ITO["green"]),
    "rollback": ("▼", "triangle-down", OKABE_ITO["vermilion"]),
    "incident": ("◆", "diamond", OKABE_ITO["purple"]),
}

# What a time or a kind rests on: sign for text, shape, colour. What was derived is hollow as well.
PROVENANCE = {
    "declared": ("●", "circle", OKABE_ITO["blue"]),
    "derived": ("◇", "diamond", OKABE_ITO["purple"]),
    "overridden": ("■", "square", OKABE_ITO["vermilion"]),
}


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours written #rrggbb, between 1 and 21 (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
