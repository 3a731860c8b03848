"""Model folders whose parts are missing, broken or do not fit; and some that look odd and are as good as others."""

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer, MistralConfig

from lit_unlearn.cli import main
from tests.bad_input.refusing import Config, Refused, write
from tests.fast import some
from tests.tiny_world import write_model

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TRAINED, FIRST, EMBEDDING = (
    "model.layers.6.mlp.down_proj.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.embed_tokens.weight",
)
Change = Callable[[Path], object]


class Runs:
    """Unpickled, it leaves a file where it is."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("pwned"),)


def written(name: str, content: bytes | str) -> Change:
    return lambda model: (model / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def configured(**options: Any) -> Change:
    """With other options in config.json; None removes one."""

    def change(model: Path) -> None:
        found = json.loads((model / "config.json").read_text()) | options
        kept = {name: value for name, value in found.items() if value is not None}
        (model / "config.json").write_text(json.dumps(kept))

    return change


def weighing(change: Callable[[dict[str, Tensor]], object]) -> Change:
    """With other weights."""

    def changed(model: Path) -> None:
        weights = load_file(model / WEIGHTS)
        change(weights)
        save_file(weights, model / WEIGHTS, metadata={"format": "pt"})

    return changed


def holding(name: str, value: float) -> Change:
    """With one value of a weight replaced."""
    return weighing(lambda weights: weights[name].view(-1)[5].fill_(value))


def removed(*names: str) -> Change:
    def change(model: Path) -> None:
        for name in names:
            (model / name).unlink()

    return change


def pickled(content: Callable[[Path], bytes]) -> Change:
    """With pytorch_model.bin instead of safetensors."""

    def change(model: Path) -> None:
        (model / "pytorch_model.bin").write_bytes(content(model))
        (model / WEIGHTS).unlink()

    return change


def torch_file(model: Path) -> bytes:
    torch.save(load_file(model / WEIGHTS), model / "saved")
    return (model / "saved").read_bytes()


def sharded(model: Path, *, first: str = "model-1.safetensors") -> None:
    """In two files and an index that names the first so."""
    weights = load_file(model / WEIGHTS)
    names = sorted(weights)
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), start=1):
        save_file({name: weights[name] for name in part}, model / f"model-{number}.safetensors", {"format": "pt"})
    places = {name: first if name < names[len(names) // 2] else "model-2.safetensors" for name in names}
    (model / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (model / WEIGHTS).unlink()


def without_shard(model: Path) -> None:
    sharded(model)
    (model / "model-2.safetensors").unlink()


def indexed(content: str) -> Change:
    def change(model: Path) -> None:
        sharded(model)
        (model / INDEX).write_text(content)

    return change


def with_tokens(model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_tokens(["one", "more"])
    tokenizer.save_pretrained(model)


def with_code(model: Path) -> None:
    configured(model_type="own", auto_map={"AutoConfig": "own.Config"}, architectures=["Own"])(model)
    (model / "own.py").write_text("from pathlib import Path\nPath('pwned').touch()\n")


def quantised(method: str | None, **options: Any) -> Change:
    return configured(quantization_config={"quant_method": method} | options)


def gguf(model: Path) -> None:
    removed("config.json", WEIGHTS)(model)
    (model / "model.gguf").write_bytes(b"GGUF")


def gguf_alone(model: Path) -> None:
    gguf(model)
    removed("tokenizer.json", "tokenizer_config.json")(model)


CONFIGURATION = ("model.pretrained: ", "cannot be loaded", "give a folder with config.json and safetensors")
BAD: dict[str, tuple[Change, tuple[str, ...]]] = {
    "no configuration": (removed("config.json"), CONFIGURATION),
    "malformed configuration": (written("config.json", "{"), CONFIGURATION),
    "empty configuration": (written("config.json", ""), CONFIGURATION),
    "configuration in UTF-16": (written("config.json", "{}".encode("utf-16")), CONFIGURATION),
    "configuration in a list": (written("config.json", "[]"), CONFIGURATION),
    "no family": (configured(model_type=None), (*CONFIGURATION, "model_type")),
    "unknown family": (configured(model_type="zzz"), (*CONFIGURATION, "model type `zzz`")),
    "no causal model": (configured(model_type="t5"), (*CONFIGURATION, "T5Config")),
    "encoder": (configured(model_type="bert"), ("no list of decoder layers found", "set model.decoder_layers to one")),
    "layers in words": (configured(num_hidden_layers="ten"), (*CONFIGURATION, "num_hidden_layers")),
    "negative width": (configured(hidden_size=-64), (*CONFIGURATION, "-64")),
    "unknown activation": (configured(hidden_act="zzz"), (*CONFIGURATION, "zzz")),
    "other width": (configured(hidden_size=32), ("holds ", "of shape [", "belong together")),
    "other vocabulary": (configured(vocab_size=200), ("of shape [158, 64]", "asks for [200, 64]", "belong together")),
    "no weights": (removed(WEIGHTS), ("has no safetensors", "save it once with transformers' save_pretrained")),
    "empty weights": (written(WEIGHTS, ""), (*CONFIGURATION, "header too small")),
    "no safetensors": (written(WEIGHTS, "something else entirely"), (*CONFIGURATION, "header too large")),
    "cut weights": (lambda model: written(WEIGHTS, (model / WEIGHTS).read_bytes()[:-99])(model), CONFIGURATION),
    "a weight missing": (weighing(lambda weights: weights.pop(TRAINED)), ("lacks 1 weights", TRAINED, "belong togeth")),
    "a weight of another shape": (
        weighing(lambda weights: weights.update({TRAINED: torch.zeros(3, 3)})),
        (f"holds {TRAINED} of shape [3, 3]", "config.json asks for [64, 128]", "belong together"),
    ),
    "NaN in a trained weight": (holding(TRAINED, torch.nan), (TRAINED, "NaN or infinite", "that is whole")),
    "NaN in a frozen weight": (holding(FIRST, torch.nan), (FIRST, "NaN or infinite", "that is whole")),
    "an infinite embedding": (holding(EMBEDDING, torch.inf), (EMBEDDING, "NaN or infinite", "that is whole")),
    "a shard missing": (without_shard, ("model-2.safetensors of ", "is not here", "give a complete folder")),
    "a shard elsewhere": (
        lambda model: sharded(model, first="../model-1.safetensors"),
        ("names '../model-1.safetensors', which is not a file beside it",),
    ),
    "a malformed index": (indexed("{"), (INDEX, "is not an index of weights", "fetch the model again")),
    "an empty index": (indexed("{}"), (INDEX, "is not an index of weights", "'weight_map'", "fetch the model again")),
    "a pickle of weights": (pickled(torch_file), ("has no safetensors", "save it once")),
    "a pickle that runs": (pickled(lambda model: pickle.dumps(Runs())), ("has no safetensors", "save it once")),
    "code of its own": (with_code, ("contains custom code", "set model.trust_remote_code to true once you have read")),
    "quantised by GPTQ": (quantised("gptq", bits=4), ("is quantised (gptq)", "model that it was quantised from")),
    "quantised by bitsandbytes": (
        quantised(None, load_in_4bit=True),
        ("is quantised (bitsandbytes)", "quantised from"),
    ),
    "quantised to fp8": (
        quantised("fp8"),
        ("is quantised (fp8)", "write it as bf16 once, python -c", "dequantize=True"),
    ),
    "GGUF": (gguf, ("holds a GGUF file", "name what it was made from")),
    "nothing but GGUF": (gguf_alone, ("holds a GGUF file", "name what it was made from", "or convert it once")),
    "no tokenizer": (removed("tokenizer.json", "tokenizer_config.json"), ("has no tokenizer", "give a hub name or f")),
    "a malformed tokenizer": (written("tokenizer.json", "{"), ("has no tokenizer that can be loaded", "give a hub")),
    "more tokens than embeddings": (with_tokens, ("data.tokenizer: texts take 160 tokens", "for 158", "model's own")),
}
NAMES = {
    "": ("'' cannot be loaded", "give a folder"),
    "/no/such/path": ("'/no/such/path' cannot be loaded", "give a folder"),
    "a\0b": ("cannot be loaded", "give a folder"),
    "https://me:hf_secret@host/model": ("'https://***@host/model' cannot be loaded", "give a folder"),
}


@pytest.fixture
def model(world: Path, inputs: Path) -> Path:
    """A copy of the tiny world's model."""
    return Path(shutil.copytree(world / "model", inputs / "model"))


