"""Text that others wrote: an independent Markdown parser reads what we escaped and must find the words and nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from toolkit.untrusted import noted, plain, shortened, visible

GFM = MarkdownIt("commonmark").enable(["table", "strikethrough"])
# What others write is mostly words, and the signs that make trouble.
HOSTILE = st.text(
    st.sampled_from([*"\\`*_{}[]()<>#+-.!|~$:@/&;=^'\"1 \n\t\ra", "é", "\u202e", "\x1b"]) | st.sampled_from("wht"), max_size=20
) | st.lists(st.sampled_from(["www.", "http://x", "![", "](", "<img", "```", "~~~", "mermaid", "&lt;", "\n", "> ", "1. ", ":red["])).map(
    "".join
)


def leaves(markdown: str) -> list[Token]:
    return [leaf for token in GFM.parse(markdown) for leaf in (token.children if token.type == "inline" else [token]) or []]


def words(markdown: str) -> str:
    return "".join(leaf.content for leaf in leaves(markdown))


@given(HOSTILE)
def test_a_line_of_markdown_shows_the_text_and_nothing_but_the_text(text: str) -> None:
    for place in ("{}", "## {}", "- {}", "**At:** {}"):
        line = place.format(plain(text))
        assert {leaf.type for leaf in leaves(line)} <= {
            "text", "text_special", "inline", "paragraph_open", "paragraph_close", "heading_open", "heading_close", "bullet_list_open",
            "bullet_list_close", "list_item_open", "list_item_close", "strong_open", "strong_close",
        }  # fmt: skip
    assert words(plain(text)) == visible(text).strip()


@given(HOSTILE)
def test_a_cell_of_a_table_stays_one_cell(text: str) -> None:
    tokens = GFM.parse(f"| a | b |\n|---|---|\n| {plain(text)} | end |")
    cells = [token.content for token in tokens if token.type == "inline"]
    assert len(cells) == 4
    assert cells[3] == "end"


@given(HOSTILE)
def test_a_note_fetches_nothing_and_holds_no_markup_of_a_page(text: str) -> None:
    found = {leaf.type for leaf in leaves(noted(text))}
    assert not found & {"image", "html_inline", "html_block"}
    fences = [token.info for token in GFM.parse(noted(text)) if token.type == "fence"]
    assert all(info.split()[0] == "text" for info in fences if info.strip())


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("**bold**, `code`, [a link](https://example.org)", "**bold**, `code`, [a link](https://example.org)"),
        ("![x](http://198.51.100.7/x.png)", "&#33;[x](http://198.51.100.7/x.png)"),
        ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
        ('a:red[b]{background="url(http://x)"}', 'a&#58;red[b]&#123;background="url(http://x)"}'),
        ("```mermaid\ngraph TD\n```", "```text mermaid\ngraph TD\n```"),
        ("> - ~~~ m&#101;rmaid\n", "> - ~~~text  m&#101;rmaid"),
        ("```one line``` and more", "```one line``` and more"),
        ("at 3 < 4 in {region}", "at 3 < 4 in {region}"),
        ("line\r\u202enext", "line\n\\u202enext"),
    ],
)
def test_a_note_keeps_what_is_harmless(written: str, shown: str) -> None:
    assert noted(written) == shown


@pytest.mark.parametrize("text", ["accounts: 2.5 s at 14:30 - really (p99)", "payment-api v1.2.3", "at 2026-06-30 14:00"])
def test_what_means_nothing_is_not_escaped(text: str) -> None:
    assert plain(text) == text


def test_directives_of_the_page_are_text_too() -> None:
    assert plain(":material/delete: :red[x] $a$") == r"\:material/delete: \:red\[x\] \$a\$"


def test_a_long_text_says_that_it_goes_on() -> None:
    assert shortened("x" * 10_000) == "x" * 199 + "…"
    assert shortened("short") == "short"
    assert not re.search(r"\s…", shortened("word " * 100, 11))
