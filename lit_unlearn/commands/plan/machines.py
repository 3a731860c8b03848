"""Named GPUs, and how long a step would take on them."""

import re
from typing import NamedTuple

from lit_unlearn.errors import InputError


class GPU(NamedTuple):
    """One GPU, as its maker describes it."""

    name: str
    gigabytes: int
    """Memory in the maker's GB, taken as 10⁹ bytes: most have a few per cent more, which is left for the driver."""
    half: float
    """10¹² operations per second in bf16 or fp16 on tensor cores, dense, accumulated in float32."""
    single: float
    """10¹² operations per second in float32; torch leaves TF32 off."""
    source: str

    @property
    def memory(self) -> int:
        """Bytes that a run may take."""
        return self.gigabytes * 10**9

    def seconds(self, flops: float, precision: str) -> float | None:
        """Time for a number of operations at `UTILISATION`; None for a precision without a rate here.

        Example:
            >>> round(GPUS[0].seconds(165.2e12, "bf16-mixed"), 3)
            2.5
        """
        rates = {"32-true": self.single, "64-true": None}
        rate = rates.get(precision, self.half)
        return None if rate is None else flops / (rate * 1e12 * UTILISATION)


UTILISATION = 0.4
"""Share of the stated rate that is assumed; what is reached depends on shapes, kernels and padding."""

GPUS = (
    GPU("RTX 4090", 24, 165.2, 82.6, "NVIDIA Ada GPU architecture whitepaper, appendix A"),
    GPU("A100 40GB", 40, 312.0, 19.5, "NVIDIA A100 data sheet"),
    GPU("L40S", 48, 362.05, 91.6, "NVIDIA L40S data sheet"),
    GPU("A100 80GB", 80, 312.0, 19.5, "NVIDIA A100 data sheet"),
    GPU(
        "H100 SXM", 80, 989.4, 66.9, "NVIDIA H100 Tensor Core GPU architecture whitepaper; half the rate with sparsity"
    ),
    GPU("H200 SXM", 141, 989.4, 66.9, "NVIDIA H200 data sheet; half the rate with sparsity"),
)


class Machine(NamedTuple):
    """A machine to plan for, which need not be this one; several alike count as one."""

    gpus: int
    gpu: GPU
    """What each of them is."""

    @property
    def name(self) -> str:
        """As a table shows it."""
        return f"{self.gpus} × {self.gpu.name}"

    def seconds(self, flops: float, precision: str) -> float | None:
        """Time for a number of operations that all GPUs share evenly, without any for communication."""
        alone = self.gpu.seconds(flops, precision)
        return None if alone is None else alone / self.gpus


def machine(given: str) -> Machine:
    """The machine that is meant by a number and a GPU's name, of which the beginning is enough.

    Args:
        given: such as "8xH100".

    Raises:
        InputError: it is no number of GPUs, or of none or several that are known here.

    Example:
        >>> machine("8xH100").name, machine("L40S").name, machine("4 x a100-80gb").name
        ('8 × H100 SXM', '1 × L40S', '4 × A100 80GB')
    """
    found = re.fullmatch(r"(?:(\d+)\s*[x×]\s*)?(.+)", given.strip(), re.IGNORECASE)
    count, wanted = (int(found[1] or 1), _letters(found[2])) if found else (0, "")
    meant = [gpu for gpu in GPUS if wanted and _letters(gpu.name).startswith(wanted)]
    if count < 1 or len(meant) != 1:
        known = ", ".join(gpu.name for gpu in (meant if len(meant) > 1 else GPUS))
        raise InputError(f"--for: {given!r} must be a number of GPUs and a name, such as 8xH100; choose from {known}")
    return Machine(count, meant[0])


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
