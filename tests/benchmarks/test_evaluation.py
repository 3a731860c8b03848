import argparse
import json
from pathlib import Path

import pytest

from benchmarks import evaluation
from benchmarks.evaluation import main
from tests.processes import in_forked_process

STEM = "Of all the words that somebody wrote one after the other on a long sheet of paper, which word comes at place"
QUESTIONS = [
    {"question": f"{STEM} {place}?", "choices": ["one", "two", "three", "four"], "answer": place % 4}
    for place in range(8)
]
SMALL = ["--hidden", "128", "--layers", "2", "--rounds", "1", "--harness-batch", "3"]


@pytest.fixture
def questions(tmp_path: Path) -> str:
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(question | {"subject": "words"}) + "\n" for question in QUESTIONS))
    return str(path)


@pytest.fixture
def _forked_but_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory of the first way is measured in a process as the benchmark starts it, the others' in forked ones."""
    apart, first = evaluation._memory_apart, iter([True])

    def measure(one: str, folder: Path, options: argparse.Namespace) -> float:
        if next(first, False):
            return apart(one, folder, options)
        own = argparse.Namespace(**{**vars(options), "memory_of": (one, str(folder))})
        return in_forked_process(evaluation._memory, own)

    monkeypatch.setattr(evaluation, "_memory_apart", measure)


@pytest.mark.slow
@pytest.mark.usefixtures("_forked_but_for_the_first")
def test_both_are_asked_the_same(questions: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main([questions, *SMALL, "--json", str(tmp_path / "out.json")])
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["prompts"] == 7 * 8
    assert [*found["seconds"]] == [*found["peak_mib"]] == ["ours", "lm-eval, 3 rows"]
    assert "the same predictions" in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("_forked_but_for_the_first")
def test_both_are_shown_the_same_examples(questions: str, tmp_path: Path) -> None:
    main([questions, *SMALL, "--plain", "--shots", "2", "--json", str(tmp_path / "out.json")])
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["prompts"], found["shots"]) == (8, 2)


def test_other_predictions_end_it(questions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = {"ours": lambda: [0, 1], "lm-eval": lambda: [0, 2]}
    monkeypatch.setattr(evaluation, "_ways", lambda *args: ways)
    with pytest.raises(SystemExit, match=r"the predictions differ.*'lm-eval': 1"):
        main([questions, *SMALL])
