"""A job of SLURM that is queued again before its time is over, to resume its run."""

import os
import subprocess

import lightning as L
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities import rank_zero_warn


def taken_from_lightning(trainer: L.Trainer) -> int | None:
    """The signal after which the job is to be queued again, which Lightning's own handler then leaves alone.

    That one saves wherever the signal finds a process, in the middle of a step too, into a file of its own.

    Returns:
        None where the job is not SLURM's, or not to be queued again (`SLURMEnvironment.auto_requeue`).
    """
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if not isinstance(environment, SLURMEnvironment) or not environment.auto_requeue:
        return None
    environment.auto_requeue = False
    return environment.requeue_signal


def requeue() -> None:
    """Queues this job again; SLURM then ends what of it still runs."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
        said = done.stderr.strip() if done.returncode else None
    except OSError as error:
        said = str(error)
    if said is None:
        print(f"Job {job} is queued again, and will resume this run", flush=True)
    else:
        rank_zero_warn(f"job {job} could not be queued again ({said}); submit its script again to resume this run")
