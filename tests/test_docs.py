"""Every Python block of the README and the docs runs, with the model and the data swapped for small local ones."""

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = ["README.md", "docs/data.md", "docs/extending.md"]


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
    }
    for published, local in swaps.items():
        code = code.replace(published, local)
    return code


@pytest.mark.parametrize("document", DOCUMENTS)
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


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in [*DOCUMENTS, "docs/methods.md", "CHANGELOG.md"]:
        path = ROOT / document
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{document}: {target}"


def test_every_promise_names_a_test_that_is_there() -> None:
    named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", (ROOT / "docs/reliability.md").read_text())
    assert len(named) > 10
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text() or not test
