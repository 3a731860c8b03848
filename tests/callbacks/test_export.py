import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from lit_unlearn import RMU, ExportPretrained, InputError, RepresentationMSE, UnlearnModule
from lit_unlearn.models.first_layers import is_partial
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.weight_files import WeightFiles
from tests.families import FAMILIES, write_family
from tests.hub_layouts import write_layout
from tests.tiny_world import tokenizer
from tests.training import demo_data, demo_module, quiet_trainer


def export(world: Path, folder: Path, *, precision: Any = "32-true", **options: Any) -> Path:
    trainer = quiet_trainer(folder, precision=precision, callbacks=[ExportPretrained()], max_steps=2)
    trainer.fit(demo_module(world, **options), demo_data(world))
    return folder / "export"


def trained_on(world: Path, folder: Path, source: Path, *, precision: Any = "32-true", **options: Any) -> UnlearnModule:
    """Of a model, with its export in `folder`."""
    module = UnlearnModule(str(source), RMU(6.5), RepresentationMSE(), **{"layer": 3} | options)
    trainer = quiet_trainer(folder, precision=precision, callbacks=[ExportPretrained()], max_steps=2)
    trainer.fit(module, demo_data(world, tokenizer=str(source)))
    return module


def test_all_but_the_trained_tensors_are_bit_identical(world: Path, tmp_path: Path) -> None:
    exported = load_file(export(world, tmp_path) / "model.safetensors")
    source = load_file(world / "model" / "model.safetensors")
    assert list(exported) == list(source)
    changed = [name for name, value in exported.items() if not torch.equal(value, source[name])]
    assert changed == [f"model.layers.{index}.mlp.down_proj.weight" for index in (5, 6, 7)]


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_weights_are_exported_in_the_dtype_of_the_models_files(world: Path, tmp_path: Path, precision: Any) -> None:
    trainer = quiet_trainer(tmp_path, precision=precision, callbacks=[ExportPretrained()], max_steps=2)
    module = demo_module(world)
    trainer.fit(module, demo_data(world))
    exported = load_file(tmp_path / "export" / "model.safetensors")
    assert {value.dtype for value in exported.values()} == {torch.float32}
    for name, value in module.trained_parameters().items():
        assert torch.equal(exported[name.removeprefix("updated.")], value.float())
    (bytes_of,) = {(folder / "config.json").read_bytes() for folder in (world / "model", tmp_path / "export")}
    assert b"float32" in bytes_of


def test_masters_are_rounded_to_files_in_bf16(world: Path, tmp_path: Path) -> None:
    source = write_family(tmp_path, "llama", dtype=torch.bfloat16)
    module = trained_on(world, tmp_path, source, precision="bf16-mixed")
    exported = load_file(tmp_path / "export" / "model.safetensors")
    assert {value.dtype for value in exported.values()} == {torch.bfloat16}
    for name, value in module.trained_parameters().items():
        assert value.dtype == torch.float32
        assert torch.equal(exported[name.removeprefix("updated.")], value.bfloat16())


def test_transformers_loads_the_export_with_its_tokenizer(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[ExportPretrained()], max_steps=2)
    module = demo_module(world, whole_model=True)
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
    module.model_source = ModelSource(str(source))
    trainer.fit(module, demo_data(world))
    before, after = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (source, tmp_path / "export"))
    assert before.keys() == after.keys()
    assert sum(not torch.equal(before[name], after[name]) for name in before) == 3
    assert family in FAMILIES


def test_an_existing_folder_is_refused_before_training(world: Path, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    with pytest.raises(InputError, match=r"export exists already; give another folder"):
        export(world, tmp_path)
    assert list((tmp_path / "export").iterdir()) == []


def test_a_module_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="LightningModule is not an UnlearnModule"):
        ExportPretrained().setup(quiet_trainer(tmp_path), L.LightningModule(), "fit")


def test_a_trained_tied_embedding_is_exported_once(world: Path, tmp_path: Path) -> None:
    source = write_family(tmp_path, "gemma3")
    name = "model.embed_tokens.weight"
    module = trained_on(world, tmp_path, source, trainable=[re.escape(name)])
    before, after = (load_file(folder / "model.safetensors") for folder in (source, tmp_path / "export"))
    assert [own for own, value in after.items() if not torch.equal(value, before[own])] == [name]
    assert torch.equal(after[name], module.updated.get_parameter(name))


