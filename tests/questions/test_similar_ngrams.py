import json
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn import InputError
from lit_unlearn.data.fingerprints import tokenizer_fingerprint
from lit_unlearn.questions.similar_ngrams import similar_texts
from tests.tiny_world import tokenizer


def write(path: Path, **changed: Any) -> str:
    classes = {
        name: [{"text": f"{name} {rank}", "similarity": 0.5} for rank in range(10)] for name in ("most", "least")
    }
    found = {"model": "zephyr", "tokenizer": tokenizer_fingerprint(tokenizer()), "ngrams": {"2": classes, "4": classes}}
    path.write_text(json.dumps(found | changed))
    return str(path)


def test_the_n_grams_of_a_class_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "found.json")
    assert similar_texts(path, n=4, similarity="least", tokenizer=tokenizer()) == tuple(
        f"least {rank}" for rank in range(10)
    )


@pytest.mark.parametrize(
    ("changed", "n", "match"),
    [
        (
            {"tokenizer": "another"},
            4,
            "made with another tokenizer, that of zephyr, .* run `lit-unlearn forget-tokens`",
        ),
        ({}, 3, "has n-grams of 2, 4 tokens, none of 3; choose one of these, or .* forget-tokens --lengths 3`"),
        ({"ngrams": {"4": {}}}, 4, "has no 'most' n-grams of 4 tokens; run"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, changed: dict[str, Any], n: int, match: str) -> None:
    path = write(tmp_path / "found.json", **changed)
    with pytest.raises(InputError, match=match):
        similar_texts(path, n=n, similarity="most", tokenizer=tokenizer())


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "there is no .*found.json; give the file that `lit-unlearn forget-tokens` wrote"),
        ("{", "found.json cannot be read"),
        ("[]", "found.json holds no n-grams; give the file"),
        ('{"model": 1}', "found.json holds no n-grams; give the file"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: str | None, match: str) -> None:
    path = tmp_path / "found.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=match):
        similar_texts(str(path), n=4, similarity="most", tokenizer=tokenizer())
