import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_unlearn import InputError
from lit_unlearn.cli import main
from lit_unlearn.commands.analysis import main as analyse
from lit_unlearn.commands.analysis.insertion import FORMS
from lit_unlearn.commands.analysis.patching import DISTANCES, POSITIONS, Patched
from lit_unlearn.commands.analysis.spillover import summary
from tests.commands.analysis.conftest import WriteRun


@pytest.fixture(scope="module")
def section(method: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("spill") / "out"
    main(["analyse", "spillover", str(method), "--questions=4", "--batch-size=3", f"--out={out}"])
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    picture = (out / "figure.svg").read_text()
    assert all(f">{name}<" in picture for name in ("base", "method", *FORMS, "retain/3-gram", "after"))
    found: dict[str, Any] = json.loads((out / "section.json").read_text(), parse_constant=pytest.fail)
    return found


def test_the_command_has_a_row_for_each_position(section: dict[str, Any]) -> None:
    assert [row[:3] for row in section["rows"]] == [
        ["base", "retain/3-gram", ""],
        *(["method", "retain/3-gram", position] for position in POSITIONS),
    ]
    assert all(len(row) == len(section["columns"]) for row in section["rows"])
    assert section["rows"][-1][3:6] == section["rows"][0][3:6]  # nothing above the layer was trained
    assert section["rows"][1][6:] == [""] * 5


def test_its_numbers_are_those_of_the_table_and_more(section: dict[str, Any]) -> None:
    found = section["numbers"]["method"]["retain/3-gram"]
    assert (found["layer"], found["last_inserted_tokens"]) == (2, 3.0)
    assert [row[3].partition(" ")[0] for row in section["rows"][1:]] == [
        f"{100 * found['perturbed']['accuracy'][position]['value']:.1f}" for position in POSITIONS
    ]
    assert list(found["control"]["profile"]) == [str(at) for at in DISTANCES]
    assert found["as asked"]["profile"]["32"] is None
    assert found["beyond_control"]["displacement"]["before"]["value"] == pytest.approx(0, abs=1e-6)


def patched(correct: list[list[bool]], distance: float) -> Patched:
    """Of two queries, one of which has no inserted token."""
    rows = torch.full((len(POSITIONS), 2), distance)
    rows[POSITIONS.index("inserted"), 1] = math.nan
    profile = torch.full((len(DISTANCES), 2), math.nan)
    profile[DISTANCES.index(1)] = torch.tensor([distance, 3 * distance])
    return Patched(torch.tensor(correct), rows, profile, torch.tensor([1.0, 3.0]))


def test_means_are_over_queries_that_have_a_value_and_differences_paired() -> None:
    none, gained = [False, True], [True, True]
    forms = {
        "perturbed": patched([none, gained, none, none, none, none, gained], 6.0),
        "control": patched([none, none, none, none, none, none, gained], 4.0),
        "as asked": patched([gained] * 7, 2.0),
    }
    found = summary(forms)
    assert found["norm"] == 2.0
    perturbed, beyond = found["perturbed"], found["beyond_control"]
    assert perturbed["accuracy"]["inserted"] == {"value": 1.0, "standard_error": 0.0}
    assert perturbed["brought_back"]["inserted"] == {"value": 0.5, "standard_error": 0.5}
    assert perturbed["displacement"]["inserted"] == {"value": 3.0, "standard_error": None}
    assert perturbed["displacement"]["last"] == {"value": 3.0, "standard_error": 0.0}
    assert perturbed["profile"]["1"] == pytest.approx({"value": 6.0, "standard_error": 3.0})
    assert perturbed["profile"]["0"] is None
    assert beyond["brought_back"]["inserted"] == {"value": 0.5, "standard_error": 0.5}
    assert beyond["brought_back"]["all"] == {"value": 0.0, "standard_error": 0.0}
    assert beyond["displacement"]["last"] == {"value": 1.0, "standard_error": 0.0}


def test_another_layer_is_an_option_of_fit(method: Path, tmp_path: Path) -> None:
    analyse(["spillover", str(method), "--questions=2", "--model.layer=0", f"--out={tmp_path / 'out'}"])
    found = json.loads((tmp_path / "out" / "section.json").read_text())["numbers"]["method"]["retain/3-gram"]
    assert found["layer"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.layer=10"], r"method: model.layer: 10 is out of range; the model has layers 0 to 9"),
        (
            ["--data.evaluation.perturbations={}"],
            r"no question to retain is perturbed; give perturbations, e.g. --data",
        ),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], message: str, method: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        analyse(["spillover", str(method), *words, f"--out={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_runs_stand_in_one_figure(
    method: Path, write_run: WriteRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_run(tmp_path / "other", change=0.1, layer=1)
    analyse(["spillover", str(method), str(other), "--questions=2", f"--out={tmp_path / 'out'}"])
    found = json.loads((tmp_path / "out" / "section.json").read_text())["numbers"]
    layers = {Path(name).name: of["retain/3-gram"].get("layer") for name, of in found.items()}
    assert layers == {"base": None, "method": 2, "other": 1}
    assert f"Open {tmp_path / 'out' / 'figure.png'}" in capsys.readouterr().out
