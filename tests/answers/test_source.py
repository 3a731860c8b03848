import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn import InputError
from lit_unlearn.answers.rows import AnswerRow, load_answers
from lit_unlearn.answers.source import AnswerSource
from tests.answers.asked import rows, write

PAIR = {"question": "q?", "answer": "a"}


def load(folder: Path, found: list[dict[str, Any]], **options: Any) -> list[AnswerRow]:
    return load_answers(AnswerSource(write(folder / "rows.jsonl", found), "forget", **options))


def test_the_fields_of_tofu(tmp_path: Path) -> None:
    found = rows("alchemy", 3)
    first, *_ = load(tmp_path, found)
    assert first[:7] == (
        found[0]["question"],
        found[0]["answer"],
        (found[0]["paraphrased_answer"],),
        tuple(found[0]["perturbed_answer"]),
        0,
        (),
        None,
    )


def test_fields_of_other_names_and_compressed_files(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.write("\n".join(json.dumps({"q": f"{row}?", "gt": "a", "wrong": "b"}) for row in range(2)))
    first, second = load_answers(AnswerSource(str(path), "general", question="q", answer="gt", perturbed="wrong"))
    assert (first.question, second.perturbed, second.paraphrased) == ("0?", ("b",), ())


def test_csv_files_are_those_of_mmlu(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,question,answer,category,place\n1,Who?,Ada,people,book\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"rows\.csv: \.csv files have the columns of MMLU .* set `options: letters`"):
        AnswerSource(str(path), "forget")
    path.write_text("Half of 4?,1,2,3,B\nHalf of 6?,1,2,3,C\n", encoding="utf-8")
    assert [row.answer for row in load_answers(AnswerSource(str(path), "general", options="letters"))] == ["B", "C"]


def test_a_limit_spreads_over_the_set(tmp_path: Path) -> None:
    assert [row.number for row in load(tmp_path, rows("alchemy", 9), limit=3)] == [0, 3, 6]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([PAIR], "1 rows give no standard error"),
        ([PAIR, {"question": "q?"}], "line 2: no field 'answer' (fields question)"),
        ([PAIR, PAIR | {"answer": " "}], "line 2: field 'answer' holds no text"),
        ([PAIR, PAIR | {"answer": []}], "line 2: field 'answer' holds no text"),
        ([PAIR, PAIR | {"perturbed_answer": 3}], "line 2: field 'perturbed_answer' holds a int"),
        ([PAIR, PAIR | {"perturbed_answer": ["b", None]}], "line 2: field 'perturbed_answer' holds no text"),
        ([PAIR, PAIR | {"answer": "\ud800"}], "line 2: half of a surrogate pair"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, found: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(InputError) as error:
        load(tmp_path, found)
    assert told in str(error.value)


def test_numbers_and_paths_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="limit 1 gives no standard error; give 2 or more"):
        AnswerSource("a.jsonl", "forget", limit=1)
    with pytest.raises(InputError, match=r"none.jsonl: no such file"):
        load_answers(AnswerSource(str(tmp_path / "none.jsonl"), "forget"))
