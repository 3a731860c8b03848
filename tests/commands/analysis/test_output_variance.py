from pathlib import Path

import pytest

from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.questions.source import prompt
from tests.commands.analysis.analysing import analysed, logits, states


def test_output_variance(method: Path, opened: Run, tmp_path: Path) -> None:
    section = analysed(tmp_path / "out", "output-variance", str(method), "--questions=4", "--batch-size=3")
    found = section["numbers"]["method"]["retain/3-gram"]
    assert list(section["numbers"]) == ["base", "method"]
    model, ids = opened.load_unlearned(), opened.tokenizer()
    squares, entries, change = 0.0, 0, []
    for index in (0, 1, 3, 4):
        both = [opened.data.asked[Variant("retain", name, False)][index] for name in (DEFAULT, "3-gram")]
        rows = [ids(prompt(question))["input_ids"] for question in both]
        end = next(n for n in range(1, 99) if rows[0][-n] != rows[1][-n]) - 1
        before, after = (states(model, row, 2)[-end:] for row in rows)
        squares += float((after - before).square().sum())
        entries += after.numel()
        letter = ids.convert_tokens_to_ids("ABCD"[both[0].answer])
        change.append(float(logits(model, rows[1])[letter] - logits(model, rows[0])[letter]))
    assert found["eta"] == pytest.approx(squares / entries, rel=1e-4)
    assert found["mean_change"] == pytest.approx(sum(change) / 4, abs=1e-5)
    assert found["whole_query"] == pytest.approx(sum(one**2 for one in change) / 4, rel=1e-4)
    assert found["predicted"] > 0
