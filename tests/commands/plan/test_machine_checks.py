"""What would fail on a machine, with its remedy."""

from functools import partial
from importlib.metadata import requires
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from packaging.requirements import Requirement

from lit_unlearn import InputError, TextSource, UnlearnDataModule
from lit_unlearn.commands.fit.checks import check_devices, devices
from lit_unlearn.commands.plan import hub, machine_checks
from lit_unlearn.commands.plan.check import Check, refused
from lit_unlearn.commands.plan.config import ONE, PlanCLI
from lit_unlearn.commands.plan.disk import Written
from lit_unlearn.commands.plan.strategies import Layout
from lit_unlearn.data import text
from lit_unlearn.models.source import ModelSource

GIB = 2**30
ALONE = Layout(ONE, 1, {"weights": 14 * GIB, "passing": GIB})


def config(**trainer: Any) -> PlanCLI:
    options = {"accelerator": "auto", "devices": 1, "precision": "32-true"} | trainer
    found = SimpleNamespace(trainer_options=SimpleNamespace(**options), precision=options["precision"], batches=600)
    return cast(PlanCLI, found)


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Card")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (16 * GIB, 24 * GIB))


def test_a_gpu_fits_or_says_what_takes_most(one_gpu: None) -> None:
    assert machine_checks.runs_on_gpu(config())
    (fits,) = machine_checks._gpus(config(), ALONE)
    assert fits == Check("GPU 0, Card", "ok", "16.00 GiB free, 15.00 GiB needed; most by weights")
    (short,) = machine_checks._gpus(config(), ALONE._replace(parts={"weights": 17 * GIB}))
    assert (short.status, short.found) == ("fails", "16.00 GiB free, 17.00 GiB needed; most by weights")


def test_missing_gpus_are_told(one_gpu: None) -> None:
    missing = refused(partial(check_devices, config(devices=2).trainer_options))
    assert missing is not None
    assert (missing.name, missing.found) == ("trainer.devices", "2 asks for 2 GPUs, and there are 1")
    assert [check.status for check in machine_checks._gpus(config(devices=2), ALONE)] == ["ok"]


def test_without_a_gpu_only_a_run_that_asks_for_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert not machine_checks.runs_on_gpu(config())
    missing = refused(partial(check_devices, config(accelerator="gpu").trainer_options))
    assert missing is not None
    assert (missing.name, missing.remedy) == ("trainer.accelerator", "run where there is one, or set it to cpu")
    monkeypatch.setattr(machine_checks, "measured_rate", lambda precision: 1e11)
    statuses = [check.status for check in machine_checks._processor(config(precision="16-mixed"), 1e13)]
    assert statuses == ["note", "note"]  # fit runs it in bf16-mixed
    (quick,) = machine_checks._processor(config(), 1e12)
    assert quick.status == "ok"
    assert "1 TFLOP in a batch take at least 10 s, 100 min of training, at the 100 GFLOP/s" in quick.found
    monkeypatch.setattr(machine_checks, "measured_rate", lambda precision: 4e8)
    (slow,) = machine_checks._processor(config(), 4e9)
    assert "at the 0.4 GFLOP/s" in slow.found


def test_without_gpus_the_memory_holds_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "host_memory", lambda: 15 * GIB)
    assert machine_checks._memory(ALONE, 0).status == "ok"
    two = machine_checks._memory(ALONE._replace(devices=2), 0)
    assert (two.status, two.found) == ("fails", f"15.00 GiB, {2 * ALONE.total / GIB:.2f} GiB needed")


def test_the_program_takes_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "host_memory", lambda: ALONE.total + GIB)
    assert machine_checks._memory(ALONE, GIB).status == "ok"
    short = machine_checks._memory(ALONE, GIB + 2**20)
    assert short.status == "fails"
    assert short.found.endswith("1.00 GiB of it for Python and its packages")


def test_what_is_written_to_one_disk_counts_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=20 * GIB)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    files = [Written("export", tmp_path / "new" / "run", 14 * GIB, 1), Written("checkpoints", tmp_path, 5 * GIB, 2)]
    (fits,) = machine_checks._disk(files)
    assert (fits.status, fits.found) == ("ok", "20.00 GiB free, 19.00 GiB to be written")
    usage.free = 18 * GIB
    assert [check.status for check in machine_checks._disk(files)] == ["fails"]


