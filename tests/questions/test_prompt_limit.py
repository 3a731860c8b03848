"""The limit is the harness' own, and what is cut by it is counted, said and refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers

from lit_unlearn import InputError, PerturbationRobustness, QuestionModule
from lit_unlearn.questions import outcomes
from lit_unlearn.questions.batches import encode
from lit_unlearn.questions.prompt_limit import Cut, cut_prompts, longest_prompt
from lit_unlearn.questions.sets import DEFAULT, EvaluationSource, Variant
from tests.asking import QUESTIONS, harness, random_model, word_level
from tests.questions.test_sets import write_questions
from tests.training import demo_data, quiet_trainer

SMALL = 16


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("tokens", [None, SMALL, 4096])
def test_the_limit_is_the_harness_own(family: str, tokens: int | None) -> None:
    model, tokenizer = random_model(family), word_level()
    if tokens is not None:
        tokenizer.model_max_length = tokens
    limit = longest_prompt(model.config, tokenizer)
    assert limit == harness(model, tokenizer).max_length
    assert limit == 128


@pytest.mark.parametrize(("tokens", "expected"), [(None, 2048), (SMALL, SMALL), (4096, 4096)])
def test_without_a_configured_limit_it_is_the_tokenizers_as_in_the_harness(tokens: int | None, expected: int) -> None:
    model, tokenizer = random_model("llama"), word_level()
    object.__setattr__(model.config, "max_position_embeddings", None)
    if tokens is not None:
        tokenizer.model_max_length = tokens
    assert longest_prompt(model.config, tokenizer) == expected == harness(model, tokenizer).max_length


def test_the_limit_of_a_multimodal_model_is_that_of_its_text_model() -> None:
    config = transformers.Gemma3Config(text_config={"max_position_embeddings": 512})
    assert longest_prompt(config, word_level()) == 512


def test_up_to_one_percent_of_a_set_may_be_cut_without_being_asked_for() -> None:
    whole = encode(QUESTIONS[:1], word_level(), max_length=999)[0]
    queries = {"some": [whole] * 99 + [whole._replace(cut=True)], "none": [whole]}
    assert cut_prompts(queries, 9, allowed=False) == {"some": Cut(1, 0.01), "none": Cut(0, 0.0)}
    queries["some"][0] = whole._replace(cut=True)
    with pytest.raises(InputError, match=r"^data\.evaluation: 2 of 100 prompts of some are longer than .* 9 tokens"):
        cut_prompts(queries, 9, allowed=False)
    assert cut_prompts(queries, 9, allowed=True)["some"] == Cut(2, 0.02)


def test_the_table_says_how_many_prompts_are_cut() -> None:
    asked = {Variant("forget", DEFAULT, False): {"correct": [1, 0], "prediction": [0, 1], "number": [0, 1]}}
    row, *_ = outcomes.measure(asked, {"forget": Cut(1, 0.5)}).values()
    assert (row["cut"], row["cut_share"]) == (1, 0.5)
    head, line = outcomes.accuracy_table(outcomes.measure(asked, {"forget": Cut(1, 0.5)})).splitlines()
    assert head.endswith("cut prompts")
    assert line.endswith("1 (50.0 %)")


def limited(world: Path, folder: Path, *, positions: int = 0, tokens: int = 0) -> Path:
    """A copy of the demo's model whose configuration or tokenizer has another limit."""
    copy = shutil.copytree(world / "model", folder / "model")
    for file, name, value in (
        ("config.json", "max_position_embeddings", positions),
        ("tokenizer_config.json", "model_max_length", tokens),
    ):
        written = json.loads((copy / file).read_text(encoding="utf-8"))
        (copy / file).write_text(json.dumps(written | ({name: value} if value else {})), encoding="utf-8")
    return copy


def evaluate(world: Path, folder: Path, model: Path, **options: Any) -> dict[str, Any]:
    """What `results.json` has of a set whose prompts are all longer than SMALL."""
    asked = EvaluationSource({"some": write_questions(folder / "some.jsonl")}, **options)
    trainer = quiet_trainer(folder / "run", callbacks=[PerturbationRobustness(forget=[])])
    trainer.validate(QuestionModule(str(model)), demo_data(world, evaluation=asked), verbose=False)
    results = json.loads((folder / "run" / "results.json").read_text(encoding="utf-8"))
    measured: dict[str, Any] = results["evaluations"][0]["measured"]["some"]
    return measured


def test_a_small_limit_of_the_tokenizer_cuts_nothing_where_the_model_has_a_larger_one(
    world: Path, tmp_path: Path
) -> None:
    measured = evaluate(world, tmp_path, limited(world, tmp_path, tokens=SMALL))
    assert (measured["cut"], measured["cut_share"]) == (0, 0.0)


def test_prompts_beyond_the_models_positions_are_refused_before_it_is_loaded(world: Path, tmp_path: Path) -> None:
    model = limited(world, tmp_path, positions=SMALL)
    (model / "model.safetensors").unlink()
    expected = r"^data\.evaluation: 6 of 6 prompts of some are longer than the model's limit of 16 tokens and would "
    with pytest.raises(InputError, match=expected + r".* set data\.evaluation\.allow_cut_prompts to true$"):
        evaluate(world, tmp_path, model)


def test_cut_prompts_that_are_allowed_are_counted_and_said(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = evaluate(world, tmp_path, limited(world, tmp_path, positions=SMALL), allow_cut_prompts=True)
    assert (measured["cut"], measured["cut_share"]) == (6, 1.0)
    assert "6 (100.0 %)" in capsys.readouterr().out
