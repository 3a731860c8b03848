import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn import InputError
from lit_unlearn.data.fingerprints import tokenizer_fingerprint
from lit_unlearn.questions.batches import Query
from lit_unlearn.questions.cloze import Cloze
from lit_unlearn.questions.sets import (
    DEFAULT,
    EvaluationSource,
    PerturbationSource,
    Variant,
    asked_together,
    encoded,
    query_loaders,
    variants,
)
from lit_unlearn.questions.source import QuestionSource, prompt
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


def test_a_cloze_set_is_perturbed_in_stem_or_prefix_alone(tmp_path: Path) -> None:
    sets = {name: write_questions(tmp_path / f"{name}.jsonl") for name in ("forget", "retain")}
    sets["retain"] = replace(sets["retain"], format="cloze")
    one = PerturbationSource(n=1)
    match = r"perturbations\.one\.position: 'option' cannot perturb 'retain', a cloze set: .* take stem or prefix, or"
    with pytest.raises(InputError, match=match):
        EvaluationSource(sets, {"one": one})
    EvaluationSource(sets, {"one": replace(one, sets=["forget"])})
    evaluation = EvaluationSource(sets, {"one": replace(one, position="stem"), "two": replace(one, position="prefix")})
    found = variants(evaluation, forget=texts("alchemy", 20), retain=texts("gardening", 20), tokenizer=tokenizer())
    queries = encoded(found, tokenizer(), max_length=99, cloze=evaluation.cloze)
    kinds = {variant.questions: {type(query) for query in own} for variant, own in queries.items()}
    assert kinds == {"forget": {Query}, "retain": {Cloze}}
    for label in ("one", "two"):
        perturbed = queries[Variant("retain", label, False)]
        assert isinstance(perturbed[0], Cloze)
        clean = queries[Variant("retain", DEFAULT, False)][0]
        assert isinstance(clean, Cloze)
        assert [option.answer for option in perturbed[0].options] == [option.answer for option in clean.options]
        both = zip(perturbed[0].options, clean.options, strict=True)
        assert {len(option.input_ids) - len(before.input_ids) for option, before in both} == {1}
    loaders = query_loaders(queries, max_tokens=64)
    variants_asked = [sorted({v for batch in loader for v in batch["variant"].tolist()}) for loader in loaders]
    assert variants_asked == [[0, 1, 2, 3, 4]] * 2


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


def test_each_set_has_a_loader_with_all_its_questions_in_all_variants(tmp_path: Path) -> None:
    found = asked(tmp_path, one=PerturbationSource(n=1))
    loaders, together = query_loaders(encoded(found, tokenizer(), max_length=99), max_tokens=64), asked_together(found)
    assert len(loaders) == len(together) == 2
    assert [variant for names in together for variant in names] == list(found)
    for loader, names in zip(loaders, together, strict=True):
        rows = [
            row for batch in loader for row in zip(batch["variant"].tolist(), batch["number"].tolist(), strict=True)
        ]
        assert sorted(rows) == [(variant, number) for variant in range(len(names)) for number in range(6)]


@pytest.mark.parametrize("position", ["option", "stem", "prefix"])
@pytest.mark.parametrize("n", [2, "sentence"])
def test_several_texts_go_to_their_position_with_equally_many_tokens_of_control(
    tmp_path: Path, position: Any, n: Any
) -> None:
    found = asked(tmp_path, three=PerturbationSource(n=n, position=position, count=3, sets=["retain"]))
    for perturbed, control in zip(
        found[Variant("retain", "three", False)], found[Variant("retain", "three", True)], strict=True
    ):
        lengths = {len(tokenizer().encode(prompt(question))) for question in (perturbed, control)}
        assert len(lengths) == 1
        assert perturbed != control
        changed = sum(old != new for old, new in zip(OPTIONS, perturbed.choices, strict=True))
        assert changed == (3 if position == "option" else 0)
        assert perturbed.choices[perturbed.answer] == OPTIONS[perturbed.answer]
        assert perturbed.question.count("\n") == (3 if position == "prefix" else 0)


@pytest.mark.parametrize("similarity", ["most", "mean", "least"])
def test_similar_n_grams_come_from_their_file(tmp_path: Path, similarity: Any) -> None:
    classes = {name: [{"text": f"{name} the"}, {"text": f"{name} of"}] for name in ("most", "mean", "least")}
    file = tmp_path / "forget_tokens.json"
    found = {"model": "tiny", "tokenizer": tokenizer_fingerprint(tokenizer()), "ngrams": {"2": classes}}
    file.write_text(json.dumps(found), encoding="utf-8")
    perturbed = asked(tmp_path, x=PerturbationSource(n=2, similarity=similarity, file=str(file), sets=["retain"]))
    texts = {text for question in perturbed[Variant("retain", "x", False)] for text in question.choices} - {*OPTIONS}
    assert texts == {f"{similarity} the", f"{similarity} of"}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "give each either `texts` or `n`"),
        ({"texts": ["a"], "n": 1}, "give each either `texts` or `n`"),
        ({"n": 2, "similarity": "most"}, "`similarity` and `file` go together; `lit-unlearn forget-tokens` writes"),
        ({"n": 2, "file": "x.json"}, "`similarity` and `file` go together"),
        ({"n": "sentence", "file": "x.json", "similarity": "most"}, "set `n`, e.g. to 4"),
        ({"texts": ["a"], "file": "x.json", "similarity": "most"}, "set `n`, e.g. to 4"),
        ({"n": 2, "count": 10}, "10 texts at once cannot go to position 'option'; give 1 to 9"),
        ({"n": 2, "count": 0, "position": "stem"}, "position 'stem'; give 1 or more"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        PerturbationSource(**options)


def test_names_that_do_not_fit_are_refused() -> None:
    questions = {"retain": QuestionSource("x.jsonl")}
    with pytest.raises(
        InputError, match=r"perturbations.one.sets: there is no question set 'retian'; choose from retain"
    ):
        EvaluationSource(questions, {"one": PerturbationSource(n=1, sets=["retian"])})
    with pytest.raises(InputError, match="'default' names the unperturbed questions"):
        EvaluationSource(questions, {"default": PerturbationSource(n=1)})
