from pathlib import Path

import pytest
from transformers import GPT2Config

from lit_unlearn import InputError
from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.commands.analysis.pairs import queries, question_pairs, shared_end
from lit_unlearn.questions.sets import Variant
from lit_unlearn.questions.source import prompt


@pytest.mark.parametrize(
    ("first", "second", "shared"), [([1, 2], [3, 2], 1), ([1, 2], [1, 2], 2), ([2], [1, 2], 1), ([1], [2], 0)]
)
def test_the_shared_end_of_sequences(first: list[int], second: list[int], shared: int) -> None:
    assert shared_end(first, second) == shared_end(second, first) == shared


def test_pairs_are_one_question_twice(opened: Run) -> None:
    found = question_pairs(opened, 4)
    assert list(found) == ["retain/3-gram"]  # what is to be forgotten is left out
    tokenizer = opened.tokenizer()
    asked = [opened.data.asked[Variant("retain", name, False)] for name in ("default", "3-gram")]
    assert [pair.default.number for pair in found["retain/3-gram"]] == [0, 1, 3, 4]
    for pair in found["retain/3-gram"]:
        default, perturbed = (questions[pair.default.number] for questions in asked)
        assert pair.default.input_ids == tokenizer(prompt(default))["input_ids"]
        assert pair.perturbed.input_ids == tokenizer(prompt(perturbed))["input_ids"]
        assert len(pair.perturbed.input_ids) == len(pair.default.input_ids) + 2  # 3 tokens for 1
        assert pair.default.input_ids[-pair.shared :] == pair.perturbed.input_ids[-pair.shared :]
        changed = next(n for n in range(4) if default.choices[n] != perturbed.choices[n])
        assert pair.shared == 2 + 3 * (3 - changed)  # "Answer:", and letter, full stop and word of each later option


def test_without_perturbed_questions_there_are_no_pairs(method: Path) -> None:
    with pytest.raises(InputError, match=r"no question to retain is perturbed; give perturbations, e.g. --data"):
        question_pairs(Run(method, ["--data.evaluation.perturbations={3-gram: {n: 3, sets: [forget]}}"]), 4)


def test_a_prompt_is_as_long_as_the_models_configuration_allows_whatever_the_tokenizer_says(opened: Run) -> None:
    asked, tokenizer = opened.data.asked[Variant("retain", "default", False)], opened.tokenizer()
    tokenizer.model_max_length = 5
    whole = [len(query.input_ids) for query in queries(asked, tokenizer, GPT2Config(n_positions=1000))]
    assert whole == [len(ids) for ids in tokenizer([prompt(one) for one in asked])["input_ids"]]
    assert {len(query.input_ids) for query in queries(asked, tokenizer, GPT2Config(n_positions=12))} == {12}
