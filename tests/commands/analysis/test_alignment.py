from pathlib import Path

import pytest
import torch

from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.commands.analysis.rows import stream_rows
from tests.commands.analysis.analysing import analysed, states


def test_alignment(method: Path, rna: Path, opened: Run, tmp_path: Path) -> None:
    section = analysed(tmp_path / "out", "alignment", str(method), str(rna), "--rows=3", "--batch-size=2")
    base, own, other = section["numbers"].values()
    assert (base["coefficient"], own["coefficient"], other["coefficient"]) == ([], [7.0], [3.0, 4.0])
    assert own["layer"] == 2
    assert len(own["forget_cosine"]) == 10
    model = opened.load_unlearned()
    for stream, rows in stream_rows(opened, 3).items():
        for layer in (0, 2, 8):
            expected = []
            for row in rows:
                direction = opened.module.forget.steering_vector(torch.tensor([row.topic]), 64)
                assert direction is not None
                cosine = torch.cosine_similarity(states(model, row.input_ids, layer), direction, dim=-1)
                expected.append(float(cosine.mean()))
            assert own[f"{stream}_cosine"][layer] == pytest.approx(sum(expected) / len(rows), abs=1e-5)
