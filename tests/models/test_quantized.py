"""Quantised models are refused with a remedy that works."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig

from lit_unlearn import InputError
from lit_unlearn.models.loading import load_config, read_config
from lit_unlearn.models.quantized import check_not_quantised
from lit_unlearn.models.source import ModelSource

BLOCK = 32


def write_fp8(folder: Path) -> dict[str, torch.Tensor]:
    """Writes a random model in blocks of fp8 with scales; returns what its matrices stand for."""
    config = LlamaConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=2, vocab_size=80
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    stored, meant = {}, {}
    for name, value in load_file(folder / "model.safetensors").items():
        stored[name] = meant[name] = value.bfloat16()
        if "_proj" in name:
            blocks = value.unflatten(1, (-1, BLOCK)).unflatten(0, (-1, BLOCK))
            scale = blocks.abs().amax((1, 3)) / 448
            codes = (blocks / scale[:, None, :, None]).to(torch.float8_e4m3fn)
            stored |= {name: codes.reshape(value.shape), f"{name}_scale_inv": scale}
            meant[name] = (codes.float() * scale[:, None, :, None]).reshape(value.shape).bfloat16()
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    about = json.loads((folder / "config.json").read_text())
    about["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK]}
    (folder / "config.json").write_text(json.dumps(about))
    return meant


def test_the_remedy_for_fp8_writes_a_plain_model_that_is_taken(tmp_path: Path) -> None:
    meant = write_fp8(tmp_path / "fp8")
    with pytest.raises(InputError, match=r"^model.pretrained: '.*fp8' is quantised \(fp8\)") as refusal:
        load_config(ModelSource(str(tmp_path / "fp8")))
    (command,) = re.findall(r'python -c "(.*)", and its tokenizer', str(refusal.value))
    names = {name: getattr(transformers, name) for name in ("AutoModelForCausalLM", "FineGrainedFP8Config")}
    exec(command.removeprefix("from transformers import *; ").replace("FOLDER", str(tmp_path / "plain")), names)
    load_config(ModelSource(str(tmp_path / "plain")))
    written = load_file(tmp_path / "plain" / "model.safetensors")
    assert written.keys() == meant.keys()
    for name, value in meant.items():
        torch.testing.assert_close(written[name], value, rtol=1e-2, atol=0)  # a rounding of the product to bf16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quant_method": "awq"}, r"is quantised \(awq\), and here .* quantised from, and quantise the export again$"),
        ({"load_in_8bit": True}, r"is quantised \(bitsandbytes\)"),
        ({"quant_method": "mxfp4"}, r"quantization_config=Mxfp4Config\(dequantize=True\), dtype='bfloat16'\)\.save"),
    ],
)
def test_other_kinds_are_refused_in_a_line(options: dict[str, Any], message: str) -> None:
    config = LlamaConfig()
    check_not_quantised(config, "owner/model")
    config.quantization_config = options
    with pytest.raises(InputError, match=message):
        check_not_quantised(config, "owner/model")


def test_evaluation_by_the_harness_takes_them_as_transformers_does(tmp_path: Path) -> None:
    write_fp8(tmp_path)
    assert read_config(ModelSource(str(tmp_path))).model_type == "llama"
