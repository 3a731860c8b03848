"""`lit-unlearn env`: versions, devices and settings, for a bug report; nothing that says whose machine it is."""

import json
import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from lit_unlearn.runs.credentials import masked

_PACKAGES = (
    *("torch", "lightning", "transformers", "tokenizers", "datasets", "torchmetrics", "lm_eval", "jsonargparse"),
    *("safetensors", "huggingface_hub", "pyarrow", "numpy", "scipy"),
)
_OPTIONAL = ("matplotlib", "jinja2", "optuna", "peft", "wandb", "tensorboard", "flash_attn", "bitsandbytes")
_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING", "CUBLAS_WORKSPACE_CONFIG"),
    *("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "TORCH_COMPILE_DISABLE", "NCCL_DEBUG", "NCCL_P2P_DISABLE"),
    *("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", "TOKENIZERS_PARALLELISM", "PL_GLOBAL_SEED"),
    *("WORLD_SIZE", "SLURM_NTASKS"),
)
"""Those that change what runs, and whose values are numbers and words of torch, not a user's own."""
_GIB = 2**30


def lines() -> Iterator[str]:
    """What is printed, line by line: `name: value`."""
    yield f"lit-unlearn: {version('lit-unlearn')}{_editable()}"
    yield f"python: {platform.python_version()} ({platform.python_implementation()})"
    yield f"system: {platform.system()} {platform.release()} {platform.machine()}, {' '.join(platform.libc_ver())}"
    yield f"processors: {_processors()}, memory: {_memory()}"
    yield from _torch()
    yield f"packages: {', '.join(f'{name} {_version(name)}' for name in _PACKAGES)}"
    yield f"optional: {', '.join(f'{name} {_version(name)}' for name in _OPTIONAL)}"
    given = [f"{name}={os.environ[name]}" for name in _VARIABLES if name in os.environ]
    yield f"variables: {_private(', '.join(given)) or 'none of those that matter'}"


def _editable() -> str:
    """Whether it is a checkout; where that lies is not said."""
    said = distribution("lit-unlearn").read_text("direct_url.json")
    return ", editable" if said and json.loads(said).get("dir_info", {}).get("editable") else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "–"


def _processors() -> str:
    count, usable = os.cpu_count(), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return f"{count}" if usable in (None, count) else f"{usable} of {count}"


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / _GIB:.1f} GiB"
    except (ValueError, OSError, AttributeError):  # not on this system
        return "not known"


def _torch() -> Iterator[str]:
    import torch

    commit, cuda = (torch.version.git_version or "")[:10], torch.version.cuda or torch.version.hip
    yield f"torch: {torch.__version__} (commit {commit}), built for {'CUDA ' + cuda if cuda else 'the processor'}"
    yield f"devices: {', '.join(_devices()) or 'the processor alone'} ({torch.backends.cpu.get_cpu_capability()})"
    yield (
        f"threads: {torch.get_num_threads()} within operations, {torch.get_num_interop_threads()} between; float32 "
        f"products: {torch.get_float32_matmul_precision()}; deterministic: "
        f"{torch.are_deterministic_algorithms_enabled()}; default dtype: {torch.get_default_dtype()}"
    )
    backends = [name for name in ("gloo", "nccl", "mpi") if torch.distributed.is_backend_available(name)]
    yield f"distributed: {', '.join(backends) or 'none'}"


def _devices() -> list[str]:
    """The GPUs by name, memory and compute capability."""
    import torch

    if torch.backends.mps.is_available():
        return ["mps"]
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [f"{one.name} ({one.total_memory / _GIB:.0f} GiB, sm_{one.major}{one.minor})" for one in found]


def _private(text: str) -> str:
    """Without the home folder and without passwords, whatever a variable was set to."""
    return masked(text).replace(str(Path.home()), "~")
