"""SVG of any origin made safe to stand within a page: nothing of it runs, loads, or reaches beyond its own picture."""

import re
from xml.etree import ElementTree

from markupsafe import Markup

_ELEMENTS = (
    *("svg", "g", "defs", "clipPath", "pattern", "linearGradient", "radialGradient", "stop", "use", "image"),
    *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan"),
)
_PROPERTIES = ("fill", "stroke", "opacity", "font", "text-anchor", "white-space", "clip-path", "clip-rule", "stop-")
_REFERENCE = re.compile(r"url\(#([\w.-]+)\)")


def inline(svg: bytes, *, prefix: str, label: str) -> Markup:
    """An SVG file as an element of a page.

    Args:
        svg: the file.
        prefix: of its ids, so that no two pictures of a page share one.
        label: text for a reader who cannot see it.

    Raises:
        ParseError: it is not XML, or not SVG.
    """
    root = ElementTree.fromstring(svg)
    if _local(root.tag) != "svg":
        raise ElementTree.ParseError(f"the root is {_local(root.tag)}, not svg")
    kept = _cleaned(root, prefix)
    kept.attrib |= {"role": "img", "aria-label": label}
    return Markup(ElementTree.tostring(kept, encoding="unicode"))


def _cleaned(element: ElementTree.Element, prefix: str) -> ElementTree.Element:
    """The element with the children and attributes that only draw."""
    attributes = {_local(name): value for name, value in element.attrib.items()}
    safe = {name: _attribute(name, value, prefix) for name, value in attributes.items()}
    kept = ElementTree.Element(_local(element.tag), {name: value for name, value in safe.items() if value})
    kept.text, kept.tail = element.text, element.tail
    kept.extend(_cleaned(child, prefix) for child in element if _local(child.tag) in _ELEMENTS)
    return kept


def _attribute(name: str, value: str, prefix: str) -> str:
    """The attribute's value; empty for one that does more than draw."""
    if name.lower() != name and name.lower() in ("id", "href", "style", "src"):
        return ""  # a page would read it as the one in small letters
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href":
        return f"#{prefix}-{value[1:]}" if value.startswith("#") else value * value.startswith("data:image/png;base64,")
    if name == "style":
        declarations = (part.strip() for part in value.split(";"))
        return "; ".join(
            _referring(part, prefix) for part in declarations if part.startswith(_PROPERTIES) and _harmless(part)
        )
    return _referring(value, prefix) * (not name.lower().startswith("on") and _harmless(value))


def _harmless(value: str) -> bool:
    """Whether a value loads nothing: every `url` is within the file, none is written with escapes."""
    return "url" not in _REFERENCE.sub("", value).lower() and "\\" not in value


def _referring(value: str, prefix: str) -> str:
    return _REFERENCE.sub(rf"url(#{prefix}-\1)", value)


def _local(name: str) -> str:
    """A name without its namespace: within a page, an element's place says that it is SVG."""
    return name.rpartition("}")[2]
