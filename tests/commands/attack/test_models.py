"""What tells models of a card apart."""

import json
from pathlib import Path

from lit_unlearn.commands.attack.models import digest
from lit_unlearn.models.source import ADAPTER_CONFIG, ModelSource


def test_an_adapter_is_told_by_the_model_that_it_adapts_too(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder in (base, adapter):
        folder.mkdir()
    (base / "config.json").write_text("{}")
    (adapter / ADAPTER_CONFIG).write_text(json.dumps({"base_model_name_or_path": str(base)}))
    found = set()
    for weights in ("ab", "aB", "Ab"):
        for folder, letter in zip((adapter, base), weights, strict=True):
            (folder / "weights.safetensors").write_text(letter)
        found.add(digest(ModelSource(str(adapter))))
    assert len(found) == 3
    (adapter / ADAPTER_CONFIG).write_text(json.dumps({"base_model_name_or_path": "owner/model"}))
    assert digest(ModelSource(str(adapter), revision="old")) != digest(ModelSource(str(adapter), revision="new"))
