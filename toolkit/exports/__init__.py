"""Criteria in the language of the tools that act on them, and back: one file a format, each export the inverse of its import."""

from toolkit.exports.formats import FORMATS, Format
from toolkit.exports.terms import Certificate, Export, Imported, Queries

__all__ = ["FORMATS", "Certificate", "Export", "Format", "Imported", "Queries"]
