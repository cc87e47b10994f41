"""Charts: frames in, Altair out. The app, notebooks and snapshots draw the same ones."""

from toolkit.charts.incident import lanes, lanes_in_words, phases_bar, phases_in_words
from toolkit.charts.minutes import phase_dots, phase_minutes, phase_shares, where_the_minutes_go
from toolkit.charts.palette import EVENTS, OKABE_ITO, PHASES, PROVENANCE, contrast
from toolkit.charts.services import by_service
from toolkit.charts.strip import strip, strip_events
from toolkit.charts.thresholds import setting_bars, threshold_curve
from toolkit.charts.trend import trend

__all__ = [
    "EVENTS",
    "OKABE_ITO",
    "PHASES",
    "PROVENANCE",
    "by_service",
    "contrast",
    "lanes",
    "lanes_in_words",
    "phase_dots",
    "phase_minutes",
    "phase_shares",
    "phases_bar",
    "phases_in_words",
    "setting_bars",
    "strip",
    "strip_events",
    "threshold_curve",
    "trend",
    "where_the_minutes_go",
]
