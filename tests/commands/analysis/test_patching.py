"""Patching of the demo model and of one whose layers 0 to 2 are damaged, in queries with texts in a wrong option."""

import copy

import pytest
import torch
from torch import Tensor

from lit_unlearn.commands.analysis.insertion import Marked, spans
from lit_unlearn.commands.analysis.pairs import queries
from lit_unlearn.commands.analysis.patching import DISTANCES, POSITIONS, Decoder, Patched, ask, masks, patch
from lit_unlearn.demo.knowledge import invent
from lit_unlearn.demo.questions import draw
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.loading import load_config, load_model
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.questions.places import Option
from lit_unlearn.questions.source import Question

LAYER = 2
TEXTS = ("Thovo is story", "the")
Forms = dict[str, list[Marked]]


@pytest.fixture(scope="module")
def models() -> tuple[Decoder, Decoder]:
    """The base and the damaged model."""
    base = load_model(ModelSource("demo"), torch.float32)
    other = copy.deepcopy(base)
    source = torch.Generator().manual_seed(0)
    for parameter in decoder_layers(other)[: LAYER + 1].parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=source) * (parameter.ndim == 2)
    return Decoder(base, decoder_layers(base)), Decoder(other, decoder_layers(other))


@pytest.fixture(scope="module")
def marked() -> Forms:
    """Twelve questions, by the text that stands in a wrong option's place."""
    source, knowledge = ModelSource("demo"), invent()
    tokenizer, config = load_tokenizer(source), load_config(source)
    questions = [
        Question(one["question"], (a, b, c, d), one["answer"], one["subject"], number)
        for number, one in enumerate(draw(knowledge, knowledge.retain, 12, seed=3))
        for a, b, c, d in [one["choices"]]
    ]
    out = {}
    for text in TEXTS:
        changed = [Option().put(question, [text], seed=1) for question in questions]
        places = [spans(question, Option(), [text], tokenizer, seed=1) for question in questions]
        out[text] = [Marked(*one) for one in zip(queries(changed, tokenizer, config), places, strict=True)]
    return out


@pytest.fixture(scope="module")
def found(models: tuple[Decoder, Decoder], marked: Forms) -> dict[str, Patched]:
    return {text: patch(*models, marked[text], layer=LAYER, batch_size=5, text="") for text in TEXTS}


@torch.inference_mode()
def states(model: Decoder, ids: list[int]) -> Tensor:
    hidden: Tensor = model.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[LAYER + 1][0]
    return hidden


@torch.inference_mode()
def answered(model: Decoder, ids: list[int], hidden: Tensor) -> Tensor:
    """The last logits of a model above a layer, from given states."""
    handle = model.layers[LAYER].register_forward_hook(lambda module, args, output: hidden[None])
    logits: Tensor = model.model(input_ids=torch.tensor([ids])).logits[0, -1]
    handle.remove()
    return logits


def written_out(one: Marked) -> dict[str, list[int]]:
    """The places of each of POSITIONS, one query at a time."""
    length = len(one.query.input_ids)
    inserted = [length + at for span in one.spans for at in span]
    first = length + one.spans[0].start
    every = range(length)
    return {
        "none": [],
        "inserted": inserted,
        "before": list(range(first)),
        "after": [at for at in every if at >= first and at not in inserted],
        "last": [length - 1],
        "all but inserted": [at for at in every if at not in inserted],
        "all": list(every),
    }


@pytest.mark.parametrize("text", TEXTS)
def test_answers_and_distances_are_those_of_one_query_at_a_time(
    text: str, models: tuple[Decoder, Decoder], marked: Forms, found: dict[str, Patched]
) -> None:
    for column, one in enumerate(marked[text]):
        ids, letters = one.query.input_ids, one.query.choices
        theirs, own = (states(model, ids) for model in models)
        assert found[text].norm[column] == pytest.approx(float(theirs[1:].norm(dim=-1).mean()), rel=1e-5)
        distance = (own - theirs).norm(dim=-1)
        for row, (name, places) in enumerate(written_out(one).items()):
            assert name == POSITIONS[row]
            mixed = own.clone()
            mixed[places] = theirs[places]
            logits = answered(models[1], ids, mixed)[letters]
            assert found[text].correct[row, column] == (int(logits.argmax()) == one.query.answer)
            expected = float(distance[[at for at in places if at > 0]].mean())
            assert float(found[text].distance[row, column]) == pytest.approx(expected, rel=1e-4, nan_ok=True)
        end = len(ids) + one.spans[-1].stop - 1
        for row, at in enumerate(DISTANCES):
            expected = float(distance[end + at]) if 0 < end + at < len(ids) else torch.nan
            assert float(found[text].profile[row, column]) == pytest.approx(expected, rel=1e-4, nan_ok=True)


def test_answers_depend_on_where_states_are_replaced(found: dict[str, Patched]) -> None:
    shares = dict(zip(POSITIONS, found[TEXTS[0]].correct.double().mean(dim=1).tolist(), strict=True))
    assert shares["none"] < 0.5 < shares["after"] < shares["all"] == 1.0


def test_patched_nowhere_it_is_the_unlearned_model_and_everywhere_the_base(
    models: tuple[Decoder, Decoder], marked: Forms, found: dict[str, Patched]
) -> None:
    answers = [
        torch.cat([ask(one.model, marked[text], batch_size=3, text="") for text in TEXTS]).tolist() for one in models
    ]
    assert answers[0] != answers[1]
    for position, expected in (("all", answers[0]), ("none", answers[1])):
        assert torch.cat([found[text].correct[POSITIONS.index(position)] for text in TEXTS]).tolist() == expected


def test_a_text_changes_nothing_before_it(found: dict[str, Patched]) -> None:
    before, after = (
        [found[text].distance[POSITIONS.index(position)] for text in TEXTS] for position in ("before", "after")
    )
    torch.testing.assert_close(*before, rtol=1e-5, atol=1e-6)
    assert (after[0] - after[1]).abs().min() > 1e-3


def test_batches_do_not_matter(models: tuple[Decoder, Decoder], marked: Forms, found: dict[str, Patched]) -> None:
    again = patch(*models, list(reversed(marked[TEXTS[0]])), layer=LAYER, batch_size=1, text="")
    for one, other in zip(found[TEXTS[0]], again, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_positions_of_padded_rows_with_several_texts_make_up_the_row() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1], [1] * 8])
    where = dict(zip(POSITIONS, masks(mask, [[range(-5, -4), range(-2, -1)], [range(-12, -7)]]), strict=True))
    assert where["inserted"].int().tolist() == [[0, 0, 0, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0, 0, 0]]
    assert where["before"].int().tolist() == [[0, 0, 1, 0, 0, 0, 0, 0], [0] * 8]  # the second query lost its beginning
    parts = [where[name].int() for name in ("before", "inserted", "after")]
    assert torch.stack(parts).sum(dim=0).equal(mask)
    assert where["all"].int().equal(mask)
    assert where["all but inserted"].int().equal(mask - parts[1])
