import json
from pathlib import Path

import pytest
import yaml
from transformers import AutoTokenizer

from lit_unlearn.cli import main
from lit_unlearn.commands.options import config_files
from lit_unlearn.datamodules import DemoDataModule
from lit_unlearn.demo import CHECKPOINT
from lit_unlearn.questions.sets import PerturbationSource


def test_the_same_draw_is_the_same_questions_and_another_is_not() -> None:
    files = {}
    for draw in (1, 2):
        data = DemoDataModule(draw=draw, questions=8, batch_size=4)
        data.tokenizer = str(CHECKPOINT)
        data.prepare_data()
        files[draw] = [path.read_text() for path in sorted(data.folder.iterdir())]
        data.prepare_data()
        assert files[draw] == [path.read_text() for path in sorted(data.folder.iterdir())]
    assert len(files[1]) == 7
    assert files[1][0] == files[2][0]  # the corpora are the same
    assert files[1][1] != files[2][1]  # the answers are not
    assert files[1] != files[2]


def test_some_facts_of_each_set_are_asked_for() -> None:
    data = DemoDataModule(questions=8, answer_rows=6)
    data.tokenizer = str(CHECKPOINT)
    data.prepare_data()
    data.setup("validate")
    sets = data.plan_answers().sets
    assert {name: len(one.rows) for name, one in sets.items()} == {"forget": 6, "retain": 6, "holdout": 6}


def test_the_shipped_demo_runs_and_evaluates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["--data.questions=16", "--trainer.max_steps=2", "--trainer.val_check_interval=2"]
    main(["fit", "-c", "demo.yaml", *few, "--trainer.default_root_dir=run"])
    results = json.loads(Path("run/results.json").read_text())
    assert results["evaluations"][0]["measured"]["forget"]["accuracy"] == 1.0
    assert results["evaluations"][0]["measured"]["retain/4-gram"]["accuracy"] >= 0.8
    assert "retain/4-gram/control" in capsys.readouterr().out
    assert Path("run/export/model.safetensors").is_file()


def test_other_perturbations_take_the_place_of_the_usual_two() -> None:
    usual, other = (
        DemoDataModule(draw=1, questions=8, batch_size=4, perturbations=given)
        for given in (None, {"prefix": PerturbationSource(n="sentence", position="prefix", sets=["retain"])})
    )
    assert usual.evaluation is not None
    assert usual.evaluation.perturbations == {
        f"{n}-gram": PerturbationSource(n=n, seed=1, sets=["retain"]) for n in (1, 4)
    }
    other.tokenizer = str(CHECKPOINT)
    other.prepare_data()
    other.setup("validate")
    assert list(map(str, other.asked)) == ["forget", "retain", "retain/prefix", "retain/prefix/control"]
    for perturbed, control in zip(*list(other.asked.values())[2:], strict=True):
        sentence, stem = perturbed.question.split("\n", 1)
        assert sentence.endswith((".", "?"))
        assert control.question.split("\n", 1)[1] == stem


def test_perturbations_are_options_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = "{2 in stem: {n: 2, position: stem, count: 2, sets: [retain]}, covid: {texts: [SARS]}}"
    words = ["validate", "-c", "demo.yaml", "--data.questions=8", f"--data.perturbations={given}"]
    main([*words, "--trainer.default_root_dir=run"])
    measured = json.loads(Path("run/results.json").read_text())["evaluations"][-1]["measured"]
    assert "retain/2 in stem/control" in measured
    assert "forget/covid" in measured
    assert "retain/1-gram" not in measured


@pytest.mark.slow
@pytest.mark.xdist_group("demo run")
def test_the_demo_shows_forgetting_and_fragility(demo_run: Path) -> None:
    measured = json.loads((demo_run / "results.json").read_text())["evaluations"][-1]["measured"]
    accuracy = {name: row["accuracy"] for name, row in measured.items()}
    assert accuracy["forget"] < 0.4
    assert accuracy["retain"] > 0.9
    assert accuracy["retain/4-gram/control"] - accuracy["retain/4-gram"] > 0.1


def test_the_demo_config_names_the_embedded_model() -> None:
    options = yaml.safe_load((config_files.folder() / "demo.yaml").read_text())
    assert options["model"]["pretrained"] == "demo"
    assert (CHECKPOINT / "model.safetensors").stat().st_size < 10_000_000


def test_alone_it_has_the_tokenizer_of_the_embedded_model() -> None:
    data = DemoDataModule(questions=4)
    data.prepare_data()
    data.setup("fit")
    assert data.vocabulary == len(AutoTokenizer.from_pretrained(CHECKPOINT))
    assert next(iter(data.train_dataloader())).keys() == {"forget", "retain"}
