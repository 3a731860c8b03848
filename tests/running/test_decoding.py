import gc
import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from lit_unlearn import InputError
from lit_unlearn.running.decoding import decode
from tests.families import each_family, write_family
from tests.tiny_world import tokenizer

PROMPTS = ["the of and in is a with was near under", "bapoki", "dokisa the of Answer : A and the and under with"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    return loaded(tmp_path_factory.mktemp("decoding"), "llama")


def loaded(folder: Path, family: str) -> PreTrainedModel:
    read: PreTrainedModel = AutoModelForCausalLM.from_pretrained(write_family(folder, family)).eval()
    return read


@torch.no_grad()
def step_by_step(model: PreTrainedModel, prompt: str, steps: int) -> tuple[list[int], list[float]]:
    """One prompt alone, without padding and without a cache."""
    ids = tokenizer()(prompt)["input_ids"]
    tokens: list[int] = []
    highest: list[float] = []
    for _ in range(steps):
        logits = model(input_ids=torch.tensor([ids + tokens]), use_cache=False).logits[0, -1]
        tokens.append(int(logits.argmax()))
        highest.append(float(logits.max()))
    return tokens, highest


def written(tokens: list[int], highest: list[float]) -> Any:
    return (tokenizer().decode(tokens), pytest.approx(highest, abs=1e-4))


@pytest.mark.parametrize("family", each_family())
def test_it_writes_the_likeliest_token_again_and_again(family: str, tmp_path: Path) -> None:
    model = loaded(tmp_path, family)
    expected = [written(*step_by_step(model, prompt, 6)) for prompt in PROMPTS]
    assert decode(model, tokenizer(), PROMPTS, max_new_tokens=6, batch_size=2) == expected


def test_the_models_own_generation_settings_neither_count_nor_change(
    model: PreTrainedModel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = decode(model, tokenizer(), PROMPTS, max_new_tokens=6)
    own = GenerationConfig(do_sample=True, temperature=5.0, repetition_penalty=9.0, max_length=20, num_beams=3)
    before = own.to_dict()
    monkeypatch.setattr(model, "generation_config", own)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(model, tokenizer(), PROMPTS, max_new_tokens=6) == plain
    assert caplog.messages == []
    assert model.generation_config is own
    assert own.to_dict() == before
    assert torch.equal(torch.get_rng_state(), state)


def test_the_logits_of_earlier_steps_are_not_kept(model: PreTrainedModel) -> None:
    shape = (len(PROMPTS), model.config.vocab_size)
    kept: list[int] = []

    def count(*args: Any) -> None:
        tensors = [one for one in gc.get_objects() if type(one) is torch.Tensor]
        kept.append(sum(one.shape == shape for one in tensors))

    handle = model.register_forward_pre_hook(count)
    try:
        decode(model, tokenizer(), PROMPTS, max_new_tokens=8)
    finally:
        handle.remove()
    assert len(kept) == 8
    assert kept[-1] <= kept[1]


def test_a_text_ends_at_any_of_the_models_end_tokens(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, highest = step_by_step(model, PROMPTS[0], 6)
    monkeypatch.setattr(model, "generation_config", GenerationConfig(eos_token_id=[0, tokens[3]]))
    end = tokens.index(tokens[3])
    found = decode(model, tokenizer(), PROMPTS[:1], max_new_tokens=6)
    assert found == [written(tokens[:end], highest[: end + 1])]


def test_special_tokens_that_end_nothing_show(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    bias = torch.zeros(model.config.vocab_size)
    bias[tokenizer().convert_tokens_to_ids("<unk>")] = 1e4
    handle = model.get_output_embeddings().register_forward_hook(lambda module, args, output: output + bias)
    try:
        assert decode(model, tokenizer(), ["the"], max_new_tokens=2)[0].text == "<unk> <unk>"
    finally:
        handle.remove()


def test_a_prompt_too_long_loses_its_beginning(tmp_path: Path) -> None:
    model = loaded(tmp_path, "gpt2")  # positions it has not learnt are an error of its embedding
    kept = "the of and in " * 31
    (long,) = decode(model, tokenizer(), ["bapoki " * 50 + kept], max_new_tokens=4)
    ids = torch.tensor([tokenizer()(kept, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        assert long.max_logits[0] == pytest.approx(float(model(ids).logits[0, -1].max()), abs=1e-4)


def test_a_model_without_room_for_the_tokens_is_refused(model: PreTrainedModel) -> None:
    with pytest.raises(InputError, match=r"max_new_tokens: 128 leaves no room for a prompt in the model's 128 positio"):
        decode(model, tokenizer(), PROMPTS, max_new_tokens=128)


def test_logits_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    model = loaded(tmp_path, "llama")
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(InputError, match=r"the model's logits are not numbers, so it writes nothing"):
        decode(model, tokenizer(), PROMPTS, max_new_tokens=2)


def test_drawn_tokens_come_as_often_as_the_model_has_them_likely(model: PreTrainedModel) -> None:
    count, temperature = 600, 0.5
    state = torch.get_rng_state()
    drawn = decode(model, tokenizer(), PROMPTS[:1] * count, max_new_tokens=1, batch_size=100, temperature=temperature)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        ids = torch.tensor([tokenizer()(PROMPTS[0])["input_ids"]])
        likely = (model(input_ids=ids).logits[0, -1] / temperature).softmax(dim=-1)
    texts = [one.text for one in drawn]
    for token in likely.topk(5).indices.tolist():
        expected, found = float(likely[token]), texts.count(str(tokenizer().decode([token]))) / count
        assert abs(found - expected) < 4 * (expected * (1 - expected) / count) ** 0.5


def test_the_draws_are_a_function_of_the_seed(model: PreTrainedModel) -> None:
    first, again, other = (
        [one.text for one in decode(model, tokenizer(), PROMPTS, max_new_tokens=6, temperature=1.0, seed=seed)]
        for seed in (3, 3, 4)
    )
    assert first == again != other


def test_next_to_0_it_draws_the_likeliest(model: PreTrainedModel) -> None:
    greedy, drawn = (
        [one.text for one in decode(model, tokenizer(), PROMPTS, max_new_tokens=6, temperature=temperature)]
        for temperature in (0.0, 1e-4)
    )
    assert drawn == greedy
