"""Named GPUs, and how long a step would take on them."""

from typing import NamedTuple


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
