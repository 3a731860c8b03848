import json
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn.commands.report import load, main
from lit_unlearn.commands.report.harness_scores import sections
from lit_unlearn.errors import InputError
from tests.commands.report.made import BASE, evaluation, write_run


def measured(folder: str, accuracy: float, *, before: float | None = 0.9) -> None:
    """What LMEvalHarness writes after 10 steps."""
    earlier = [] if before is None else [{"step": 0, "scores": {"toxigen/acc": before}}]
    found = {
        "results": {
            "toxigen": {"alias": "toxigen", "acc,none": accuracy, "acc_stderr,none": 0.02},
            "gsm8k_cot": {"exact_match,strict-match": 0.125, "exact_match_stderr,strict-match": "N/A"},
        },
        "step": 10,
        "earlier": [*earlier, {"step": 10, "scores": {"toxigen/acc": accuracy}}],
    }
    (Path(folder) / "lm_eval.json").write_text(json.dumps(found))


def run(folder: Path) -> str:
    return write_run(folder, BASE, evaluation(10, forget=25, retain=90, perturbed=50, control=80))


def rows(paths: list[str]) -> dict[str, Any]:
    (found,) = sections(load(paths))
    return {line.split(" | ")[0]: line for line in found.markdown.splitlines()}


def test_scores_of_base_and_run_are_in_the_report(tmp_path: Path) -> None:
    path = run(tmp_path / "rmu")
    measured(path, 0.5)
    main([path, "--out", str(tmp_path / "report")])
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| task and metric | base | rmu |" in text
    assert "| toxigen/acc | 90.0 | 50.0 ± 2.0 |" in text
    assert "| gsm8k_cot/exact_match/strict-match |  | 12.5 |" in text
    assert "toxigen/acc" in (tmp_path / "report" / "report.html").read_text()


def test_seeds_are_a_mean_with_its_range(tmp_path: Path) -> None:
    for seed, accuracy in enumerate([0.4, 0.7]):
        measured(run(tmp_path / "rmu" / f"seed-{seed}"), accuracy, before=None)
    found = rows([str(tmp_path / "rmu")])
    assert found["| task and metric"] == "| task and metric | rmu |"
    assert found["| toxigen/acc"] == "| toxigen/acc | 55.0 [40.0, 70.0] |"


def test_runs_without_scores_have_no_section(tmp_path: Path) -> None:
    assert sections(load([run(tmp_path / "rmu")])) == []


def test_what_is_no_results_is_refused(tmp_path: Path) -> None:
    path = run(tmp_path / "rmu")
    (Path(path) / "lm_eval.json").write_text("{}")
    with pytest.raises(InputError, match="holds no results of LMEvalHarness"):
        sections(load([path]))
