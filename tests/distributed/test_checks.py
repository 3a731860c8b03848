import pytest
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy

from lit_unlearn import FSDP1
from lit_unlearn.distributed.checks import check_strategy
from lit_unlearn.errors import InputError


def test_lightnings_own_fsdp1_is_refused() -> None:
    with pytest.raises(InputError, match=r"trainer.strategy: FSDPStrategy .* take -c trainer/fsdp.yaml"):
        check_strategy(FSDPStrategy())
    check_strategy(FSDP1())
    check_strategy(ModelParallelStrategy())
