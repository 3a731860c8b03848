from pathlib import Path

import pytest
import torch

from lit_unlearn import InputError, WMDPDataModule
from lit_unlearn.commands.analysis.opened_runs import Run, open_runs
from lit_unlearn.randomness import uniform_direction
from tests.commands.analysis.conftest import WriteRun
from tests.tiny_world import texts


def test_a_run_is_opened_as_it_was(method: Path, world: Path) -> None:
    (run,) = open_runs([method])
    assert (run.name, run.module.layer, run.module.noise_scale) == ("method", 2, 0)
    assert run.export == method / "export"
    assert [str(variant) for variant in run.data.asked] == [
        "forget",
        "forget/3-gram",
        "forget/3-gram/control",
        "retain",
        "retain/3-gram",
        "retain/3-gram/control",
    ]
    base, unlearned = run.load_base(), run.load_unlearned()
    assert run.module.pretrained == f"{world}/model"
    changed = [name for name, weight in base.named_parameters() if not weight.equal(unlearned.get_parameter(name))]
    assert changed == [f"model.layers.{index}.mlp.down_proj.weight" for index in range(3)]
    assert not unlearned.training
    assert sorted(path.name for path in method.iterdir()) == ["config.yaml", "export"]


def test_further_options_win(method: Path) -> None:
    (run,) = open_runs([method], ["--model.layer=4", "--data.batch_size=8"])
    assert (run.module.layer, run.data.batch_size) == (4, 8)


def test_an_analysis_reads_rows_as_the_sources_have_them(method: Path) -> None:
    plain, mixed = (Run(method, words) for words in ([], ["--data.mixing={rate: 1, spans: 2, length: 3}"]))
    before, after = (next(iter(run.data.train_dataloader()))["retain"] for run in (plain, mixed))
    assert torch.equal(before["input_ids"], after["input_ids"])
    assert torch.equal(after["loss_mask"], after["attention_mask"])


def test_each_run_has_its_own_steering_vector(write_run: WriteRun, tmp_path: Path) -> None:
    runs = [Run(write_run(tmp_path / str(seed), seed=seed)) for seed in (0, 1)]
    for seed, run in enumerate(runs):
        vector = run.module.forget.steering_vector(torch.tensor([0]), 64)
        assert vector is not None
        assert torch.equal(vector, uniform_direction(torch.tensor([0]), 64, seed=seed))


def test_runs_are_named_by_what_tells_them_apart(write_run: WriteRun, tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, change=0.1) for name in ("c=4/seed-0", "base")]
    assert [run.name for run in open_runs(paths)] == ["c=4/seed-0", "./base"]
    assert [run.name for run in open_runs(paths[:1])] == ["seed-0"]


def test_the_callbacks_options_count(write_run: WriteRun, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    robustness = "{class_path: PerturbationRobustness, init_args: {forget: [retain]}}"
    export = f"{{class_path: ExportPretrained, init_args: {{folder: {tmp_path}}}}}"
    opened = Run(run, [f"--trainer.callbacks=[{robustness}, {export}]"])
    assert (opened.to_forget, opened.export) == (("retain",), tmp_path)


def test_a_config_will_do_where_no_export_is_needed(tmp_path: Path, world: Path) -> None:
    sources = [f"--data.files.bio={world}/alchemy.jsonl", f"--data.wikitext_file={world}/gardening.jsonl"]
    run = Run(Path("rmu.yaml"), [*sources, f"--model.pretrained={world}/model", "--data.topics=[bio]"])
    assert isinstance(run.data, WMDPDataModule)
    assert run.data.row_counts["forget/bio"] == len(texts("alchemy", 60))


def test_what_cannot_be_opened_is_refused(write_run: WriteRun, method: Path, tmp_path: Path) -> None:
    unfinished = write_run(tmp_path / "unfinished")
    evaluated = write_run(tmp_path / "evaluated")
    (evaluated / "config.yaml").write_text("verbose: true\n")
    broken = write_run(tmp_path / "broken")
    (broken / "config.yaml").write_text("modle: {layer: 2}\n")
    other = write_run(tmp_path / "other", change=0.1)
    (other / "config.yaml").write_text((other / "config.yaml").read_text().replace("/model\n", "/../world0/model\n"))
    for paths, message in [
        ([tmp_path], "there is no config.yaml; give the folder of a run of `lit-unlearn fit`"),
        ([tmp_path / "nowhere"], "there is no file .*nowhere"),
        (
            [unfinished],
            "there is no unlearned model in .*export; let the run finish with the callback ExportPretrained",
        ),
        ([evaluated], "this is a run of validate or test, which leaves no model; give the folder of a run"),
        ([broken], r"broken: modle\.layer: there is no such option; did you mean model\.layer"),
        ([method, other], "other: began with .*; give runs of one model"),
        ([method, method], "a run is given twice; give each once"),
    ]:
        with pytest.raises(InputError, match=message):
            open_runs(paths)


def test_data_of_another_kind_is_refused(write_run: WriteRun, tmp_path: Path) -> None:
    run = Run(write_run(tmp_path / "run"), ["--data=lightning.LightningDataModule"])
    with pytest.raises(InputError, match="LightningDataModule has no streams that an analysis can read; take a run of"):
        _ = run.data


def test_a_single_callback_is_found_as_lightning_takes_it(method: Path) -> None:
    assert Run(method, ["--trainer.callbacks=ExportPretrained"]).export == method / "export"
