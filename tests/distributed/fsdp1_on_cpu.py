"""FSDP1 without a GPU: the shipped class, told its device, which Lightning names by its index."""

from typing import Any
from unittest.mock import patch

import torch
from lightning.pytorch.plugins.precision import FSDPPrecision
from torch import nn
from torch.distributed import fsdp

from lit_unlearn.distributed.fsdp1 import FSDP1


class _OnCPU(fsdp.FullyShardedDataParallel):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options | {"device_id": torch.device("cpu")})


class FSDP1OnCPU(FSDP1):
    """On the CPU, autocast there included."""

    needs_gpu = False

    def setup_environment(self) -> None:
        plugin = self.precision_plugin
        if plugin.precision == "bf16-mixed":
            plugin.forward_context = lambda: torch.autocast("cpu", torch.bfloat16)  # type: ignore[method-assign]
        super().setup_environment()

    def _setup_model(self, model: nn.Module) -> nn.Module:
        with patch.object(fsdp, "FullyShardedDataParallel", _OnCPU):
            return super()._setup_model(model)


class FSDP1Double(FSDPPrecision):
    """Lightning's has no float64."""

    def __init__(self) -> None:
        super().__init__("32-true")
        self.precision = "64-true"
        self._desired_input_dtype = torch.float64
