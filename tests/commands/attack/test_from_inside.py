"""Attacks from inside: numbers computed another way, hooks gone afterwards, the same for any batch size."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from lit_unlearn import InputError
from lit_unlearn.commands.attack.ablated_direction import AblatedDirection
from lit_unlearn.commands.attack.contract import Outcome
from lit_unlearn.commands.attack.linear_probe import LinearProbe
from lit_unlearn.commands.attack.logit_lens import LogitLens
from lit_unlearn.commands.attack.soft_prefix import SoftPrefix
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.commands.attack.unlearning_depth import UnlearningDepth
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.source import ModelSource
from lit_unlearn.questions.batches import encode
from lit_unlearn.questions.last_states import last_states
from lit_unlearn.questions.soft_prefix import Placeholders, apart, learn_prefix
from lit_unlearn.running.state_patching import Decoder
from tests.commands.attack.asking import hooks, plain_accuracy, write_target

LAYER = 2


@pytest.fixture(scope="module")
def target(world: Path, attacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Target:
    return write_target(world, tmp_path_factory.mktemp("target"), attacked / "export")


@torch.no_grad()
def states(model: PreTrainedModel, ids: list[int], layer: int) -> Tensor:
    """After a layer below the last, `[seq, dim]`, as transformers gives them."""
    return cast(Tensor, model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[layer + 1][0])


def test_the_ablated_model_is_the_model_with_the_mean_displacement_taken_out(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = target.load()
    with monkeypatch.context() as patch:
        patch.setattr(target, "load", lambda: model)
        one, other = ([*AblatedDirection((LAYER,), rows=8, batch_size=size).attempt(target, {}, 0)] for size in (8, 3))
    for name, found in one[0].measures.items():
        assert other[0].measures[name] == pytest.approx(found, rel=1e-4), name
    assert (one[0].settings, one[0].further) == ({"layer": LAYER}, {"directions": 1})
    assert hooks(model) == 0
    base, rows = target.load_base(), target.data.trained_rows("forget")["alchemy"][:8]["input_ids"]
    moved = torch.cat([(states(model, ids, LAYER) - states(base, ids, LAYER))[1:] for ids in rows]).mean(dim=0)
    direction = moved / moved.norm()

    def take_out(module: Any, args: Any, output: Any) -> Any:
        hidden = output if isinstance(output, Tensor) else output[0]
        hidden = hidden - (hidden @ direction)[..., None] * direction
        return hidden if isinstance(output, Tensor) else (hidden, *output[1:])

    for layer in decoder_layers(model)[LAYER:]:
        layer.register_forward_hook(take_out)
    for name, asked in target.sets.items():
        expected = plain_accuracy(model, target.tokenizer, asked)
        assert one[0].measures[f"{name}_accuracy"].value == pytest.approx(expected)


@pytest.mark.slow
def test_states_at_the_last_position_are_those_of_single_prompts_for_any_batch_size(target: Target) -> None:
    model, queries = target.load(), encode(target.sets["forget"], target.tokenizer)
    decoder = Decoder(model, decoder_layers(model))
    found = [last_states(decoder, queries, batch_size=size) for size in (16, 3)]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
    assert hooks(model) == 0
    for layer in range(len(decoder.layers) - 1):
        expected = torch.stack([states(model, query.input_ids, layer)[-1] for query in queries])
        torch.testing.assert_close(found[0][layer], expected, rtol=1e-4, atol=1e-4)


def test_a_probe_has_numbers_of_both_sides_by_layer_whatever_runs_together(target: Target) -> None:
    (one,), (other,) = (LinearProbe(folds=4, batch_size=size).attempt(target, {}, 0) for size in (16, 5))
    assert one == other
    assert 0 <= one.measures["forget_accuracy"].value <= 1
    assert {name for name in one.further if name.startswith("retain")} == {
        f"retain_accuracy_layer_{layer}" for layer in range(10)
    }


def test_a_probe_of_too_few_questions_is_refused_before_anything_is_run(target: Target) -> None:
    LinearProbe(8, folds=8).check(target)
    with pytest.raises(InputError, match=r"LinearProbe: 8 questions of 1 sets to forget .* 9 folds need 9; raise"):
        LinearProbe(8, folds=9).check(target)


def test_the_logit_lens_ends_with_the_model_itself(target: Target) -> None:
    one, other = ([*LogitLens(batch_size=size).attempt(target, {}, 0)] for size in (16, 5))
    assert one == other
    assert [outcome.settings["layer"] for outcome in one] == [*range(10)]
    for name, asked in target.sets.items():
        expected = plain_accuracy(target.load(), target.tokenizer, asked)
        assert one[-1].measures[f"{name}_accuracy"].value == pytest.approx(expected)


@pytest.mark.slow
def test_a_soft_prefix_is_judged_on_questions_it_was_not_trained_on(target: Target) -> None:
    attack = SoftPrefix(3, steps=4, batch_size=5)
    (outcome,) = attack.attempt(target, {}, 1)
    train, judge = apart(target.sets["forget"], 0.5, seed=1)
    model, asked = target.load(), [one for found in target.sets.values() for one in found]
    placeholders = Placeholders(target.tokenizer, 3, encode(asked, target.tokenizer, texts=True))
    queries = [placeholders(query) for query in encode(train, target.tokenizer)]
    vectors = learn_prefix(model, queries, placeholders, attack.budget, seed=1)
    assert outcome.further["alone_accuracy"] == pytest.approx(plain_accuracy(model, target.tokenizer, judge))
    parts = {"forget": judge, "retain": target.sets["retain"], "trained": train}
    with placeholders.given(model, vectors):
        expected = {
            name: plain_accuracy(
                model,
                target.tokenizer,
                questions,
                change=lambda ids: [ids[0], *[placeholders.token] * 3, *ids[1:]],
            )
            for name, questions in parts.items()
        }
    assert outcome.measures["forget_accuracy"].value == pytest.approx(expected["forget"])
    assert outcome.measures["retain_accuracy"].value == pytest.approx(expected["retain"])
    assert outcome.further["trained_accuracy"] == pytest.approx(expected["trained"])
    assert hooks(model) == 0
    assert attack.cost({}).trained_rows == 20


def depth_of(target: Target, model: str, reference: str, **options: int) -> Outcome:
    own = Target(ModelSource(model), target.base, target._given, forget=target.forget, trainer=target._trainer)
    own.__dict__["data"] = target.data
    (outcome,) = UnlearningDepth(reference, **options).attempt(own, {}, 0)
    return outcome


@pytest.mark.slow
def test_depth_is_0_for_the_base_and_1_for_the_reference_itself(target: Target, world: Path, attacked: Path) -> None:
    base, reference = str(world / "model"), str(attacked / "export")
    found = [depth_of(target, reference, reference, rows=4, max_tokens=size) for size in (4096, 40)]
    assert found[0].further["depth"] == pytest.approx(1.0)
    for name, value in found[0].further.items():
        assert found[1].further[name] == pytest.approx(value, rel=1e-3, abs=1e-4), name
    assert depth_of(target, base, reference, rows=4).further["depth"] == pytest.approx(0.0, abs=1e-4)
    assert found[0].measures == {}
    assert found[0].further["rows"] == 4 - (found[0].further["left_out"] or 0)


def test_options_are_checked_at_once(target: Target) -> None:
    for make, error in (
        (lambda: AblatedDirection(()), "layers: .* must be indices from 0"),
        (lambda: AblatedDirection(rows=0), r"AblatedDirection\.rows: must be at least 1, got 0"),
        (lambda: LinearProbe(2), r"LinearProbe\.questions: must be at least 8, got 2"),
        (lambda: LogitLens(0), r"LogitLens\.questions: must be at least 1, got 0"),
        (lambda: SoftPrefix(0), "vectors: must be at least 1, got 0"),
        (lambda: SoftPrefix(share=1.0), "share: 1 must be between 0 and 1"),
        (lambda: UnlearningDepth("x", rows=1), r"UnlearningDepth\.rows: must be at least 2, got 1"),
    ):
        with pytest.raises(InputError, match=error):
            make()


def test_what_the_model_cannot_give_is_refused_before_it_is_loaded(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "_load", lambda source: pytest.fail("loaded"))
    narrow = tmp_path / "narrow"
    narrow.mkdir()
    (narrow / "config.json").write_text(
        '{"model_type": "llama", "num_hidden_layers": 3, "hidden_size": 8, "num_attention_heads": 2}'
    )
    for attack, error in (
        (AblatedDirection((10,)), "10 is beyond the model's last layer, 9"),
        (UnlearningDepth(str(narrow)), "narrow has 3 layers of 8, the model before unlearning 10 of"),
    ):
        with pytest.raises(InputError, match=error):
            attack.check(target)
        with pytest.raises(InputError, match=error):
            list(attack.attempt(target, {}, 0))
    one = [replace(question, choices=("a", "b"), answer=0) for question in target.sets["forget"]]
    monkeypatch.setattr(Target, "sets", {"forget": one})
    with pytest.raises(InputError, match="leaves none to train on or none to judge by"):
        SoftPrefix().check(target)
