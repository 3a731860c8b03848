"""Questions and perturbations that cannot be asked; and some that look odd and can."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import normalizers

from lit_unlearn.data.fingerprints import tokenizer_fingerprint
from lit_unlearn.questions.source import QuestionSource, load_questions
from tests.bad_input.refusing import Config, Refused, write
from tests.fast import some
from tests.tiny_world import tokenizer

QUESTION: dict[str, Any] = {
    "question": "which word?",
    "choices": ["the", "of", "and", "in"],
    "answer": 1,
    "subject": "words",
}
FIRST = json.dumps(QUESTION) + "\n"
RECORDS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "two options": ({"choices": ["a", "b"]}, ("the choices are ['a', 'b']", "write 3 to 10 texts")),
    "eleven options": ({"choices": [*"abcdefghijk"]}, ("the choices are", "write 3 to 10 texts")),
    "a number among options": ({"choices": ["a", 2, "b", "c"]}, ("the choices are ['a', 2,", "write 3 to 10 texts")),
    "options in one text": ({"choices": "abcd"}, ("the choices are 'abcd'", "write 3 to 10 texts")),
    "no label": ({"choices": {"text": [*"abc"], "label": [*"AB"]}}, ("the labels are ['A', 'B']", "for each of 3")),
    "answer that is no label": (
        {"choices": {"text": [*"abc"], "label": [*"123"]}, "answer": "A"},
        ("the answer is 'A'", "write one of the labels 1, 2, 3"),
    ),
    "two answers": ({"answer_index": 2}, ("answer 1, answer_index 2 are different options", "correct or remove one")),
    "nulls": (dict.fromkeys(QUESTION), ("every field is null", "remove the row")),
    "answer 4": ({"answer": 4}, ("the answer is 4", "A to D or an index 0 to 3", "set `first_answer: 1`")),
    "answer -1": ({"answer": -1}, ("the answer is -1", "A to D or an index 0 to 3")),
    "answer E": ({"answer": "E"}, ("the answer is 'E'", "A to D or an index 0 to 3")),
    "no answer": ({"answer": None}, ("the answer is None", "A to D or an index 0 to 3")),
    "answer true": ({"answer": True}, ("the answer is True", "A to D or an index 0 to 3")),
    "empty stem": ({"question": "  "}, ("the question is empty", "field 'question'")),
    "no stem": ({"question": None}, ("the question is empty", "field 'question'")),
    "no subject": ({"subject": None}, ("no subject", "set `subject` of the source")),
    "subject 3": ({"subject": 3}, ("no subject", "set `subject` of the source")),
    "half a surrogate pair": ({"question": "\ud800"}, ("half of a surrogate pair", "fix or remove it")),
}
FILES: dict[str, tuple[str, bytes | str, tuple[str, ...]]] = {
    "empty": ("q.jsonl", "", ("q.jsonl: no questions", "check the source")),
    "only whitespace": ("q.jsonl", " \n \n", ("q.jsonl: no questions", "check the source")),
    "malformed": ("q.jsonl", FIRST + "{\n", ("q.jsonl, line 2: not JSON", "fix or remove the line")),
    "list": (
        "q.jsonl",
        "[1]\n",
        ("q.jsonl, line 1: a list", "write an object with question, choices", "ends in .json"),
    ),
    "deep": ("q.jsonl", "[" * 100_000, ("q.jsonl, line 1: not JSON", "fix or remove the line")),
    "Latin-1": ("q.jsonl", b'{"question": "\xe9"}', ("q.jsonl: not UTF-8 text", "write the file again as UTF-8")),
    "four columns": ("q.csv", "a,b,c,d\n", ("q.csv, line 1: 4 columns", "write question, 3 to 10 options, answer")),
    "null row": ("q.jsonl", FIRST + "null\n", ("q.jsonl, line 2: null instead of a record", "remove it")),
    "pretty-printed": (
        "q.jsonl",
        json.dumps(QUESTION, indent=1),
        ("q.jsonl, line 1: the JSON value does not end", ".json"),
    ),
    "no parquet": ("q.parquet", "a", ("q.parquet: not a parquet file, or not whole", "write it again")),
    "open quote": ("q.csv", 'a,b,c,d,e,A\n"a,b,c,d,e,A\n', ("q.csv, line 2: not CSV", "fix its quotes")),
    "answer F": ("q.csv", "a,b,c,d,e,F\n", ("q.csv, line 1: the answer is 'F'", "A to D")),
    "empty table": ("q.csv", "", ("q.csv: no questions", "check the source")),
    "field too large": ("q.csv", "a" * 200_000 + ",b,c,d,e,A\n", ("q.csv, line 1: not CSV", "field larger than")),
    "another kind": ("q.txt", "a", ("q.txt: is not a local file of a kind", "ends in .csv, .jsonl")),
}
PERTURBATIONS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no texts": ({"texts": []}, ("perturbation.texts: [] has nothing", "give at least one text")),
    "blank text": ({"texts": ["the", " "]}, ("perturbation.texts: ['the', ' '] has nothing", "at least one text")),
    "text without tokens": (
        {"texts": ["the", "\u200b"]},
        ("perturbation.texts: '\\u200b' is not a token", "remove it"),
    ),
    "both": ({"texts": ["the"], "n": 1}, ("give each either `texts` or `n`",)),
    "neither": ({}, ("give each either `texts` or `n`",)),
    "n 0": ({"n": 0}, ("perturbation.n: 0 tokens", "give 1 or more")),
    "n too large": ({"n": 5000}, ("n-gram of 5000 tokens", "lower n")),
    "n a word": ({"n": "page"}, ("perturbations.n: 'page' cannot be used", "int or one of 'sentence'")),
    "count 5": ({"n": 1, "count": 5}, ("perturbation.count: 5 texts", "give 1 to 3")),
    "position": ({"n": 1, "position": "middle"}, ("position: 'middle'", "expected one of 'option'")),
    "sets": ({"n": 1, "sets": ["b"]}, ("there is no question set 'b'", "choose from q")),
    "file without similarity": ({"n": 1, "file": "a.json"}, ("`similarity` and `file` go together",)),
    "no file": ({"n": 4, "similarity": "most", "file": "no.json"}, ("there is no no.json", "forget-tokens` wrote")),
}
IDENTITY = tokenizer_fingerprint(tokenizer())
NGRAMS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "list": ([], ("holds no n-grams", "forget-tokens` wrote")),
    "without n-grams": ({"model": "m"}, ("holds no n-grams", "forget-tokens` wrote")),
    "of another tokenizer": (
        {"tokenizer": "x", "ngrams": {}},
        ("made with another tokenizer, that of m", "forget-tok"),
    ),
    "of other lengths": ({"ngrams": {"2": {}}}, ("has n-grams of 2 tokens, none of 4", "--lengths 4")),
    "without the class": ({"ngrams": {"4": {"least": []}}}, ("has no 'most' n-grams of 4 tokens", "again")),
    "n-grams in a list": ({"ngrams": ["4"]}, ("is not as `lit-unlearn forget-tokens` writes it", "run it again")),
    "classes in a list": ({"ngrams": {"4": ["most"]}}, ("is not as `lit-unlearn forget-tokens`", "run it again")),
    "a text for a list": ({"ngrams": {"4": {"most": "ab"}}}, ("is not as `lit-unlearn forget-tok", "run it again")),
    "without texts": ({"ngrams": {"4": {"most": [{}]}}}, ("is not as", "KeyError('text')", "run it again")),
    "a number for a text": ({"ngrams": {"4": {"most": [{"text": 1}]}}}, ("is not as", "no text", "run it again")),
}


def asking(config: Config, path: Path, **perturbations: Any) -> Config:
    """The config with questions, after whose training they are asked."""
    evaluation = {"questions": {"q": {"path": str(path)}}, "perturbations": perturbations}
    config["data"]["init_args"]["evaluation"] = evaluation
    config["trainer"] |= {"val_check_interval": 2, "check_val_every_n_epoch": None}
    config["trainer"]["callbacks"].append("PerturbationRobustness")
    return config


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("case", some(RECORDS))
def test_a_question_that_cannot_be_asked_is_refused(case: str, config: Config, inputs: Path, refused: Refused) -> None:
    changes, said = RECORDS[case]
    path = written(inputs / "q.jsonl", FIRST + json.dumps(QUESTION | changes))
    words = ["fit", "-c", write(inputs / "base.yaml", asking(config, path))]
    refused(words, f"{path}, line 2: ", *said)


@pytest.mark.parametrize("case", some(FILES))
def test_questions_that_cannot_be_read_are_refused(
    case: str, world: Path, config: Config, inputs: Path, refused: Refused
) -> None:
    name, content, said = FILES[case]
    config = asking(config, written(inputs / name, content))
    words = ["validate", "--model", str(world / "model"), "-c", write(inputs / "base.yaml", config)]
    refused(words, *said)


@pytest.mark.slow
@pytest.mark.parametrize("case", PERTURBATIONS)
def test_a_perturbation_that_cannot_be_is_refused(case: str, config: Config, inputs: Path, refused: Refused) -> None:
    options, said = PERTURBATIONS[case]
    words = tokenizer()
    words.backend_tokenizer.normalizer = normalizers.Replace("\u200b", "")
    words.save_pretrained(inputs / "tokenizer")
    config["data"]["init_args"]["tokenizer"] = str(inputs / "tokenizer")
    config = asking(config, written(inputs / "q.jsonl", FIRST), p=options)
    refused(["fit", "-c", write(inputs / "base.yaml", config)], *said)


@pytest.mark.slow
@pytest.mark.parametrize("case", NGRAMS)
def test_forget_tokens_that_cannot_be_used_are_refused(
    case: str, config: Config, inputs: Path, refused: Refused
) -> None:
    content, said = NGRAMS[case]
    if isinstance(content, dict):
        content = {"model": "m", "tokenizer": IDENTITY} | content
    file = written(inputs / "ngrams.json", json.dumps(content))
    perturbation = {"n": 4, "similarity": "most", "file": str(file)}
    config = asking(config, written(inputs / "q.jsonl", FIRST), p=perturbation)
    refused(["fit", "-c", write(inputs / "base.yaml", config)], str(file), *said)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + FIRST.encode(),
        FIRST.encode().replace(b"\n", b"\r\n"),
        FIRST.replace('"answer": 1', '"answer": "B"').encode(),
        FIRST.replace('"answer": 1', '"answer": " 1"').encode() + b"\n \n",
    ],
)
def test_marks_line_ends_and_ways_to_write_an_answer_change_nothing(content: bytes, tmp_path: Path) -> None:
    expected = load_questions(QuestionSource(str(written(tmp_path / "plain.jsonl", FIRST))))
    assert load_questions(QuestionSource(str(written(tmp_path / "odd.jsonl", content)))) == expected


def test_equal_options_and_equal_questions_are_asked_as_they_are(tmp_path: Path) -> None:
    # MMLU has both.
    twice = json.dumps(QUESTION | {"choices": ["the", "the", "", "of"]}) + "\n"
    asked = load_questions(QuestionSource(str(written(tmp_path / "q.jsonl", twice + twice))))
    assert [question.choices for question in asked] == [("the", "the", "", "of")] * 2
