from collections import Counter
from pathlib import Path

import pytest
import torch

from lit_unlearn.cli import main
from lit_unlearn.commands.analysis.association import jensen_shannon
from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.commands.analysis.rows import stream_rows
from tests.commands.analysis.analysing import FILES, analysed
from tests.commands.analysis.conftest import WriteRun


def test_streams(method: Path, opened: Run, tmp_path: Path) -> None:
    section = analysed(tmp_path / "out", "streams", str(method), "--rows=20")
    found = section["numbers"]["alchemy"]
    assert list(section["numbers"]) == ["alchemy", "navigation"]
    begin = opened.tokenizer().bos_token_id
    counted = [
        Counter(token for row in rows if row.topic == 0 for token in row.input_ids if token != begin)
        for rows in stream_rows(opened, 20).values()
    ]
    size = max(max(one) for one in counted) + 1
    divergence = jensen_shannon(*(torch.tensor([one[token] for token in range(size)]) for one in counted))
    assert found["tokens"] == pytest.approx(divergence.bits)
    assert 0.3 < found["tokens"] < 0.7  # half of the words are the subject's own
    assert found["states"] > found["states_by_chance"]
    assert list(found["overlap"]) == ["forget", "retain"]
    assert found["overlap"]["forget"]["tokens"] > 0 > found["overlap"]["retain"]["tokens"]
    shown = [line for line in section["text"].split("\n\n") if line.startswith("Overlap of alchemy with ")]
    assert [line.partition(", 6 questions: ")[0].rpartition(" ")[2] for line in shown] == ["forget", "retain"]


@pytest.mark.slow
def test_by_default_the_run_keeps_it(
    write_run: WriteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run")
    main(["analyse", "streams", "run", "--rows=8"])
    with pytest.raises(SystemExit):
        main(["analyse", "streams", "run"])
    assert sorted(path.name for path in Path("run/analysis/streams").iterdir()) == FILES
    assert "run/analysis/streams exists already; give another folder after --out" in capsys.readouterr().err
