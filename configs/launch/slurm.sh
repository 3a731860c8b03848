#!/bin/bash
# A job of SLURM: fit on several machines; it is queued again before its time is over, and resumes by itself
#
#   sbatch slurm.sh runs/npo -c npo.yaml -c trainer/ddp.yaml --data.batch_size 8
#   sbatch slurm.sh runs/npo -c npo.yaml -c trainer/fsdp2.yaml --data.batch_size 8
#
# First the run's folder, on a disk that all machines share, then options of `lit-unlearn fit`. The lines below are for
# two machines of four GPUs each; what is given to sbatch itself goes before them: `sbatch --nodes=4 slurm.sh ...`. The
# same command resumes a run that has stopped.
#SBATCH --job-name=unlearn
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=4:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
# --ntasks-per-node: one process for each GPU. --signal: how many seconds before the end the run stops after its step,
# writes its checkpoint and has the job queued again; choose more than these take.
RUN=${1:?the folder of the run, then options of lit-unlearn fit}

written() { stat --format=%Y "$RUN/last.ckpt" 2>/dev/null; }
before=$(written)

srun --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" python -m lit_unlearn fit "${@:2}" \
  --trainer.num_nodes "$SLURM_NNODES" --trainer.devices "$SLURM_NTASKS_PER_NODE" \
  --trainer.default_root_dir "$RUN" --ckpt_path last
status=$?

# A process was killed, and not at this job's own end (143). On other machines the run may resume; where it has got no
# further than the last time, it would be killed again.
if ((status > 128 && status != 143)) && [[ $(written) != "$before" ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
