from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from lit_unlearn.commands.report.inline_svg import inline

NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def inlined(content: str, attributes: str = "") -> str:
    return inline(f"<svg {NAMESPACES} {attributes}>{content}</svg>".encode(), prefix="p", label="Two < three")


def test_what_draws_is_kept() -> None:
    shown = inlined(
        '<g transform="scale(2)"><path d="M 0 0 L 1 1" style="fill: #0072B2; stroke-width: 2"/></g>'
        '<text style="font: 10px \'DejaVu Sans\'" x="1">ν &lt; <tspan>3</tspan></text>',
        'width="5pt" viewBox="0 0 9 9"',
    )
    assert isinstance(shown, Markup)
    assert 'width="5pt" viewBox="0 0 9 9"' in shown
    assert '<g transform="scale(2)"><path d="M 0 0 L 1 1" style="fill: #0072B2; stroke-width: 2" /></g>' in shown
    assert ">ν &lt; <tspan>3</tspan></text>" in shown
    assert "DejaVu Sans" in shown


def test_it_is_one_picture_with_a_label() -> None:
    root = ElementTree.fromstring(inlined("<g/>"))
    assert root.tag == "svg"
    assert (root.get("role"), root.get("aria-label")) == ("img", "Two < three")


def test_ids_and_what_refers_to_them_are_its_own() -> None:
    shown = inlined(
        '<defs><clipPath id="c"/><path id="m"/></defs><use xlink:href="#m"/><g clip-path="url(#c)"/>'
        '<path style="fill: url(#c)"/>'
    )
    assert 'id="p-c"' in shown
    assert 'id="p-m"' in shown
    assert 'href="#p-m"' in shown
    assert 'clip-path="url(#p-c)"' in shown
    assert 'style="fill: url(#p-c)"' in shown


def test_an_embedded_bitmap_is_kept() -> None:
    assert 'href="data:image/png;base64,AAAA"' in inlined('<image xlink:href="data:image/png;base64,AAAA"/>')


@pytest.mark.parametrize(
    ("content", "gone"),
    [
        ("<script>alert(1)</script>", "alert"),
        ("<foreignObject><iframe/></foreignObject>", "iframe"),
        ("<style>@import 'http://a.example/b'</style>", "example"),
        ('<g onload="alert(1)"/>', "alert"),
        ('<a href="http://a.example"><g/></a>', "example"),
        ('<use xlink:href="http://a.example/b.svg#c"/>', "example"),
        ('<image href="http://a.example/b.png"/>', "example"),
        ('<image href="data:image/svg+xml;base64,AAAA"/>', "AAAA"),
        ('<g fill="url(http://a.example)"/>', "example"),
        ('<g style="fill: URL( http://a.example )"/>', "example"),
        (r'<g style="fill: u\72l(http://a.example)"/>', "example"),
        ("<g style=\"background: image-set('http://a.example')\"/>", "example"),
        ('<path><set attributeName="href" to="http://a.example"/></path>', "example"),
    ],
)
def test_what_would_run_or_load_is_left_out(content: str, gone: str) -> None:
    assert gone not in inlined(f'{content}<path d="M 0 0"/>')
    assert '<path d="M 0 0" />' in inlined(f'{content}<path d="M 0 0"/>')


def test_an_attribute_of_the_root_is_no_exception() -> None:
    assert "alert" not in inlined("", 'onload="alert(1)"')
