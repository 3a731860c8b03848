"""What SECURITY.md promises beyond the refusals of tests/bad_input: secrets stay where they are."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_unlearn.cli import main
from lit_unlearn.runs.credentials import masked
from tests.questions.test_sets import write_questions

SECRETS = {
    "HF_TOKEN": "hf_plantedplantedplanted",
    "HUGGING_FACE_HUB_TOKEN": "hf_plantedinthepast",
    "WANDB_API_KEY": "planted0wandb0key",
    "MLFLOW_TRACKING_URI": "https://planted-user:planted-password@mlflow.invalid",
    "OPENAI_API_KEY": "sk-planted",
}


def config(world: Path, questions: str) -> dict[str, Any]:
    return {
        "model": {
            "pretrained": str(world / "model"),
            "forget": "RMU",
            "retain": "RepresentationMSE",
            "optimizer": {"class_path": "AdamW", "init_args": {"lr": 1e-3}},
        },
        "data": {
            "class_path": "UnlearnDataModule",
            "init_args": {
                "forget": {"alchemy": {"path": str(world / "alchemy.jsonl")}},
                "retain": {"gardening": {"path": str(world / "gardening.jsonl")}},
                "evaluation": {
                    "questions": {name: {"path": questions} for name in ("forget", "retain")},
                    "perturbations": {"2-gram": {"n": 2, "sets": ["retain"]}},
                },
            },
        },
        "trainer": {
            "max_steps": 2,
            "num_sanity_val_steps": -1,
            "val_check_interval": 2,
            "check_val_every_n_epoch": None,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
            "default_root_dir": "run",
            "callbacks": [
                "ExportPretrained",
                {"class_path": "Generations", "init_args": {"max_new_tokens": 2}},
                {"class_path": "PerturbationRobustness", "init_args": {"forget": ["forget"]}},
                {"class_path": "ModelCheckpoint", "init_args": {"save_last": True}},
            ],
        },
    }


def holders(folder: Path, secret: str) -> list[Path]:
    """The files in which a text stands, or which are named after it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if secret.encode() in path.read_bytes() or secret in str(path)]


@pytest.mark.slow
def test_secrets_of_the_environment_are_in_no_file_and_no_output(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    questions = write_questions(tmp_path / "questions.jsonl").path
    Path("c.yaml").write_text(yaml.safe_dump(config(world, questions)))
    metadata = json.dumps({"questions": questions})
    main(["fit", "-c", "c.yaml"])
    main(["report", "run", "--out", "page"])
    main(
        ["eval", "--model=run/export", "--tasks=mmlu_local", f"--metadata={metadata}", "--device=cpu", "--out=out.json"]
    )
    main(["plan", "-c", "c.yaml", "--json=plan.json", "--trainer.default_root_dir=null"])
    shown = "".join(capfd.readouterr())
    expected = (
        "run/config.yaml",
        "run/results.json",
        "run/generations.json",
        "run/export/README.md",
        "page/report.html",
    )
    assert all(Path(name).is_file() for name in (*expected, "out.json", "plan.json"))
    for secret in (*SECRETS.values(), "planted-password", "planted-user"):
        assert holders(tmp_path, secret) == []
        assert secret not in shown


@pytest.mark.slow
def test_credentials_among_options_are_not_in_a_report(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = config(world, write_questions(tmp_path / "questions.jsonl").path)
    options["trainer"]["callbacks"] = [{"class_path": "PerturbationRobustness", "init_args": {"forget": ["forget"]}}]
    Path("c.yaml").write_text(yaml.safe_dump(options))
    main(["fit", "-c", "c.yaml"])
    saved = Path("run/config.yaml")
    saved.write_text(f"{saved.read_text()}\n# tracked at https://me:planted-password@mlflow.invalid/?token=planted\n")
    main(["report", "run", "--out", "page"])
    assert holders(Path("page"), "planted") == []
    assert holders(Path("page"), "https://***@mlflow.invalid/?token=***") == [Path("page/report.html")]
    assert "planted" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql+psycopg2://me:a/b@host:5432/db now", "at postgresql+psycopg2://***@host:5432/db now"),
        ("'https://hf_token@huggingface.co/a/b'", "'https://***@huggingface.co/a/b'"),
        ("https://host/a?api_key=b&page=2", "https://host/a?api_key=***&page=2"),
        ("https://host/a?page=2&amp;access-token=b", "https://host/a?page=2&amp;access-token=***"),
        ("https://host/a and me@host", "https://host/a and me@host"),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
    ],
)
def test_credentials_within_urls_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
