"""What a classifier says of texts, against each text alone; and a model that is none."""

import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from lit_unlearn import InputError
from lit_unlearn.answers.classified import clean_probabilities
from lit_unlearn.models.classifier import clean_label, load_classifier
from tests.tiny_world import texts, tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("classifier")
    words = tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        pad_token_id=words.pad_token_id,
        id2label={0: "noise", 1: "Clean", 2: "word salad"},
        label2id={"noise": 0, "Clean": 1, "word salad": 2},
    )
    LlamaForSequenceClassification(config).save_pretrained(out)
    words.save_pretrained(out)
    return out


@pytest.mark.parametrize("pads", [True, False])
def test_texts_of_any_length_are_judged_as_alone(folder: Path, pads: bool) -> None:
    model, words = load_classifier(str(folder), "option"), tokenizer()
    words.padding_side = "right"
    if not pads:
        words.pad_token = model.config.pad_token_id = None
    asked = ["the of", " ", *texts("alchemy", 3), "the " * 99]
    label = clean_label(str(folder), "option")
    found = clean_probabilities(model, words, asked, label)
    assert label == 1
    for text, own in zip(asked, found, strict=True):
        if not text.strip():
            assert own == 0
            continue
        ids = torch.tensor([words(text)["input_ids"][:64]])
        with torch.no_grad():
            assert own == pytest.approx(float(model(input_ids=ids).logits.softmax(-1)[0, 1]), rel=1e-4)


def test_a_model_without_that_label_is_refused(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | {"id2label": {"0": "A", "1": "B", "2": "C"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"^option: .* has the labels A, B, C, none of which is 'clean'; name a"):
        clean_label(str(tmp_path), "option")
    with pytest.raises(InputError, match=r"^option: .* cannot be loaded as a classifier"):
        load_classifier(str(tmp_path), "option")