def test_a_refusal_is_a_check_with_its_remedy() -> None:
    def check() -> None:
        raise InputError("a.b: is c: d; do e")

    assert refused(check) == Check("a.b", "fails", "is c: d", "do e")
    assert refused(lambda: None) is None


def test_an_old_package_is_named_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check.name for check in machine_checks._versions()] == ["packages"]
    monkeypatch.setattr(machine_checks, "version", lambda name: "0.1")
    checks = {check.name: check for check in machine_checks._versions()}
    (torch,) = (one for one in map(Requirement, requires("lit-unlearn") or []) if one.name == "torch")
    assert str(torch.specifier).startswith(">=2.")
    assert checks["torch"].found == f"0.1, {torch.specifier} needed"
    assert "pytest" not in checks  # of an extra


def test_flash_attention_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "find_spec", lambda name: None)
    assert [check.status for check in machine_checks._attention("flash_attention_2")] == ["fails"]
    assert not list(machine_checks._attention("sdpa"))


@pytest.mark.parametrize(("option", "count"), [(3, 3), ("2", 2), ("0,1,", 2), ([4, 5], 2)])
def test_devices_of_an_option(option: Any, count: int) -> None:
    assert devices(option) == count


def test_all_devices_are_the_gpus_or_one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, count in ((0, 1), (8, 8)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda there=there: there)
        assert devices("auto") == devices(-1) == count


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (None, "ok", "to be downloaded"),
        ("EntryNotFoundError", "ok", "to be downloaded"),
        ("OfflineModeIsEnabled", "fails", "HF_HUB_OFFLINE"),
        ("GatedRepoError", "fails", "https://huggingface.co/datasets/cais/wmdp-bio-forget-corpus"),
        ("RepositoryNotFoundError", "fails", "not on the hub"),
        ("TimeoutError", "fails", "the hub does not answer"),
    ],
)
def test_what_the_hub_says(error: str | None, status: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def header(url: str, *, timeout: float) -> None:
        assert url.endswith("/datasets/cais/wmdp-bio-forget-corpus/resolve/main/.gitattributes")
        assert timeout < 10
        if error == "TimeoutError":
            raise TimeoutError
        if error is not None:
            kind = getattr(hub, error)
            raise kind.__new__(kind)  # their arguments differ

    monkeypatch.setattr(hub, "get_hf_file_metadata", header)
    source = TextSource("cais/wmdp-bio-forget-corpus")
    (check,) = set(hub.check_data(UnlearnDataModule({"bio": source}, {"bio": source})))
    assert (check.status, words in f"{check.found} {check.remedy}") == (status, True)


def test_local_models_and_files(world: Path, tmp_path: Path) -> None:
    assert hub.check_model(ModelSource(str(world / "model"))).status == "ok"
    assert hub.check_model(ModelSource(str(tmp_path))).found == "the folder has no *.safetensors"
    here, missing = (TextSource(str(world / f"{name}.jsonl")) for name in ("alchemy", "nothing"))
    checks = hub.check_data(UnlearnDataModule({"a": here}, {"b": missing}))
    assert [check.status for check in checks] == ["ok", "fails"]


def test_rows_that_do_not_do_for_the_holdout_are_found(world: Path) -> None:
    source = TextSource(str(world / "alchemy.jsonl"))
    count = len((world / "alchemy.jsonl").read_text().splitlines())
    for holdout, status in ((2, []), (count, ["fails"])):
        data = UnlearnDataModule({"a": source}, {"b": source}, batch_size=1, holdout=holdout)
        assert [check.status for check in hub.check_data(data)] == ["ok", *status]
    (_, check) = hub.check_data(data)
    assert (check.name, check.found) == ("data.holdout", f"{count} of a's {count} rows leave none to train on")


def test_every_line_of_a_small_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(f'{{"text": "{"moon " * 20}"}}\n' * 3 + '{"text": 3}\n')
    source = TextSource(str(path))
    data = UnlearnDataModule({"a": source}, {"b": source}, holdout=2000, batch_size=2)
    (check,) = hub.check_data(data)
    assert check.status == "fails"
    assert "line 4" in check.name
    monkeypatch.setattr(text, "_READ_WHOLE", 100)
    assert [check.status for check in hub.check_data(data)] == ["ok"]
