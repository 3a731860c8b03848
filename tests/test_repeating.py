"""A run's folder holds all that repeats it, to the bit, whatever the number of workers."""

import json
from pathlib import Path

import pytest

from lit_unlearn.cli import main
from tests.interrupting import check_same, outcome, write_config
from tests.questions.test_sets import write_questions


@pytest.mark.slow
def test_a_runs_config_repeats_it_to_the_bit_with_any_number_of_workers(world: Path, tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "retain.jsonl").path
    config = write_config(world, questions, tmp_path / "tiny.yaml", max_steps=4, val_check_interval=2)
    main(["fit", "-c", str(config), "--trainer.default_root_dir", str(tmp_path / "first")])
    again = ["fit", "-c", str(tmp_path / "first" / "config.yaml"), "--trainer.default_root_dir"]
    main([*again, str(tmp_path / "again")])
    main([*again, str(tmp_path / "workers"), "--data.num_workers=2"])
    first = outcome(tmp_path / "first")
    check_same(tmp_path / "again", first)
    check_same(tmp_path / "workers", first)
    records = [json.loads((tmp_path / name / "run.json").read_text()) for name in ("first", "again", "workers")]
    assert records[0] == records[1] == records[2]
    assert records[0]["rows"] == {"forget/alchemy": 60, "forget/navigation": 60, "retain/gardening": 60}
    assert records[0]["rows"].keys() == records[0]["fingerprints"].keys()
    assert records[0]["versions"].keys() >= {"lit-unlearn", "torch", "lightning", "transformers", "datasets"}
    (configs,) = {(tmp_path / name / "config.yaml").read_text() for name in ("first", "again")}
    assert "default_root_dir: null" in configs


def test_a_run_does_not_resume_with_other_rows(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = (world / "alchemy.jsonl").read_text().splitlines()
    Path("alchemy.jsonl").write_text("\n".join(lines))
    config = write_config(world, "none", tmp_path / "tiny.yaml", max_steps=2, callbacks=[], limit_val_batches=0)
    words = ["fit", "-c", str(config), "--data.evaluation=null", "--data.forget={alchemy: {path: alchemy.jsonl}}"]
    words += ["--trainer.default_root_dir=run", "--ckpt_path=last"]
    main(words)
    Path("run/SHA256SUMS").unlink()
    Path("alchemy.jsonl").write_text("\n".join([lines[1], lines[0], *lines[2:]]))
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert (
        "data: the rows of forget/alchemy are not those of the run that wrote the checkpoint" in capsys.readouterr().err
    )
