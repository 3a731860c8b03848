"""The site's pages without MkDocs: each document has its place, each link its target, and nothing is left out."""

import doctest
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from docs.site import generated, links, mathjax, notebook
from lit_unlearn import cli
from lit_unlearn.commands.options import config_files
from lit_unlearn.runs import layout

ROOT = Path(__file__).parents[1]
SETTINGS = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def entries(part: Any) -> list[str]:
    """The pages of a part of the navigation."""
    if isinstance(part, str):
        return [part]
    return [page for one in (part.values() if isinstance(part, dict) else part) for page in entries(one)]


def test_every_document_is_once_in_the_navigation_of_mkdocs_yml() -> None:
    documents = [
        links.site_page(f"docs/{path.name}") for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb")
    ]
    made = [page for page in generated.pages() if page.count("/") == 1]
    assert sorted(entries(SETTINGS["nav"])) == sorted([*filter(None, documents), *links.TOP.values(), *made])


def test_what_the_hook_adds_to_the_navigation_is_what_is_generated() -> None:
    added = entries(generated.navigation())
    assert sorted(added) == sorted(page for page in generated.pages() if re.match(r"reference/(api|commands)/", page))


def test_every_room_of_the_package_is_in_the_reference_with_every_file() -> None:
    folders = {path.parent.name for path in (ROOT / "lit_unlearn").glob("*/__init__.py")}
    assert folders == {*generated.ROOMS, "commands"}
    for room in generated.ROOMS:
        shown = re.findall(rf"^::: lit_unlearn\.{room}\.(\w+)$", generated.room_page(room), re.MULTILINE)
        files = {path.stem for path in (ROOT / "lit_unlearn" / room).glob("*.py")} - {"__init__"}
        assert sorted(shown) == sorted(files)
    assert generated.room_page("losses").index("losses.rmu") < generated.room_page("losses").index("losses.by_token")


def test_every_command_has_a_page_with_its_help() -> None:
    assert sorted(generated.commands()) == sorted(cli._COMMANDS)
    assert "--model.noise_scale NOISE_SCALE" in generated.command_page("fit")
    assert "## maxlogit\n\n```text\nusage: lit-unlearn analyse maxlogit " in generated.command_page("analyse")
    for name in generated.commands():
        assert f"# lit-unlearn {name}\n\n```text\nusage: lit-unlearn" in generated.command_page(name)


def test_every_config_has_a_page_and_a_row() -> None:
    pages = generated.pages()
    for name, title in config_files.titles().items():
        assert f"| [{name}](configs/{name}.md) | {title} |" in pages["reference/configs.md"]
        assert config_files.text(name).rstrip() in pages[f"reference/configs/{name}.md"]


def test_every_name_of_a_runs_folder_is_explained() -> None:
    page = generated.run_folder_page()
    for name in (layout.RESULTS, layout.CHECKSUMS, layout.EXPORT, layout.PARTIAL_ANSWERS):
        assert re.search(rf"^\| `{re.escape(name)}` \| [A-Z].+ \|$", page, re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/scaling.md"])
def test_turned_links_lead_to_pages_of_the_site_or_to_the_code_host(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    known = {links.site_page(f"docs/{path.name}") for path in (ROOT / "docs").iterdir()} | set(links.TOP.values())
    for target in re.findall(r"(?<=\]\()[^)\s]+(?=\))", links.turned(text, page, "https://host/repository")):
        path = target.partition("#")[0]
        assert path in {*known, ""} or target.startswith("http"), target


@pytest.mark.parametrize(
    ("source", "given", "wanted"),
    [
        ("docs/data.md", "methods.md#units", "methods.md#units"),
        ("docs/data.md", "../README.md", "index.md"),
        ("docs/data.md", "../configs", "https://host/it/tree/main/configs"),
        ("docs/reference/configs.md", "configs/rmu.yaml.md", "configs/rmu.yaml.md"),
        ("docs/reference/run_folder.md", "../data.md#x", "../data.md#x"),
        ("docs/data.md", "absent.txt", "absent.txt"),
        ("docs/data.md", "https://elsewhere/a.md", "https://elsewhere/a.md"),
    ],
)
def test_a_link_is_turned(source: str, given: str, wanted: str) -> None:
    assert links.turned(f"[a]({given})", source, "https://host/it") == f"[a]({wanted})"


def test_links_in_code_stay() -> None:
    code = "```python\na[0](docs/x.md)\n```"
    assert links.turned(code, "README.md", "https://host/it") == code


def test_a_notebook_is_shown_with_its_code() -> None:
    text = notebook.markdown(ROOT / "docs" / "first_run.ipynb")
    assert text.startswith("# A first run\n")
    assert "```python\nMixing(rate=2, spans=1, length=4)\n```" in text


def test_another_package_than_the_published_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"mathjax-{mathjax.VERSION}.tgz").write_bytes(b"something else")
    with pytest.raises(RuntimeError, match=r"is not the published package of MathJax .*; remove it, and build again"):
        mathjax.files(tmp_path)


def test_without_npm_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=rf"npm is not installed.*put mathjax-{mathjax.VERSION}.tgz into"):
        mathjax.files(tmp_path / "cache")


@pytest.mark.parametrize("module", [links])
def test_examples_in_docstrings_hold(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed
