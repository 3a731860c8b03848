from pathlib import Path

import pytest

from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.questions.source import prompt
from tests.commands.analysis.analysing import analysed, logits


def test_reject_probability(method: Path, rna: Path, opened: Run, tmp_path: Path) -> None:
    section = analysed(tmp_path / "out", "reject-probability", str(method), str(rna))
    found = section["numbers"]["retain/3-gram"]
    assert 1 <= found["queries"] <= 6
    assert 0 < found["corrected"] < found["paper"] < 0.5
    assert f"{found['corrected']:.3f}" in section["rows"][0]
    assert f"{found['paper']:.3f}" in section["rows"][0]
    runs = [opened, Run(rna)]
    changes = []
    for run in runs:
        model, ids = run.load_unlearned(), run.tokenizer()
        asked = [runs[0].data.asked[Variant("retain", name, False)] for name in (DEFAULT, "3-gram")]
        losses = [
            [
                -float(
                    logits(model, ids(prompt(one))["input_ids"]).log_softmax(-1)[
                        ids("ABCD"[one.answer])["input_ids"][1]
                    ]
                )
                for one in questions
            ]
            for questions in asked
        ]
        changes.append([after - before for before, after in zip(*losses, strict=True)])
    rejected = [other <= 0 for own, other in zip(*changes, strict=True) if own > 0]
    assert found["queries"] == len(rejected)
    assert found["measured"]["value"] == pytest.approx(sum(rejected) / len(rejected))
