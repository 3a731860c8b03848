"""Over which processes a model is sharded, as one of many sees it; `test_world_size.py` has real ones."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from lit_unlearn import InputError
from lit_unlearn.distributed.checks import check_mesh
from lit_unlearn.distributed.sharding import gathered, most_calls, processes
from lit_unlearn.losses import by_token
from lit_unlearn.losses.functional import negative_log_likelihood
from lit_unlearn.losses.lazy_logits import LazyLogits
from lit_unlearn.models.sharded_loading import rows
from tests.processes import run_in_several


@pytest.fixture
def mesh() -> Iterator[Callable[..., DeviceMesh]]:
    """Makes the mesh of ModelParallelStrategy as process `rank` of eight has it."""

    def made(rank: int, *shape: int) -> DeviceMesh:
        dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=8)
        return init_device_mesh("cpu", shape or (8, 1), mesh_dim_names=("data_parallel", "tensor_parallel"))

    yield made
    if dist.is_initialized():
        dist.destroy_process_group()


class Strategy(ModelParallelStrategy):
    """One whose processes have found each other."""

    def __init__(self, mesh: DeviceMesh) -> None:
        super().__init__()
        self._device_mesh = mesh


def test_consecutive_processes_hold_a_copy_together(mesh: Callable[..., DeviceMesh]) -> None:
    found = processes(mesh(5), 2)
    assert (found.mesh.tolist(), tuple(found.get_coordinate() or ())) == ([[0, 1, 2, 3], [4, 5, 6, 7]], (1, 1))


@pytest.mark.parametrize(
    ("rank", "replicas", "share"), [(0, 1, (0, 2)), (5, 1, (10, 12)), (5, 2, (3, 6)), (7, 2, (9, 12)), (7, 8, (0, 10))]
)
def test_a_process_reads_its_rows(
    mesh: Callable[..., DeviceMesh], rank: int, replicas: int, share: tuple[int, int]
) -> None:
    module = nn.Linear(4, 10, bias=False)
    whole = processes(mesh(rank), replicas)
    before = module.weight.detach().clone()
    fully_shard(module, mesh=whole)
    assert rows(module.weight) == slice(*share)
    assert isinstance(module.weight, DTensor)
    assert torch.equal(module.weight.to_local(), before[slice(*share)])


def test_processes_that_cannot_hold_the_copies_are_told(mesh: Callable[..., DeviceMesh]) -> None:
    strategy = Strategy(mesh(0))
    for replicas in (1, 2, 8):
        check_mesh(strategy, replicas)
    with pytest.raises(InputError, match=r"model.replicas: 8 processes cannot hold 3 copies; give a number that div"):
        check_mesh(strategy, 3)
    with pytest.raises(InputError, match=r"model.replicas: 8 processes cannot hold 0 copies"):
        check_mesh(strategy, 0)
    with pytest.raises(InputError, match=r"model.replicas: 2 copies .* are FSDP2's; take -c trainer/fsdp2.yaml"):
        check_mesh(DDPStrategy(), 2)


def test_tensor_parallelism_is_refused(mesh: Callable[..., DeviceMesh]) -> None:
    with pytest.raises(InputError, match="tensor parallelism is not supported; set tensor_parallel_size to 1"):
        check_mesh(Strategy(mesh(0, 4, 2)), 1)


def test_a_module_that_is_whole_is_called_as_often_as_this_process_needs_it() -> None:
    assert most_calls(nn.Linear(2, 3), 4) == 4
    assert most_calls(None, 4) == 4


LENGTHS = (3, 17)
"""Tokens of each process's row: with 5 at a time the head is called once, or four times."""


def likelihood(head: nn.Module, rank: int, agreed: Callable[[int], int]) -> torch.Tensor:
    source = torch.Generator().manual_seed(rank)
    states = torch.randn(1, LENGTHS[rank], 4, generator=source)
    labels = torch.randint(6, (1, LENGTHS[rank]), generator=source)
    return negative_log_likelihood(LazyLogits(head, states, 6, trained=True, agreed=agreed), labels).sum()


def head_of_two() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(4, 6, bias=False)


def train_in_two(rank: int, folder: str) -> None:
    by_token._CPU = by_token.Sizes(made=0, tokens=5, read=100)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    head = head_of_two()
    fully_shard(head, mesh=init_device_mesh("cpu", (2,)), reshard_after_forward=True)
    likelihood(head, rank, partial(most_calls, head)).backward()
    (gradient,) = [gathered(parameter.grad) for parameter in head.parameters()]
    torch.save(gradient, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_a_sharded_head_is_called_as_often_by_all_whatever_their_tokens(tmp_path: Path) -> None:
    run_in_several(train_in_two, (str(tmp_path),), 2)
    head = head_of_two()
    mean = sum(likelihood(head, rank, lambda calls: calls) for rank in range(2)) / 2
    (expected,) = torch.autograd.grad(mean, [*head.parameters()])  # type: ignore[arg-type]
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), expected)
