import csv
from pathlib import Path

import pytest

from lit_unlearn.runs.metrics_csv import MetricsCSV


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "metrics.csv").open(newline="")))


def test_rows_are_written_and_a_later_column_is_everyones(tmp_path: Path) -> None:
    logger = MetricsCSV(tmp_path, every=2)
    logger.log_metrics({"loss": 0.1}, step=0)
    assert not (tmp_path / "metrics.csv").exists()
    logger.log_metrics({"loss": 0.2}, step=1)
    logger.log_metrics({"accuracy": 1.0}, step=1)
    assert (tmp_path / "metrics.csv").read_bytes() == b"loss,step\r\n0.1,0\r\n0.2,1\r\n"
    logger.finalize("success")
    assert (tmp_path / "metrics.csv").read_bytes() == b"accuracy,loss,step\r\n,0.1,0\r\n,0.2,1\r\n1.0,,1\r\n"
    assert logger.rows == 3


@pytest.mark.parametrize("kept", [0, 1, 3, 5])
@pytest.mark.parametrize("torn", ["", "0.", "9,9"])
def test_a_continued_file_is_that_of_an_uninterrupted_run(tmp_path: Path, kept: int, torn: str) -> None:
    def log(logger: MetricsCSV, steps: range) -> None:
        for step in steps:
            logger.log_metrics({"loss": step / 3} | ({"accuracy": 1.0} if step == 2 else {}), step=step)

    whole, interrupted = MetricsCSV(tmp_path / "whole"), MetricsCSV(tmp_path / "run", every=1)
    log(whole, range(6))
    whole.save()
    log(interrupted, range(5))
    with (tmp_path / "run" / "metrics.csv").open("a") as file:
        file.write(torn)  # a line that a kill has cut
    again = MetricsCSV(tmp_path / "run", every=2)
    again.keep(kept)
    assert again.rows == kept
    log(again, range(kept, 6))
    again.save()
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()
