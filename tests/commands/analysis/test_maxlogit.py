from pathlib import Path

import pytest
import torch

from lit_unlearn.commands.analysis.association import correlation
from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.questions.source import prompt
from lit_unlearn.running.decoding import decode
from tests.commands.analysis.analysing import analysed


def test_maxlogit(method: Path, rna: Path, opened: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = analysed(tmp_path / "out", "maxlogit", str(method), str(rna), "--questions=2", "--batch-size=2")
    models = section["numbers"]["models"]
    names = [name for name in models if name != "base"]
    assert [Path(name).name for name in names] == ["method", "rna"]
    asked = [opened.data.asked[Variant("forget", DEFAULT, False)][index] for index in (0, 3)]
    written = decode(opened.load_unlearned(), opened.tokenizer(), [prompt(one) for one in asked], max_new_tokens=15)
    values = torch.tensor([value for one in written for value in one.max_logits])
    found = models[names[0]]["forget"]
    assert (found["mean"], found["standard_deviation"]) == pytest.approx((float(values.mean()), float(values.std())))
    assert found["accuracy"] in (0.0, 0.5, 1.0)
    assert list(models["base"]) == ["forget", "forget/3-gram", "retain", "retain/3-gram"]  # and no control
    means, accuracies = ([of["retain"][key] for of in models.values()] for key in ("mean", "accuracy"))
    expected = correlation(torch.tensor(means), torch.tensor(accuracies))
    assert section["numbers"]["correlation"]["retain"] == pytest.approx(expected, abs=1e-5)
    assert f"Open {tmp_path / 'out' / 'figure.png'}" in capsys.readouterr().out


@pytest.mark.slow
def test_an_option_of_fit_may_hold_spaces_beside_several_runs(method: Path, rna: Path, tmp_path: Path) -> None:
    option = "--data.evaluation.perturbations={2-gram: {n: 2, sets: [retain]}}"
    section = analysed(tmp_path / "out", "maxlogit", str(method), str(rna), option, "--questions=2")
    assert list(section["numbers"]["models"]["base"]) == ["forget", "retain", "retain/2-gram"]
