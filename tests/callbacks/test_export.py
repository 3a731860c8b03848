import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from lit_unlearn import ExportPretrained, InputError
from tests.families import FAMILIES, write_family
from tests.training import demo_data, demo_module, quiet_trainer


def export(world: Path, folder: Path, *, precision: Any = "32-true", **options: Any) -> Path:
    trainer = quiet_trainer(folder, precision=precision, callbacks=[ExportPretrained()], max_steps=2)
    trainer.fit(demo_module(world, **options), demo_data(world))
    return folder / "export"


def test_all_but_the_trained_tensors_are_bit_identical(world: Path, tmp_path: Path) -> None:
    exported = load_file(export(world, tmp_path) / "model.safetensors")
    source = load_file(world / "model" / "model.safetensors")
    assert list(exported) == list(source)
    changed = [name for name, value in exported.items() if not torch.equal(value, source[name])]
    assert changed == [f"model.layers.{index}.mlp.down_proj.weight" for index in (5, 6, 7)]


def test_masters_are_exported_in_the_dtype_of_the_others(world: Path, tmp_path: Path) -> None:
    folder = export(world, tmp_path, precision="bf16-mixed")
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"


def test_transformers_loads_the_export_with_its_tokenizer(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[ExportPretrained()], max_steps=2)
    module = demo_module(world)
    trainer.fit(module, demo_data(world))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "export")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "export")
    inputs = tokenizer("the dokiba of dolumer", return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits, module.updated(**inputs).logits, rtol=0, atol=0)
    assert (tmp_path / "export" / "generation_config.json").is_file()


def test_lm_eval_loads_the_export(world: Path, tmp_path: Path) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    language_model = HFLM(pretrained=str(export(world, tmp_path)), device="cpu", batch_size=2)
    request = Instance("loglikelihood", {}, ("the doki of", " lumer"), 0)
    ((log_likelihood, _),) = language_model.loglikelihood([request], disable_tqdm=True)
    assert log_likelihood < 0.0


@pytest.mark.parametrize("family", ["gemma3", "gpt2"])
def test_a_model_with_tied_embeddings_exports_whole(world: Path, tmp_path: Path, family: str) -> None:
    source = write_family(tmp_path, family)
    trainer = quiet_trainer(tmp_path, callbacks=[ExportPretrained()], max_steps=1)
    module = demo_module(world, layer=3, noise_scale=0.0)
    module.pretrained = str(source)
    trainer.fit(module, demo_data(world))
    before, after = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (source, tmp_path / "export"))
    assert before.keys() == after.keys()
    assert sum(not torch.equal(before[name], after[name]) for name in before) == 3
    assert family in FAMILIES


def test_the_model_card_tells_method_hyperparameters_and_results(world: Path, tmp_path: Path) -> None:
    card = (export(world, tmp_path) / "README.md").read_text()
    assert "| forget | RMU(coefficient=6.5, seed=0) |" in card
    assert "| noise_scale | 0.03 |" in card
    assert "| steps | 2 |" in card
    assert "AdamW(lr=0.003" in card
    assert "| train/forget_loss | " in card
    assert "base_model" not in card  # a local folder is none of the hub's


def test_an_existing_folder_is_refused_before_training(world: Path, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    with pytest.raises(InputError, match=r"export exists already; give another folder"):
        export(world, tmp_path)
    assert list((tmp_path / "export").iterdir()) == []


def test_a_module_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="LightningModule is not an UnlearnModule"):
        ExportPretrained().setup(quiet_trainer(tmp_path), L.LightningModule(), "fit")


def test_a_trained_tied_embedding_is_exported_once_in_the_dtype_of_the_others(world: Path, tmp_path: Path) -> None:
    source = write_family(tmp_path, "gemma3")
    module = demo_module(world, layer=3, noise_scale=0.0, trainable=[r"model\.embed_tokens\.weight"])
    module.pretrained = str(source)
    trainer = quiet_trainer(tmp_path, precision="bf16-mixed", callbacks=[ExportPretrained()], max_steps=1)
    trainer.fit(module, demo_data(world, tokenizer=str(source)))
    tensors = load_file(tmp_path / "export" / "model.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.bfloat16}
    assert tensors.keys() == load_file(source / "model.safetensors").keys()
    assert json.loads((tmp_path / "export" / "config.json").read_text())["dtype"] == "bfloat16"


def test_two_exports_to_one_folder_are_refused_before_training(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[ExportPretrained(), ExportPretrained()])
    with pytest.raises(InputError, match=r"two of them write .*export; give each a folder or remove one"):
        trainer.fit(demo_module(world), demo_data(world))


def test_the_models_revision_is_that_of_its_tokenizer(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    load = AutoTokenizer.from_pretrained

    def record(name: str, **options: Any) -> Any:
        asked.append(options)
        return load(name)

    monkeypatch.setattr("lit_unlearn.data.rows.AutoTokenizer.from_pretrained", record)
    data = demo_data(world)
    trainer = quiet_trainer(tmp_path, callbacks=[ExportPretrained()], max_steps=1)
    trainer.fit(demo_module(world, revision="v2"), data)
    assert len(asked) >= 2
    assert all(options["revision"] == "v2" for options in asked)
