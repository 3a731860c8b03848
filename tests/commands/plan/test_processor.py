"""What is measured of this machine's processor and of the program."""

import os
import time

import pytest
import torch

from lit_unlearn.commands.plan.processor import measured_rate, program_memory


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_rate_is_that_of_products_here(precision: str) -> None:
    dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float32
    matrix = torch.ones(1024, 1024, dtype=dtype)
    began = time.perf_counter()
    for _ in range(4):
        matrix @ matrix
    own = 4 * 2 * 1024**3 / (time.perf_counter() - began)
    assert own / 10 < measured_rate(precision) < own * 10  # machines are noisy: the order of magnitude


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="this system does not say")
def test_the_program_takes_what_the_process_has() -> None:
    before = program_memory()
    held = bytearray(200 * 2**20)
    held[:: 2**12] = b"1" * len(held[:: 2**12])  # every page is there
    assert before > 100 * 2**20
    assert 0.9 * len(held) < program_memory() - before < 1.3 * len(held)
