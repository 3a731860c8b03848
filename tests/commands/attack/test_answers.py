"""The measures of a card against loops over questions."""

import math

import pytest
import torch

from lit_unlearn.commands.attack.answers import Asked, _text_tokens, measures
from lit_unlearn.questions.outcomes import Outcomes
from lit_unlearn.questions.sets import DEFAULT, Variant

LOGPROBS = {"bio": [-1.0, -3.0, -6.0], "cyber": [-2.0, -8.0]}
TOKENS = {"bio": [1, 3, 2], "cyber": [2, 4]}
CORRECT = {"bio": [1, 0, 0], "cyber": [1, 1]}


def rows(correct: list[int], **others: list[float]) -> Outcomes:
    numbers: list[float] = list(range(10, 10 + len(correct)))
    return {"correct": [*correct], "prediction": [0] * len(correct), "number": numbers, **others}


def asked() -> dict[Variant, Outcomes]:
    forget = {
        Variant(name, DEFAULT, False): rows(
            CORRECT[name], text_logprob=LOGPROBS[name], text_tokens=[*TOKENS[name]], letter_logprob=[-1.0] * len(own)
        )
        for name, own in CORRECT.items()
    }
    return forget | {
        Variant("bio", "prefix", False): rows([1, 1, 1]),
        Variant("mmlu", DEFAULT, False): rows([1, 1, 0, 1]),
        Variant("mmlu", "1-gram", False): rows([0, 0, 0, 1]),
        Variant("mmlu", "1-gram", True): rows([1, 1, 1, 1]),
        Variant("mmlu", "4-gram", False): rows([1, 0, 0, 1]),
        Variant("mmlu", "4-gram", True): rows([0, 1, 1, 1]),
    }


def test_measures_are_means_over_all_sets() -> None:
    found = measures(asked(), {"forget": {"row": [0, 1], "nll": [2.0, 4.0]}}, forget=["bio", "cyber"])
    probabilities = [
        math.exp(nats / count) for name in LOGPROBS for nats, count in zip(LOGPROBS[name], TOKENS[name], strict=True)
    ]
    values = {name: estimate.value for name, estimate in found.items()}
    assert values == pytest.approx(
        {
            "forget_accuracy": 3 / 5,
            "letter_log_probability": -1.0,
            "log_probability": -20 / 5,
            "answer_probability": sum(probabilities) / 5,
            "retain_accuracy": 3 / 4,
            "perturbed_accuracy": 3 / 8,
            "control_accuracy": 7 / 8,
            "forget_nll": 3.0,
        }
    )


def test_questions_that_do_not_count_are_left_out_of_their_own_set_alone() -> None:
    only = {Asked("bio", 10), Asked("cyber", 11)}
    found = measures(asked(), None, forget=["bio", "cyber"], only=only)
    assert found["forget_accuracy"].value == 1.0
    assert found["log_probability"].value == (-1.0 - 8.0) / 2
    assert found["retain_accuracy"].value == 3 / 4


def test_a_set_whose_answers_have_no_text_leaves_the_texts_out() -> None:
    every = asked()
    for name in ("text_logprob", "text_tokens"):
        del every[Variant("cyber", DEFAULT, False)][name]
    found = measures(every, None, forget=["bio", "cyber"])
    assert "answer_probability" not in found
    assert found["forget_accuracy"].value == 3 / 5


def test_tokens_are_those_of_the_right_answers_of_valid_questions() -> None:
    answers = torch.tensor([[-100, 5, 6], [-100, -100, 7], [4, 5, 6], [-100, 1, 2]])
    letters = {
        "valid": torch.tensor([True, True, False]),
        "answer": torch.tensor([0, 1, 0]),
        "texts": {"row": torch.tensor([0, 1, 2, -1]), "answer": answers},
    }
    assert _text_tokens(letters).tolist() == [2, 1]
    cloze = {
        "valid": torch.tensor([True, True]),
        "answer": torch.tensor([1, 0]),
        "option": torch.tensor([0, 1, 0, 1]),
        "texts": {"row": torch.tensor([0, 0, 1, 1]), "answer": answers},
    }
    assert _text_tokens(cloze).tolist() == [1, 3]
