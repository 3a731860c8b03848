"""The notebooks of the documents run from the first cell to the last, and show what their texts say."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

_DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.slow
def test_the_first_run_in_a_notebook(tmp_path: Path) -> None:
    cells = _executed("first_run", tmp_path)
    fit, mixing, report, picture, generated, mistake = cells[1:]
    assert _accuracy(fit, "retain") - _accuracy(fit, "retain/4-gram") > 15
    assert abs(_accuracy(mixing, "retain") - _accuracy(mixing, "retain/4-gram")) < 10
    assert "The vessel of Legri is" in _printed(fit)
    assert fit.outputs[-1].data["text/plain"].startswith("UnlearnModule('demo', RMU(coefficient=14")
    assert "| mixing | 25.0" in _printed(report)
    assert "image/png" in picture.outputs[-1].data
    assert "braibreko" in generated.outputs[-1].data["text/plain"]
    (error,) = mistake.outputs
    assert error.ename == "InputError"
    assert "\n".join(error.traceback).count("\n") == 0  # the sentence, without the calls that led there
    assert (tmp_path / "runs" / "report" / "report.html").is_file()


@pytest.mark.slow
def test_a_model_of_your_own_in_a_notebook_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OWN_MODEL", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    model, texts, scaled, fit, asked = _executed("own_model", tmp_path)
    assert _printed(model).endswith("The model is demo.\n")
    assert [line.split()[1] for line in _printed(texts).splitlines()] == ["200", "200"]
    assert "# NLL of held-out rows: forget 1." in (tmp_path / "mine.yaml").read_text()
    assert "Wrote mine.yaml" in _printed(scaled)
    (before, after) = re.findall(r"forget .*?([\d.]+) → ([\d.]+)", _printed(fit))[-1]
    assert float(after) - float(before) > 0.25  # nats per token
    assert re.search(r"^16-gram", _printed(fit), re.MULTILINE)
    answers = _printed(asked)
    assert answers.count("unlearned") == answers.count("> ") == 2  # the first prompt follows a bar on its line
    assert (tmp_path / "run" / "export" / "config.json").is_file()


def _executed(name: str, folder: Path) -> list[nbformat.NotebookNode]:
    """The code cells of a notebook, run in a folder."""
    notebook = nbformat.read(_DOCS / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(folder)}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def _accuracy(cell: nbformat.NotebookNode, questions: str) -> float:
    """Of the last table, in percent."""
    return float(re.findall(rf"^{re.escape(questions)} +([\d.]+) ±", _printed(cell), re.MULTILINE)[-1])
