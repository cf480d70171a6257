"""Wiki markup becomes prose."""

import bz2
from xml.sax.saxutils import escape

import pytest

from prunescope.data.wikipedia import SHORTEST_ARTICLE, clean, read_dump

PROSE = "The quick brown fox jumps over the lazy dog, again"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("'''{}''' and ''more''.", "{} and more."),
        ("{}<!-- a\n\ncomment -->.", "{}."),
        ("{}{{cite|a={{nested|x={1}}}|b=2}}.", "{}."),
        ('{}<ref>A {{cite}} [[note]]</ref><ref name=a/><ref name="b">c</ref>.', "{}."),
        ("{} [[Vulpes|foxes]] and [[dog]]s.", "{} foxes and dogs."),
        ("[[File:a.png|thumb|A [[fox]] [''sic''] here]]{}.", "{}."),
        ("{}.\n[[Category:Foxes|*]]\n[[fr:Renard]]", "{}."),
        ("{} in [[:Category:Foxes]].", "{} in Category:Foxes."),
        ("{} at [http://x.org/a?b its site] [https://y.org].", "{} at its site."),
        ("{}.\n{| class=x\n! head\n|-\n| cell\n{|\n| inner\n|}\n|}\n", "{}."),
        ("{}.\n* a list item\n# another\n: indented\n; term", "{}."),
        ("{} <small>small</small><br />x<math>\\frac{{a}}{b}</math>.", "{} smallx."),
        ("{}&nbsp;&ndash; A&amp;B &lt;b&gt;.", "{} – A&B <b>."),
        ("{} for {{convert|1,234|km|mi|abbr=on}}.", "{} for 1,234 km."),
        ("{} ({{IPA|x}}; born 1950).", "{} (born 1950)."),
        ("{} ({{lang|el|x}}) .", "{}."),
        ("{}\ncontinues here.\n\n{}.", "{} continues here.\n{}."),
        ("__NOTOC__\n{}.", "{}."),
    ],
)
def test_markup(markup, text):
    assert clean(markup.replace("{}", PROSE)) == text.replace("{}", PROSE)


def test_end_sections_go_and_what_follows_at_their_rank_stays():
    markup = f"""{PROSE} one.

== See also ==
{PROSE} two.
=== More ===
{PROSE} three.
== History ==
{PROSE} four.
=== Notes ===
{PROSE} five.
=== Later ===
{PROSE} six.
== External links ==
{PROSE} seven."""
    assert clean(markup).split("\n") == [f"{PROSE} {number}." for number in ("one", "four", "six")]


def test_scraps_around_formulas_go():
    assert clean(f"{PROSE}.\n\nwhere <math>x</math> is\n\n{PROSE}.") == f"{PROSE}.\n{PROSE}."


def test_an_unclosed_template_does_not_swallow_the_article():
    assert PROSE in clean(f"{{{{broken\n\n{PROSE}.\n\n{{{{closed}}}}")


def page(title: str, text: str, namespace: int = 0, redirect: bool = False) -> str:
    return (
        f"<page><title>{title}</title><ns>{namespace}</ns>{'<redirect title=x/>' if redirect else ''}"
        f"<revision><text>{escape(text)}</text></revision></page>"
    ).replace("title=x", 'title="x"')


def test_a_dump_yields_its_articles_only():
    long = f"{PROSE} & <b>more</b>. " * (SHORTEST_ARTICLE // 40)
    pages = [
        page("Fox", long),
        page("Foxes", long, redirect=True),
        page("Talk:Fox", long, namespace=1),
        page("Fox (disambiguation)", f"{PROSE}."),
    ]
    dump = f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">{"".join(pages)}</mediawiki>'
    documents = list(read_dump(bz2.compress(dump.encode())))
    assert [document.id for document in documents] == ["Fox"]
    assert documents[0].text.startswith(f"{PROSE} & more. {PROSE}")
