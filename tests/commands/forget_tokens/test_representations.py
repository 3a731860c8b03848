from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from lit_unlearn.commands.forget_tokens.representations import Representations
from lit_unlearn.models import loading
from lit_unlearn.models.source import ModelSource
from tests.tiny_world import tokenizer

ROWS = [[1, 5, 6, 7, 8, 9, 10], [1, 11, 12], [1, 13]]


@pytest.fixture(scope="module")
def represent(world: Path) -> Representations:
    return Representations(loading.load_model(ModelSource(str(world / "model")), torch.float32), tokenizer(), 3)


def test_a_row_is_the_mean_of_its_tokens_states_without_the_first(world: Path, represent: Representations) -> None:
    plain = AutoModelForCausalLM.from_pretrained(world / "model").eval()
    for ids, found in zip(ROWS, represent.of_rows(ROWS), strict=True):
        with torch.no_grad():
            states = plain(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[4][0]
        torch.testing.assert_close(found, states[1:].mean(dim=0), atol=1e-5, rtol=1e-5)


def test_rows_do_not_depend_on_their_batch(represent: Representations) -> None:
    together = represent.of_rows(ROWS)
    alone = torch.cat([represent.of_rows([ids]) for ids in ROWS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_an_n_gram_alone_begins_as_every_text_does(represent: Representations) -> None:
    torch.testing.assert_close(represent.alone([[11, 12]]), represent.of_rows([[1, 11, 12]]))
    assert not torch.allclose(represent.alone([[11, 12]]), represent.of_rows([[11, 12]]))


def test_layers_above_never_run(world: Path, represent: Representations) -> None:
    with torch.no_grad():
        for layer in represent.layers[4:]:
            for parameter in layer.parameters():
                parameter.fill_(torch.nan)
    assert represent.of_rows(ROWS).isfinite().all()
