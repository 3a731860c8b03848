"""A model filled weight by weight is the model that transformers loads."""

import os
import re
import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file
from torch.distributed.device_mesh import init_device_mesh
from transformers import LlamaConfig, PreTrainedModel

from lit_unlearn import InputError
from lit_unlearn.distributed.sharding import gathered, processes, shard
from lit_unlearn.models import loading
from lit_unlearn.models.first_layers import FirstLayers
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.sharded_loading import fill, load
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.trainable import choose_trainable
from lit_unlearn.running.frozen import FrozenModel
from tests.families import each_family, write_family
from tests.tiny_world import write_model


def filled(folder: Path, dtype: torch.dtype, part: FirstLayers | None = None) -> PreTrainedModel:
    model, files = load(ModelSource(str(folder)), dtype, sharded=True, part=part)
    if files is not None:
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
        fill(model, {}, files, dtype)
    return model


def assert_same(model: PreTrainedModel, other: PreTrainedModel) -> None:
    for one, two in ((model.named_parameters, other.named_parameters), (model.named_buffers, other.named_buffers)):
        own, expected = dict(one(remove_duplicate=False)), dict(two(remove_duplicate=False))
        assert own.keys() == expected.keys()
        for name, value in own.items():
            assert value.dtype == expected[name].dtype
            assert torch.equal(value, expected[name]), name
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", each_family())
def test_every_weight_and_buffer_is_as_transformers_loads_it(tmp_path: Path, family: str, dtype: torch.dtype) -> None:
    folder = write_family(tmp_path, family)
    assert_same(filled(folder, dtype), loading.load_model(ModelSource(str(folder)), dtype))
    shape = loading.load_model(ModelSource(str(folder)), dtype)
    part = FirstLayers.of(shape, decoder_layers(shape), 2)
    assert_same(filled(folder, dtype, part), loading.load_model(ModelSource(str(folder)), dtype, part=part))


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    write_model(
        tmp_path, LlamaConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, tie_word_embeddings=True)
    )
    model = filled(tmp_path, torch.float32)
    assert_same(model, loading.load_model(ModelSource(str(tmp_path)), torch.float32))
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_a_model_whose_weights_have_other_names_in_its_files_is_loaded_whole(tmp_path: Path) -> None:
    folder = write_family(tmp_path, "gpt_neox")
    with pytest.warns(UserWarning, match=r"name lm_head.weight differently from transformers, so every process loads"):
        model = filled(folder, torch.float32)
    assert_same(model, loading.load_model(ModelSource(str(folder)), torch.float32))
    model.save_pretrained(tmp_path / "again", save_original_format=False)
    assert "lm_head.weight" in load_file(tmp_path / "again" / "model.safetensors")
    assert_same(filled(tmp_path / "again", torch.float32), model)


def test_a_weight_that_the_files_lack_is_named(tmp_path: Path) -> None:
    folder = write_family(tmp_path, "llama")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.2.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with (
        pytest.warns(UserWarning, match="up_proj"),
        pytest.raises(InputError, match=r"lacks 1 weights .* model.layers.2.mlp.up_proj"),
    ):
        filled(folder, torch.float32)


def resident(peak: bool = False) -> float:
    """MiB of this process in memory, now or at most so far."""
    found = re.search(rf"{'VmHWM' if peak else 'RssAnon'}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def load_in_two(rank: int, folder: str, port: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": str(rank), "WORLD_SIZE": "2"}
    torch.distributed.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (2, 1), mesh_dim_names=("data_parallel", "tensor_parallel"))
    before = resident()
    model, files = load(ModelSource(folder), torch.float32, sharded=True)
    assert files is not None
    choose_trainable(model, [r"model\.layers\.1\.mlp\.down_proj\.weight"])
    frozen = FrozenModel(model)
    shard(model, decoder_layers(model), frozen.copies, processes(mesh, 1))
    fill(model, frozen.own(), files, torch.float32)
    after = resident()
    size = sum(parameter.numel() for parameter in model.parameters()) * 4 / 2**20
    assert after - before < 0.65 * size, (before, after, size)
    whole = dict(loading.load_model(ModelSource(folder), torch.float32).named_parameters())
    for name, value in [*model.named_parameters(), *frozen.own().items()]:
        assert torch.equal(gathered(value), whole[name]), name
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_each_of_two_processes_holds_half(tmp_path: Path) -> None:
    config = LlamaConfig(hidden_size=1024, intermediate_size=3001, num_hidden_layers=6, num_attention_heads=8)
    write_model(tmp_path, config)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    mp.spawn(load_in_two, (str(tmp_path), port), nprocs=2)  # type: ignore[no-untyped-call, attr-defined]
