"""Links of the documents, turned from the repository's tree to that of the site."""

import posixpath
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOP = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"} | {
    name: name.lower() for name in ("CONTRIBUTING.md", "SECURITY.md")
}
"""Pages of the site that lie beside `docs/` in the repository."""
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
_FENCED = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def site_page(path: str) -> str | None:
    """The site's page of a file of the repository; None if it has none.

    Args:
        path: within the repository, such as `docs/data.md`.

    Example:
        >>> site_page("docs/data.md"), site_page("README.md"), site_page("docs/first_run.ipynb"), site_page("Makefile")
        ('data.md', 'index.md', 'first_run.md', None)
    """
    if path in TOP:
        return TOP[path]
    inside = path.removeprefix("docs/")
    return re.sub(r"\.ipynb$", ".md", inside) if path.startswith("docs/") and not path.endswith(".py") else None


def turned(text: str, source: str, repository: str) -> str:
    """Markdown whose links lead to pages of the site, or to the code host where the site has none.

    Args:
        text: of a document; code blocks stay unchanged.
        source: where it lies in the repository, such as `docs/scaling.md`.
        repository: address of the repository on its code host.

    Example:
        >>> turned("[rule](../CONTRIBUTING.md#style), [file](../Makefile)", "docs/data.md", "https://host/us/it")
        '[rule](contributing.md#style), [file](https://host/us/it/blob/main/Makefile)'
    """
    parts = _FENCED.split(text)
    return "".join(part if part.startswith("```") else _turned(part, source, repository) for part in parts)


def _turned(text: str, source: str, repository: str) -> str:
    def target(found: re.Match[str]) -> str:
        path, anchor = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1])), found[2] or ""
        page = site_page(path)
        if page is not None:
            own = posixpath.dirname(site_page(source) or "")
            return posixpath.relpath(page, own or ".") + anchor
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{repository}/{kind}/main/{path}{anchor}" if (ROOT / path).exists() else found[0]

    return _LINK.sub(target, text)


def repository() -> str:
    """The repository's address, as `pyproject.toml` states it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Repository"])
