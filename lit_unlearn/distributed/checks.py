"""Whether a strategy and its processes can hold the model."""

from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy

from lit_unlearn.distributed.fsdp1 import FSDP1
from lit_unlearn.errors import InputError


def check_strategy(strategy: object) -> None:
    """A strategy that shards does so as this package needs it.

    Raises:
        InputError: it is Lightning's own for FSDP1.
    """
    if isinstance(strategy, FSDPStrategy) and not isinstance(strategy, FSDP1):
        raise InputError(
            "trainer.strategy: FSDPStrategy would put trained and other weights into one unit, and compute positions "
            "in the precision of the weights; take -c trainer/fsdp.yaml, or FSDP2, -c trainer/fsdp2.yaml"
        )


def settle_sizes(strategy: object, processes: int) -> None:
    """Gives the mesh that ModelParallelStrategy will make a place for each process, or checks that it has.

    Lightning's own `auto` is another: as many copies as machines, each in parts of tensors. That a mesh has too few
    places it would say in each process, after they have started.

    Args:
        strategy: the Trainer's, not set up yet.
        processes: of the run.

    Raises:
        InputError: it has not.
    """
    if not isinstance(strategy, ModelParallelStrategy):
        return
    _check_tensor_parallel(strategy._tensor_parallel_size)
    if strategy._data_parallel_size == "auto":
        strategy._data_parallel_size = processes
    if strategy._data_parallel_size != processes:
        raise InputError(
            f"trainer.strategy.data_parallel_size: {strategy._data_parallel_size}, and trainer.devices times "
            f"trainer.num_nodes are {processes} processes; set it to auto or {processes}"
        )


def check_mesh(strategy: object, replicas: int) -> None:
    """The processes can hold the copies of the model.

    Args:
        strategy: the Trainer's.
        replicas: copies of the model.

    Raises:
        InputError: they cannot.
    """
    if not isinstance(strategy, ModelParallelStrategy):
        check_replicas(replicas, None)
        return
    _check_tensor_parallel(strategy.device_mesh["tensor_parallel"].size())
    check_replicas(replicas, strategy.device_mesh["data_parallel"].size())


def check_replicas(replicas: int, processes: int | None) -> None:
    """The processes can hold this number of copies of a model.

    Args:
        replicas: copies.
        processes: over which FSDP2 shards them; None where the strategy is another.

    Raises:
        InputError: they cannot.
    """
    if processes is None and replicas != 1:
        raise InputError(
            f"model.replicas: {replicas} copies of a sharded model are FSDP2's; take -c trainer/fsdp2.yaml, or set 1"
        )
    if processes is not None and (replicas < 1 or processes % replicas):
        raise InputError(
            f"model.replicas: {processes} processes cannot hold {replicas} copies; give a number that divides "
            f"{processes}, such as that of machines"
        )


def _check_tensor_parallel(size: int | str) -> None:
    if size != 1:
        raise InputError("trainer.strategy: tensor parallelism is not supported; set tensor_parallel_size to 1")
