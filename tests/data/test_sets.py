import json
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn import InputError
from lit_unlearn.data.questions import QuestionSource
from lit_unlearn.data.sets import DEFAULT, EvaluationSource, PerturbationSource, Variant, query_loaders, variants
from tests.tiny_world import texts, tokenizer

OPTIONS = ["the", "of", "and", "in"]


def write_questions(path: Path, count: int = 6) -> QuestionSource:
    """Questions whose options are words of the demo's vocabulary."""
    records = [
        {"question": f"which {'word ' * index}?", "choices": OPTIONS, "answer": index % 4, "subject": "words"}
        for index in range(count)
    ]
    path.write_text("\n".join(map(json.dumps, records)) + "\n", encoding="utf-8")
    return QuestionSource(str(path))


def asked(tmp_path: Path, **perturbations: PerturbationSource) -> dict[Variant, Any]:
    sets = {name: write_questions(tmp_path / f"{name}.jsonl") for name in ("forget", "retain")}
    return variants(
        EvaluationSource(sets, perturbations),
        forget=texts("alchemy", 20),
        retain=texts("gardening", 20),
        tokenizer=tokenizer(),
    )


def test_every_perturbation_comes_with_its_control(tmp_path: Path) -> None:
    found = list(map(str, asked(tmp_path, one=PerturbationSource(n=1), covid=PerturbationSource(["SARS"]))))
    assert found == [
        *("forget", "forget/one", "forget/one/control", "forget/covid", "forget/covid/control"),
        *("retain", "retain/one", "retain/one/control", "retain/covid", "retain/covid/control"),
    ]


def test_only_the_named_sets_are_perturbed(tmp_path: Path) -> None:
    found = list(map(str, asked(tmp_path, one=PerturbationSource(n=1, sets=["retain"]))))
    assert found == ["forget", "retain", "retain/one", "retain/one/control"]


def test_perturbed_and_control_replace_the_same_wrong_option_by_equally_many_tokens(tmp_path: Path) -> None:
    found = asked(tmp_path, four=PerturbationSource(n=4, sets=["retain"]))
    rows = [
        found[Variant("retain", name, control)] for name, control in ((DEFAULT, False), ("four", False), ("four", True))
    ]
    for clean, perturbed, control in zip(*rows, strict=True):
        changed = [
            [index for index in range(4) if other.choices[index] != clean.choices[index]]
            for other in (perturbed, control)
        ]
        assert changed[0] == changed[1] != [clean.answer]
        (index,) = changed[0]
        lengths = {len(tokenizer().tokenize(other.choices[index])) for other in (perturbed, control)}
        assert lengths == {4}
        assert perturbed.answer == control.answer == clean.answer


def test_each_variant_has_a_loader_with_all_its_questions(tmp_path: Path) -> None:
    found = asked(tmp_path, one=PerturbationSource(n=1))
    loaders = query_loaders(found, tokenizer(), max_tokens=64)
    assert len(loaders) == len(found)
    for loader in loaders:
        assert sorted(int(number) for batch in loader for number in batch["number"]) == list(range(6))


@pytest.mark.parametrize("options", [{}, {"texts": ["a"], "n": 1}])
def test_a_perturbation_is_of_one_kind(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="give each either `texts` or `n`"):
        PerturbationSource(**options)


def test_names_that_do_not_fit_are_refused() -> None:
    questions = {"retain": QuestionSource("x.jsonl")}
    with pytest.raises(
        InputError, match=r"perturbations.one.sets: there is no question set 'retian'; choose from retain"
    ):
        EvaluationSource(questions, {"one": PerturbationSource(n=1, sets=["retian"])})
    with pytest.raises(InputError, match="'default' names the unperturbed questions"):
        EvaluationSource(questions, {"default": PerturbationSource(n=1)})
