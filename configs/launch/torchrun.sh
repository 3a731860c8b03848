#!/bin/bash
# fit on several machines without a scheduler: this script, with the same words, on each of them
#
#   HOST=first bash torchrun.sh runs/npo -c npo.yaml -c trainer/ddp.yaml --data.batch_size 8
#   HOST=first bash torchrun.sh runs/npo -c npo.yaml -c trainer/fsdp2.yaml --data.batch_size 8
#
# First the run's folder, on a disk that all machines share, then options of `lit-unlearn fit`. Where a
# process dies, all end, RESTARTS times they begin again by themselves; the same command on each resumes.
MACHINES=${MACHINES:-2}
PROCESSES=${PROCESSES:-4} # on each machine, one for each GPU
HOST=${HOST:?the name or address of the first machine, by which the others reach it}
PORT=${PORT:-29500}       # free on the first machine
RESTARTS=${RESTARTS:-0}   # also after an error that will come again
RUN=${1:?the folder of the run, then options of lit-unlearn fit}

# Otherwise torchrun of torch 2.13 gives processes that begin again the store with the addresses of those that died.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1

exec torchrun --nnodes "$MACHINES" --nproc-per-node "$PROCESSES" --max-restarts "$RESTARTS" \
  --rdzv-backend c10d --rdzv-endpoint "$HOST:$PORT" --rdzv-id "${RUN//\//-}" \
  -m lit_unlearn fit "${@:2}" --trainer.num_nodes "$MACHINES" --trainer.devices "$PROCESSES" \
  --trainer.default_root_dir "$RUN" --ckpt_path last
