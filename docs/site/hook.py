"""What MkDocs runs while it builds the site: generated pages, links, and formulas without a network."""

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

from docs.site import generated, links, mathjax, notebook

_DOCS = links.ROOT / "docs"


def on_config(config: MkDocsConfig) -> None:
    """Puts the generated pages into the navigation, and makes anchors those of the code host."""
    # As `repo_url` the theme would ask the code host for stars on each page.
    config.extra["social"] = [{"icon": "fontawesome/brands/github", "link": links.repository(), "name": "Repository"}]
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    assert config.nav is not None
    (reference,) = (entry["Reference"] for entry in config.nav if "Reference" in entry)
    reference[:0] = generated.navigation()


def on_files(files: Files, *, config: MkDocsConfig) -> None:
    """Adds the pages that lie beside `docs/`, the notebooks and all that is generated."""
    for source, page in links.TOP.items():
        _add(files, config, page, (links.ROOT / source).read_text(encoding="utf-8"))
    for path in sorted(_DOCS.glob("*.ipynb")):
        _add(files, config, f"{path.stem}.md", notebook.markdown(path))
    for page, text in generated.pages().items():
        _add(files, config, page, text)
    try:
        for name, data in mathjax.files(Path(config.site_dir).parent / "mathjax").items():
            _add(files, config, f"site/mathjax/{name}", data)
    except RuntimeError as error:
        raise Abort(str(error)) from error


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Turns the links of documents that are also read on the code host."""
    source = {page: source for source, page in links.TOP.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return links.turned(markdown, source, links.repository())


def _add(files: Files, config: MkDocsConfig, page: str, content: str | bytes) -> None:
    files.append(File.generated(config, page, content=content))
