"""A plan against the peak of a real process."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig

from lit_unlearn import RMU, RepresentationMSE, UnlearnModule
from lit_unlearn.commands.plan.step import StepRows, simulate

ROWS = StepRows(2, 256, 256)
TRAINABLE = [r"model\.layers\..*"]
SCRIPT = """\
import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.commands.plan.measuring import pair
from tests.commands.plan.test_peak import ROWS, module_of

def status(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) * 1024

torch.set_num_threads(1)
torch.nn.Linear(8, 8)(torch.ones(2, 8)).sum().backward()  # what torch takes for itself, once
module, config, batch = module_of(sys.argv[1], len(sys.argv) > 2), AutoConfig.from_pretrained(sys.argv[1]), pair(ROWS)
before = status("VmRSS")
module.adopt(AutoModelForCausalLM.from_config(config).eval().requires_grad_(False), "32-true")
optimizer = module.configure_optimizers()
for _ in range(2):
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    loss = module.losses(batch).total
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    del loss
print(status("VmHWM") - before)
"""


def module_of(folder: str, again: bool) -> UnlearnModule:
    options: dict[str, Any] = {"layer": 3, "trainable": TRAINABLE, "noise_scale": 0.1}
    return UnlearnModule(folder, RMU(1.0), RepresentationMSE(), activation_checkpointing=again, **options)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("again", [False, True], ids=["kept", "computed again"])
def test_the_peak_is_that_of_a_real_process(tmp_path: Path, again: bool) -> None:
    sizes: dict[str, Any] = {
        "hidden_size": 512,
        "intermediate_size": 1536,
        "num_attention_heads": 8,
        "num_hidden_layers": 4,
    }
    LlamaConfig(**sizes, vocab_size=2000, pad_token_id=0).save_pretrained(tmp_path)
    _, (step,) = simulate(module_of(str(tmp_path), again), [ROWS], precision="32-true", whole=True, foreach=False)
    # Freed memory goes back at once, so that what is resident is what is alive.
    environment = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), *(["again"] if again else [])],
        cwd=Path(__file__).parents[2],
        env=environment | {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert sum(step.peak.values()) == pytest.approx(int(done.stdout.split()[-1]), rel=0.15)
