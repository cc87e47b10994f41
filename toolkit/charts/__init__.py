"""Charts: frames in, Altair out. The app, notebooks and snapshots draw the same ones."""

from toolkit.charts.minutes import phase_dots, phase_minutes, phase_shares, where_the_minutes_go
from toolkit.charts.palette import EVENTS, OKABE_ITO, PHASES, contrast
from toolkit.charts.services import by_service
from toolkit.charts.strip import strip, strip_events
from toolkit.charts.trend import trend

__all__ = [
    "EVENTS",
    "OKABE_ITO",
    "PHASES",
    "by_service",
    "contrast",
    "phase_dots",
    "phase_minutes",
    "phase_shares",
    "strip",
    "strip_events",
    "trend",
    "where_the_minutes_go",
]
