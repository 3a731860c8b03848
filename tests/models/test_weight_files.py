"""The files of a model: found in a folder or the hub's cache, copied, overwritten in place."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from lit_unlearn import InputError
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.weight_files import WeightFiles
from tests.families import write_family

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_weight_is_overwritten_in_its_files_dtype_and_nothing_else(tmp_path: Path, dtype: torch.dtype) -> None:
    source, copy = write_family(tmp_path, "llama", dtype=dtype), tmp_path / "copy"
    copy.mkdir()
    files = WeightFiles.of(ModelSource(str(source)))
    files.copy_to(copy)
    name = "model.layers.2.mlp.down_proj.weight"
    value = torch.randn(48, 32, dtype=torch.float64).T  # not contiguous
    files.overwrite(copy, name, value)
    before, after = (load_file(folder / "model.safetensors") for folder in (source, copy))
    assert torch.equal(after.pop(name), value.to(dtype))
    assert torch.equal(files.read(name), before.pop(name))
    assert all(torch.equal(value, after[own]) for own, value in before.items())
    assert {path.name for path in copy.iterdir()} == {"config.json", "generation_config.json", "model.safetensors"}


@pytest.mark.parametrize("size", ["20KB", "1GB"])
def test_files_in_the_hubs_cache_are_found_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    folder, commit = tmp_path / "models--some--model", "0123456789" * 4
    model = AutoModelForCausalLM.from_pretrained(write_family(tmp_path, "llama"))
    model.save_pretrained(folder / "blobs", max_shard_size=size)
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for path in (folder / "blobs").iterdir():
        if path.name != "generation_config.json":
            (snapshot / path.name).symlink_to(path)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    files = WeightFiles.of(ModelSource("some/model"))
    assert files.paths == {path.name: path for path in snapshot.iterdir()}
    assert WeightFiles.of(ModelSource("some/model"), fetch=False).paths == files.paths
    assert files.places.keys() == model.state_dict().keys()
    (tmp_path / "copy").mkdir()
    files.copy_to(tmp_path / "copy")
    assert not any(path.is_symlink() for path in (tmp_path / "copy").iterdir())
    assert files.size == sum(path.stat().st_size for path in (tmp_path / "copy").iterdir())
    with pytest.raises(InputError, match=r"config.json of 'some/other' is not here and cannot be fetched; give"):
        WeightFiles.of(ModelSource("some/other"))


def test_code_beside_the_configuration_goes_along(tmp_path: Path) -> None:
    source = write_family(tmp_path, "llama")
    (source / "modeling_own.py").write_text("OWN = 1\n")
    (tmp_path / "without").mkdir()
    WeightFiles.of(ModelSource(str(source))).copy_to(tmp_path / "without")
    assert not (tmp_path / "without" / "modeling_own.py").exists()
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "modeling_own.Own"}}))
    (tmp_path / "with").mkdir()
    WeightFiles.of(ModelSource(str(source))).copy_to(tmp_path / "with")
    assert (tmp_path / "with" / "modeling_own.py").read_text() == "OWN = 1\n"


def test_an_index_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    source = write_family(tmp_path, "llama")
    (source / "model.safetensors").unlink()
    index = source / "model.safetensors.index.json"
    for shard, message in (
        ("../other.safetensors", "names '../other.safetensors'"),
        ("1.safetensors", "1.safetensors of .* is not here"),
    ):
        index.write_text(json.dumps({"weight_map": {"a": shard}}))
        with pytest.raises(InputError, match=message):
            WeightFiles.of(ModelSource(str(source)))


def test_weights_stored_in_another_way_are_refused(tmp_path: Path) -> None:
    source = write_family(tmp_path, "llama")
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(2, 3, dtype=torch.int8)}, source / "model.safetensors")
    files = WeightFiles.of(ModelSource(str(source)))
    assert files.names_of("model.a", (2, 3), prefix="model") == ["a"]
    with pytest.raises(InputError, match=r"a is stored as F32 of shape \[2, 3\], where the model has \[3, 2\]"):
        files.names_of("a", (3, 2), prefix="model")
    with pytest.raises(InputError, match=r"b is stored as I8"):
        files.names_of("b", (2, 3), prefix="model")


@pytest.mark.parametrize("kept", [0, 4, 100])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    folder = write_family(tmp_path, "llama")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"model.safetensors is not a safetensors file, or was cut off; fetch"):
        _ = WeightFiles.of(ModelSource(str(folder))).places
