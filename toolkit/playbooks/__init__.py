"""Playbooks: what a team agreed to do in trouble, and how what it did lies against that."""

from toolkit.playbooks.alignment import VERDICTS, Happened, Told, aligned
from toolkit.playbooks.folder import FOLDER, playbooks_of, shipped
from toolkit.playbooks.playbook import SHOWN_BY, Playbook, Step

__all__ = ["FOLDER", "SHOWN_BY", "VERDICTS", "Happened", "Playbook", "Step", "Told", "aligned", "playbooks_of", "shipped"]