@pytest.mark.parametrize("whole", [False, True])
def test_the_files_are_the_models_own_with_the_trained_bytes_alone_changed(
    world: Path, tmp_path: Path, whole: bool
) -> None:
    source = tmp_path / "shards"
    model = AutoModelForCausalLM.from_pretrained(world / "model")
    model.save_pretrained(source, max_shard_size="100KB")
    shutil.copy(world / "model" / "tokenizer.json", source)
    shutil.copy(world / "model" / "tokenizer_config.json", source)
    names = {path.name for path in source.iterdir()}
    assert len(names) > 10
    trained_on(world, tmp_path, source, whole_model=whole)
    export = tmp_path / "export"
    assert {path.name for path in export.iterdir()} == names | {"README.md", "SHA256SUMS"}
    differing = {name for name in names if (source / name).read_bytes() != (export / name).read_bytes()}
    index = json.loads((source / "model.safetensors.index.json").read_text())["weight_map"]
    trained = [f"model.layers.{layer}.mlp.down_proj.weight" for layer in (1, 2, 3)]
    assert {name for name in differing if not name.startswith("tokenizer")} == {index[name] for name in trained}
    assert not is_partial(AutoModelForCausalLM.from_pretrained(export))
    before, after = (
        {key: value for path in folder.glob("*.safetensors") for key, value in load_file(path).items()}
        for folder in (source, export)
    )
    assert {key for key, value in before.items() if not torch.equal(value, after[key])} == set(trained)


def test_names_without_the_models_prefix_stay_those_of_the_files(world: Path, tmp_path: Path) -> None:
    source = write_family(tmp_path, "gpt2")
    weights = load_file(source / "model.safetensors")
    bare = {name.removeprefix("transformer."): value for name, value in weights.items()}
    save_file(bare, source / "model.safetensors", metadata={"format": "pt"})
    trained_on(world, tmp_path, source)
    exported = load_file(tmp_path / "export" / "model.safetensors")
    assert exported.keys() == bare.keys()
    changed = [name for name, value in exported.items() if not torch.equal(value, bare[name])]
    assert sorted(changed) == [f"h.{layer}.mlp.c_proj.weight" for layer in (1, 2, 3)]


def test_experts_are_written_where_the_files_have_them(world: Path, tmp_path: Path) -> None:
    source, own = write_layout(tmp_path, "mixtral"), tmp_path / "own"
    options: dict[str, Any] = {"layer": 0, "trainable": [r".*layers\.0\.mlp\.experts\.gate_up_proj"]}
    trained_on(world, tmp_path / "hub", source, **options)
    before, after = (load_file(folder / "model.safetensors") for folder in (source, tmp_path / "hub" / "export"))
    experts = "model.layers.0.block_sparse_moe.experts"
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {f"{experts}.{expert}.{matrix}.weight" for expert in range(4) for matrix in ("w1", "w3")}

    AutoModelForCausalLM.from_pretrained(source).save_pretrained(own, save_original_format=False)
    tokenizer().save_pretrained(own)
    trained_on(world, tmp_path / "memory", own, **options)
    before, after = (load_file(folder / "model.safetensors") for folder in (own, tmp_path / "memory" / "export"))
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"model.layers.0.mlp.experts.gate_up_proj"}


def test_a_disk_that_is_too_small_is_refused_before_training(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = WeightFiles.of(ModelSource(str(world / "model"))).size
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=size - 1))
    with pytest.raises(InputError, match=r"export takes 0.00 GiB, and .* has 0.00 GiB free; make room, or set trainer"):
        export(world, tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=size))
    assert export(world, tmp_path).is_dir()


def test_a_model_without_safetensors_is_refused_before_training(world: Path, tmp_path: Path) -> None:
    source = write_family(tmp_path, "llama")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"has no safetensors, so no copy with other weights can be made; save it"):
        trained_on(world, tmp_path, source)


def test_an_error_while_writing_leaves_nothing(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WeightFiles, "overwrite", full)
    with pytest.raises(InputError, match=r"export cannot be written \(No space left on device\)"):
        export(world, tmp_path)
    assert list(tmp_path.iterdir()) == []


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

    monkeypatch.setattr("lit_unlearn.models.tokenizer.AutoTokenizer.from_pretrained", record)
    data = demo_data(world)
    trainer = quiet_trainer(tmp_path, callbacks=[ExportPretrained()], max_steps=1)
    trainer.fit(demo_module(world, revision="v2"), data)
    assert len(asked) >= 2
    assert all(options["revision"] == "v2" for options in asked)
