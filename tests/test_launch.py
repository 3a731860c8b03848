"""The shipped scripts: two processes, as on two machines, begin a run, are interrupted, and go on with it.

SLURM itself is not here: stand-ins for srun and scontrol give the processes its variables and take its requests.
"""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch.distributed.run import get_args_parser

from lit_unlearn.cli import main
from lit_unlearn.commands.options import config_files
from tests.interrupting import check_same, outcome, write_config
from tests.processes import free_port, run_command
from tests.questions.test_sets import write_questions

ROOT = Path(__file__).parents[1]
SLURM, TORCHRUN = config_files.folder() / "launch/slurm.sh", config_files.folder() / "launch/torchrun.sh"
FSDP2 = ["-c", "trainer/fsdp2.yaml"]
DDP = ["-c", "trainer/ddp.yaml"]
JOB = {
    "SLURM_JOB_ID": str(40000 + os.getpid() % 9999),  # of which the port is made
    "SLURM_JOB_NAME": "unlearn",
    "SLURM_NODELIST": "127.0.0.1",
    "SLURM_NNODES": "2",
    "SLURM_NTASKS": "2",
    "SLURM_NTASKS_PER_NODE": "1",
}
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
for node in 0 1; do
  export SLURM_PROCID=$node SLURM_NODEID=$node SLURM_LOCALID=0
  [[ $node == 1 ]] && export INTERRUPT=$INTERRUPTED
  "$@" &
done
wait -n
status=$?
((status)) && kill $(jobs -p) # --kill-on-bad-exit
wait
exit $status
"""


def write_command(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., list[str]]:
    """The words with which a script calls srun or torchrun."""

    def found(command: str, script: Path, *words: str, **variables: str) -> list[str]:
        write_command(tmp_path, command, '#!/bin/bash\nprintf "%s\\n" "$@" > words\n')
        environment = os.environ | variables | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        subprocess.run(["bash", script, *words], cwd=tmp_path, env=environment, check=True)
        return (tmp_path / "words").read_text().splitlines()

    return found


def check_options(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The words after `-m lit_unlearn` are options, and lead to two machines of four processes each."""
    with pytest.raises(SystemExit) as stop:
        main([*words[words.index("lit_unlearn") + 1 :], "--print_config"])
    assert stop.value.code == 0
    found = yaml.safe_load(capsys.readouterr().out)
    trainer = found["trainer"]
    assert (trainer["num_nodes"], trainer["devices"], trainer["default_root_dir"]) == (2, "4", "runs/x")
    assert found["ckpt_path"] == "last"


def examples(script: Path) -> list[list[str]]:
    """The commands in its comment, from the folder of the run on."""
    lines = script.read_text().replace("\\\n#", "").splitlines()
    shown = [shlex.split(line.lstrip("# ")) for line in lines if line.startswith("#   ")]
    return [words[words.index("runs/npo") + 1 :] for words in shown]


