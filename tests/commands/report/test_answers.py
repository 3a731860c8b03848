from pathlib import Path

import pytest

from lit_unlearn.commands.report.answers import as_markdown, prompts
from lit_unlearn.commands.report.runs import load
from tests.commands.report.made import BASE, evaluation, write_generations, write_run

BETWEEN = evaluation(5, forget=60, retain=97, perturbed=70, control=93)
AFTER = evaluation(9, forget=25, retain=97, perturbed=50, control=93)


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    found = []
    for name in ("rmu", "rna"):
        for seed in (0, 1):
            folder = tmp_path / name / f"seed-{seed}"
            write_run(folder, BASE, BETWEEN, AFTER, AFTER | {"interpolation": 0.5})
            texts = {0: " blue", 5: f" bl {name}", 9: f" {name} {seed}"}
            own = (name, "Once", None, {9: " upon"})
            write_generations(folder, ("sky", "The sky is", "blue", texts), own)
        found.append(str(tmp_path / name))
    return found


def test_the_models_answer_one_below_the_other(runs: list[str]) -> None:
    sky, rmu, rna = prompts(load(runs))
    assert (sky.questions, sky.text) == ("sky", "The sky is")
    assert sky.lines == [("right answer", "blue"), ("base", "blue"), ("rmu", "rmu 0"), ("rna", "rna 0")]
    assert (rmu.lines, rna.lines) == ([("rmu", "upon")], [("rna", "upon")])


def test_a_chosen_step_has_its_own_answer_and_interpolated_weights_none(runs: list[str]) -> None:
    sky, *_ = prompts(load([f"{runs[0]}@step=5", f"{runs[0]}@interpolation=0.5", runs[0]]))
    assert sky.answers == {"base": "blue", "rmu@step=5": "bl rmu", "rmu": "rmu 0"}


def test_the_markdown_has_a_table_for_each_run(runs: list[str]) -> None:
    first, second = as_markdown(load([f"{runs[0]}@step=5", *runs]))
    assert first.startswith("## Generations of rmu\n\n| set | prompt |")
    assert "| sky | The sky is | blue | blue | rna 0 |" in second


def test_runs_without_generations_have_none(tmp_path: Path) -> None:
    models = load([write_run(tmp_path / "rmu", BASE, AFTER)])
    assert prompts(models) == []
    assert as_markdown(models) == []
