"""The notebook of the documents runs from the first cell to the last, and shows what its text says."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

_NOTEBOOK = Path(__file__).parent.parent / "docs" / "first_run.ipynb"


@pytest.mark.slow
def test_the_first_run_in_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(_NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
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


def _printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def _accuracy(cell: nbformat.NotebookNode, questions: str) -> float:
    """Of the last table, in percent."""
    return float(re.findall(rf"^{re.escape(questions)} +([\d.]+) ±", _printed(cell), re.MULTILINE)[-1])