@pytest.mark.parametrize("number", [0, 1])
def test_what_slurm_sh_runs_is_an_option_of_ours(
    recorded: Callable[..., list[str]], number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    job = JOB | {"SLURM_NTASKS_PER_NODE": "4", "SLURM_NTASKS": "8", "SLURM_CPUS_PER_TASK": "8"}
    words = recorded("srun", SLURM, "runs/x", *examples(SLURM)[number], **job)
    assert words[:4] == ["--kill-on-bad-exit=1", "--cpus-per-task=8", "python", "-m"]
    check_options(words, capsys)


@pytest.mark.parametrize("number", [0, 1])
def test_what_torchrun_sh_runs_is_an_option_of_torchrun_and_of_ours(
    recorded: Callable[..., list[str]], number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = recorded("torchrun", TORCHRUN, "runs/x", *examples(TORCHRUN)[number], HOST="first")
    options = get_args_parser().parse_args(words)
    assert (options.nnodes, options.nproc_per_node, options.rdzv_endpoint) == ("2", "4", "first:29500")
    assert options.training_script == "lit_unlearn"
    check_options(words, capsys)


@pytest.mark.parametrize("script", [SLURM, TORCHRUN])
def test_a_script_without_a_folder_says_what_it_takes(script: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", script], env=os.environ | {"HOST": "x"}, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "the folder of the run, then options of lit-unlearn fit" in done.stderr


@pytest.mark.parametrize(
    ("status", "further", "requeued"), [(1, True, False), (143, True, False), (137, True, True), (137, False, False)]
)
def test_a_job_is_queued_again_when_a_process_was_killed_on_its_way(
    status: int, further: bool, requeued: bool, tmp_path: Path
) -> None:
    last = tmp_path / "run/last.ckpt"
    last.parent.mkdir()
    last.touch()
    os.utime(last, (0, 0))
    write_command(tmp_path, "srun", f"#!/bin/bash\n{'touch run/last.ckpt' if further else ''}\nexit {status}\n")
    write_command(tmp_path, "scontrol", '#!/bin/bash\necho "$@" > asked\n')
    environment = os.environ | JOB | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", SLURM, "run"], cwd=tmp_path, env=environment)
    assert done.returncode == status
    assert (tmp_path / "asked").exists() == requeued


@pytest.fixture(scope="module")
def config(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run in which the second process may be interrupted after step 5, and killed after step 11."""
    folder = tmp_path_factory.mktemp("launch")
    questions = write_questions(folder / "retain.jsonl").path
    moments: list[dict[str, Any]] = [{"step": 5, "how": "SIGUSR1"}, {"step": 11, "how": "SIGKILL"}]
    interrupts = [{"class_path": "tests.interrupting.Interrupt", "init_args": moment} for moment in moments]
    last = {"class_path": "LastCheckpoint", "init_args": {"every_n_steps": 3}}
    callbacks = ["PerturbationRobustness", "ExportPretrained", *interrupts, last]
    return write_config(world, questions, folder / "tiny.yaml", callbacks=callbacks, max_steps=16, val_check_interval=8)


def environment(folder: Path) -> dict[str, str]:
    paths = {"PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return os.environ | paths


@pytest.mark.slow
def test_a_job_that_slurm_interrupts_and_whose_process_is_killed_goes_on_bit_for_bit(
    config: Path, tmp_path: Path
) -> None:
    write_command(tmp_path, "srun", SRUN)
    write_command(tmp_path, "scontrol", '#!/bin/bash\necho "$@" >> asked\n')

    def job(run: str, *, interrupted: bool = False) -> tuple[int, str]:
        variables = environment(tmp_path) | JOB | ({"INTERRUPTED": "1"} if interrupted else {})
        command = ["bash", str(SLURM), run, "-c", str(config), *FSDP2]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    whole = ["--trainer.default_root_dir=whole", "--trainer.devices=2"]
    run_command(["fit", "-c", str(config), *FSDP2, *whole], tmp_path, processes=2)
    status, said = job("run", interrupted=True)
    assert status == 128 + signal.SIGTERM, said
    assert "lit-unlearn: to resume (after step 5)" in said
    asked = [f"requeue {JOB['SLURM_JOB_ID']}"]
    assert (tmp_path / "asked").read_text().splitlines() == asked
    status, said = job("run", interrupted=True)
    assert status == 128 + signal.SIGKILL, said
    assert (tmp_path / "asked").read_text().splitlines() == asked * 2
    status, said = job("run")
    assert status == 0, said
    assert "Resuming from run/last.ckpt" in said
    check_same(tmp_path / "run", outcome(tmp_path / "whole"))


@pytest.mark.slow
def test_a_run_of_torchrun_whose_process_is_killed_goes_on_bit_for_bit(config: Path, tmp_path: Path) -> None:
    def machines(run: str, *, interrupted: bool = False, restarts: int = 0) -> list[int]:
        given = {"HOST": "127.0.0.1", "PORT": free_port(), "MACHINES": "2", "PROCESSES": "1", "RESTARTS": str(restarts)}
        command = ["bash", str(TORCHRUN), run, "-c", str(config), *DDP]
        second = {"INTERRUPT": "1"} if interrupted else {}
        started = [
            subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path) | given | own) for own in ({}, second)
        ]
        return [process.wait(timeout=300) for process in started]

    whole = ["--trainer.default_root_dir=whole", "--trainer.devices=2"]
    run_command(["fit", "-c", str(config), *DDP, *whole], tmp_path, processes=2)
    assert all(machines("run", interrupted=True))  # SIGUSR1 is nobody's here: it kills the second process at step 5
    assert machines("run", interrupted=True, restarts=1) == [0, 0]  # once more, and it begins again by itself
    check_same(tmp_path / "run", outcome(tmp_path / "whole"))
