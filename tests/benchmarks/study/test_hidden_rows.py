import json
from pathlib import Path

import pytest

from benchmarks.study.hidden_rows import auc, found, main, write_streams
from lit_unlearn import InputError
from lit_unlearn.demo.corpus import corpus
from lit_unlearn.demo.knowledge import invent


def test_hidden_rows_are_texts_of_the_subjects_to_forget(tmp_path: Path) -> None:
    hidden = write_streams(tmp_path, seed=1)
    texts = [json.loads(line)["text"] for line in (tmp_path / "retain.jsonl").read_text().splitlines()]
    knowledge = invent()
    assert len(texts) == 800
    assert len(set(hidden)) == 80
    own = corpus(knowledge, knowledge.retain, 800, filler_rows=200, seed=1)
    assert [place for place in range(800) if texts[place] != own[place]] == sorted(hidden)
    assert [texts[place] for place in hidden] == corpus(knowledge, knowledge.forget, 80, seed=1001)


def test_auc_counts_pairs() -> None:
    assert auc([1.0, 3.0], [0.0, 1.0, 2.0]) == pytest.approx((1.5 + 3) / 6)


def test_only_retain_rows_are_compared() -> None:
    rows: list[dict[str, float | str]] = [
        {"stream": stream, "row": row, "displacement": far, "loss_before": 1.0, "loss_after": after}
        for stream, row, far, after in (
            ("forget/forget", 1, 9.0, 9.0),
            ("retain/retain", 0, 0.1, 3.0),
            ("retain/retain", 1, 0.5, 1.0),
            ("retain/retain", 2, 0.2, 2.0),
        )
    ]
    assert found(rows, [1]) == {"displacement": 1.0, "loss_change": 0.0}


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--seeds: must be at least 2, got 1$"):
        main(["--seeds", "1", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
