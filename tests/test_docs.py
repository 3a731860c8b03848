"""The documents are right: their Python blocks run, and what they name is there.

Blocks run with the model and the data swapped for small local ones.
"""

import re
import tomllib
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from lit_unlearn.cli import USAGE
from lit_unlearn.commands.options import config_files

ROOT = Path(__file__).parent.parent
RUN = ["README.md", "docs/attack.md", "docs/data.md", "docs/evaluate.md", "docs/extending.md", "docs/perturbations.md"]
"""Documents with Python blocks."""
PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]
"""Documents that speak of the code as it is; CHANGELOG.md also of what was."""


def swapped(code: str, world: Path) -> str:
    swaps = {
        "HuggingFaceH4/zephyr-7b-beta": f"{world}/model",
        'topics=["cyber"]': f'topics=["cyber"], files={{"cyber": "{world}/navigation.jsonl"}}, '
        f'wikitext_file="{world}/gardening.jsonl"',
        'TextSource("Salesforce/wikitext", name="wikitext-2-raw-v1")': f'TextSource("{world}/gardening.jsonl")',
        '"bio.jsonl"': f'"{world}/alchemy.jsonl"',
        '"cyber.jsonl"': f'"{world}/navigation.jsonl"',
        '"wikitext.txt"': f'"{world}/gardening.jsonl"',
        "max_steps=500": 'max_steps=2, accelerator="cpu", logger=False, enable_checkpointing=False',
        "DemoDataModule()": "DemoDataModule(questions=8)",
    }
    for published, local in swaps.items():
        code = code.replace(published, local)
    return code


@pytest.mark.parametrize("document", RUN)
def test_python_blocks_run(document: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    assert blocks
    names: dict[str, Any] = {"__name__": "document"}
    for block in blocks:
        exec(compile(swapped(block, world), document, "exec"), names)
    if document == "README.md":
        assert (tmp_path / "zephyr-rmu" / "config.json").is_file()
        fit_readme_extensions(names)
    if document == "docs/evaluate.md":
        assert (tmp_path / "results.json").is_file()
    if document == "docs/extending.md":
        fit_extensions(names, world)


def fit_readme_extensions(names: dict[str, Any]) -> None:
    """The README's own callback and method, used."""
    names["trainer"].fit(names["module"], names["data"])
    assert names["trainer"].callback_metrics["train/weight_drift"] > 0


def fit_extensions(names: dict[str, Any], world: Path) -> None:
    from tests.training import demo_data, demo_module, quiet_trainer

    module = demo_module(world, forget=names["Repel"]([1.0, 2.0]))
    quiet_trainer(Path.cwd(), callbacks=[names["Drift"]()]).fit(module, demo_data(world))


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def test_the_documents_with_python_blocks_are_those_that_run() -> None:
    assert [page for page in PAGES if "```python" in text_of(page)] == RUN


@pytest.mark.parametrize("document", [*PAGES, "CHANGELOG.md"])
def test_links_of_the_documents_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for name, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", text_of(document)):
        target = path.parent / name if name else path
        assert target.exists(), f"{document}: {name}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{document}: {name}#{anchor}"


def anchors(text: str) -> list[str]:
    """What GitHub makes of the headings, code blocks left out."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


@pytest.mark.parametrize("document", PAGES)
def test_every_path_that_is_named_is_there(document: str) -> None:
    for path in named(document, r"(?<![\w./-])(?:lit_unlearn|configs|tests|benchmarks|docs|\.ci)/[\w./*-]*"):
        assert any(ROOT.glob(path.rstrip("./"))), f"{document}: {path}"


@pytest.mark.parametrize("document", PAGES)
def test_every_dotted_name_resolves(document: str) -> None:
    for name in named(document, r"(?<![\w./-])(?:lit_unlearn|tests|benchmarks)(?:\.\w+)+(?![\w/])"):
        resolve_name(name)


@pytest.mark.parametrize("document", PAGES)
def test_every_module_that_is_run_can_be(document: str) -> None:
    for name in named(document, r"(?<=python -m )(?:lit_unlearn|tests|benchmarks)[\w.]*"):
        path = ROOT / name.replace(".", "/")
        if path.is_dir():
            assert (path / "__main__.py").is_file(), f"{document}: {name}"
        else:
            source = path.with_suffix(".py").read_text(encoding="utf-8")
            assert '__name__ == "__main__"' in source, f"{document}: {name}"


def named(document: str, pattern: str) -> list[str]:
    """What a document names, without what stands for any name."""
    found = re.findall(pattern, text_of(document))
    return [name for name in found if not re.search("NAME|CLASS", name)]


@pytest.mark.parametrize("document", PAGES)
def test_every_command_config_and_target_that_is_typed_is_there(document: str) -> None:
    text = text_of(document)
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    typed = "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", text)])
    for command in re.findall(r"(?:^|&& |\$\()lit-unlearn ([a-z][\w-]*)", typed, re.MULTILINE):
        assert f"\n  {command} " in USAGE, f"{document}: lit-unlearn {command}"
    for config in re.findall(r"(?<=-c )(?!RUN|runs|mine)[\w/-]+\.yaml", typed):
        assert config in config_files.names(), f"{document}: -c {config}"
    (targets,) = re.findall(r"^\.PHONY: (.+)$", text_of("Makefile"), re.MULTILINE)
    for target in re.findall(r"^make ([a-z][\w-]*)", typed, re.MULTILINE):
        assert target in targets.split(), f"{document}: make {target}"


def test_every_step_of_a_way_is_in_the_code() -> None:
    steps = re.findall(r"`([\w/]+)\.py:([\w.]+)`", text_of("docs/architecture.md"))
    assert len(steps) > 40
    for file, name in steps:
        resolve_name(f"lit_unlearn.{file.replace('/', '.')}:{name}")


def test_the_rooms_are_those_of_the_package() -> None:
    rooms = re.findall(r"^\| `(\w+)/` \|", text_of("docs/architecture.md"), re.MULTILINE)
    assert sorted(rooms) == sorted(path.parent.name for path in (ROOT / "lit_unlearn").glob("*/__init__.py"))


def test_the_lines_of_the_import_rule_are_those_that_lint_keeps() -> None:
    contracts = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    drawn = re.findall(r"^```text\n(.*?)^```", text_of("docs/architecture.md"), re.DOTALL | re.MULTILINE)
    assert len(contracts) == len(drawn) == 2
    for contract, block in zip(contracts, drawn, strict=True):
        assert [line.partition("  ")[0] for line in block.splitlines()] == contract["layers"]


@pytest.mark.parametrize("document", PAGES)
def test_every_test_that_is_named_is_there(document: str) -> None:
    assert not absent(re.findall(r"`(test_\w+)`", text_of(document)))


def test_every_promise_names_a_test_that_is_there() -> None:
    tables = re.findall(r"^\| promise \| test \|\n.+\n((?:\|.+\n)+)", text_of("docs/reliability.md"), re.MULTILINE)
    promises = [re.findall(r"`(test_\w+)`", row) for table in tables for row in table.splitlines()]
    assert len(promises) > 10
    for tests in promises:
        assert tests
        assert not absent(tests)


def absent(tests: list[str]) -> list[str]:
    """Of the functions those that no test file defines."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    return [test for test in tests if not any(f"def {test}(" in source for source in sources)]
