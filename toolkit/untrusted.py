"""Text that others wrote, made fit for a place that would read more than words into it: a terminal, a line of Markdown, a note."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["noted", "plain", "shortened", "visible"]

# Control, format (bidi among them), surrogate, private, line and paragraph separators.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
# Where CommonMark, its tables and autolinks, or Streamlit's directives would begin. A dot or a dash within words means nothing: a report
# is read in a terminal too.
_MARKUP = re.compile(
    r"[\\`*_\[\]<>#|~$&@^]|^[-+=]|^\d{1,9}[.)]|:(?=[A-Za-z/+_-])|(?<!\d):(?=\S)|[wW]{3}\.",
)
_NEWLINE = re.compile(r"\r\n?|\u2028|\u2029|\x85|\x0b|\x0c")
# Whatever word follows a fence, a block of code is text: some words would have it drawn as a diagram, which may fetch pictures.
_FENCE = re.compile(r"^([^`~\n]*(?:\[\^[^\]\n]*\]:)?[^`~\n]*(?:`{3,}(?=[ ]*[^`\s][^`\n]*$)|~{3,}(?=[ ]*[^~\s])))", re.MULTILINE)
# A picture would be fetched, a tag might be one, a directive may colour with an address.
_FETCHING = re.compile(r"!(?=\[)|<(?=[A-Za-z/!?])|:(?=[A-Za-z-]+\[)|\{(?=[^}\n]*(?:fore|back)ground)")
_ENTITY = {"!": "&#33;", "<": "&lt;", ":": "&#58;", "{": "&#123;"}


def visible(text: str) -> str:
    """Text with what would steer a terminal or reorder a line written out: \\x1b, \\u202e."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_written_out(sign) if unicodedata.category(sign) in _HIDDEN else sign for sign in text)


def plain(text: str) -> str:
    """One line of Markdown that shows the text as it is, so that a name can neither link, style nor fetch a picture."""
    return _MARKUP.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", visible(text).strip())


def noted(text: str) -> str:
    """Markdown as a person wrote it, without what fetches or runs: pictures, tags, diagrams and directives stay as text, links as links."""
    lines = _NEWLINE.sub("\n", text).expandtabs(4).split("\n")
    body = _FENCE.sub(r"\1text ", "\n".join(visible(line) for line in lines))
    return _FETCHING.sub(lambda found: _ENTITY[found[0]], body).strip()


def shortened(text: str, most: int = 200) -> str:
    """At most so many characters, an ellipsis for the rest."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _written_out(sign: str) -> str:
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