@pytest.mark.parametrize("case", some(BAD))
def test_a_model_that_cannot_be_trained_is_refused(
    case: str, model: Path, config: Config, inputs: Path, refused: Refused
) -> None:
    change, said = BAD[case]
    change(model)
    config["model"]["pretrained"] = str(model)
    refused(["fit", "-c", write(inputs / "base.yaml", config)], *said)


@pytest.mark.parametrize("name", some(NAMES))
def test_a_name_that_is_no_model_is_refused(name: str, config: Config, inputs: Path, refused: Refused) -> None:
    config["model"]["pretrained"] = name
    refused(["fit", "-c", write(inputs / "base.yaml", config)], *NAMES[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        *("a pickle of weights", "a pickle that runs", "an empty index", "NaN in a trained weight", "no tokenizer"),
        *("cut weights", "more tokens than embeddings", "GGUF"),
    ],
)
@pytest.mark.parametrize("command", ["validate", "eval", "forget-tokens"])
def test_no_other_command_takes_such_a_model(
    command: str, case: str, model: Path, config: Config, inputs: Path, refused: Refused
) -> None:
    BAD[case][0](model)
    question = {"question": "which?", "choices": ["the", "of", "and", "in"], "answer": 1, "subject": "words"}
    asked = write(inputs / "q.jsonl", question)
    config["data"]["init_args"]["evaluation"] = {"questions": {"q": {"path": asked}}}
    config["trainer"]["callbacks"] = ["PerturbationRobustness"]
    words = ["-c", write(inputs / "base.yaml", config)]
    if command == "eval":
        words = ["--tasks=mmlu_local", f"--metadata={json.dumps({'questions': asked})}", "--device=cpu", "--limit=1"]
    words += ["--model.pretrained" if command == "forget-tokens" else "--model", str(model)]
    refused([command, *words])


def weights_after(model: Path, config: Config, inputs: Path) -> dict[str, Tensor]:
    """The trained weights that a run of the model exports."""
    config["model"]["pretrained"] = str(model)
    config["trainer"]["default_root_dir"] = f"run of {model.name}"
    main(["fit", "-c", write(inputs / "base.yaml", config)])
    export = Path(f"run of {model.name}") / "export"
    files = [load_file(path) for path in export.glob("*.safetensors")]
    return {name: weight for file in files for name, weight in file.items() if ".mlp.down_proj." in name}


def unpadded(model: Path) -> None:
    configured(pad_token_id=None)(model)
    options = json.loads((model / "tokenizer_config.json").read_text())
    options.pop("pad_token")
    (model / "tokenizer_config.json").write_text(json.dumps(options))


@pytest.mark.slow
@pytest.mark.parametrize("change", [sharded, unpadded, holding("model.layers.9.mlp.down_proj.weight", 7.0)])
def test_shards_padding_and_what_is_not_read_change_nothing(
    change: Change, model: Path, world: Path, config: Config, inputs: Path
) -> None:
    change(model)
    expected = weights_after(world / "model", json.loads(json.dumps(config)), inputs)
    other = Path(model.rename(inputs / "other"))
    found = weights_after(other, config, inputs)
    trained = [f"model.layers.{layer}.mlp.down_proj.weight" for layer in (5, 6, 7)]
    assert all(torch.equal(found[name], expected[name]) for name in trained)


def test_tied_embeddings_are_trained_and_exported(config: Config, inputs: Path) -> None:
    shape = MistralConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=4, tie_word_embeddings=True)
    shape.num_attention_heads, shape.num_key_value_heads = 4, 2
    write_model(inputs / "tied", shape)
    config["model"] |= {"layer": 2, "trainable": ["model.embed_tokens.weight"]}
    config["trainer"]["default_root_dir"] = "run"
    config["model"]["pretrained"] = str(inputs / "tied")
    main(["fit", "-c", write(inputs / "base.yaml", config)])
    before, after = load_file(inputs / "tied" / WEIGHTS), load_file(Path("run/export") / WEIGHTS)
    assert before.keys() == after.keys()
    assert not torch.equal(before[EMBEDDING], after[EMBEDDING])


def test_a_model_that_training_destroyed_is_not_exported(config: Config, inputs: Path, capsys: Any) -> None:
    config["model"]["optimizer"]["init_args"]["lr"] = 1e30
    config["trainer"]["default_root_dir"] = "run"
    with pytest.raises(SystemExit) as stop:
        main(["fit", "-c", write(inputs / "base.yaml", config)])
    assert stop.value.code == 1  # a sweep goes on to its next point
    shown = capsys.readouterr().err
    assert "to resume" not in shown
    assert re.search(r"lit-unlearn: error: step \d: .* not finite; .* lower model.optimizer.lr", shown)
    assert not list(Path("run").glob("*export*"))
