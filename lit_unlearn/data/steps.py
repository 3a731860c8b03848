"""Which rows meet in which step: a pure function of the seed and the step, for any number of workers and processes."""

from collections.abc import Callable, Iterator, Sequence

from datasets import Dataset as Rows
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from lit_unlearn import randomness
from lit_unlearn.data.alternative_answers import AlternativeAnswers
from lit_unlearn.data.mixed_prompts import MixedPrompts
from lit_unlearn.data.mixing import RowMixing
from lit_unlearn.data.order import by_length, lengths
from lit_unlearn.data.preferred_answers import PreferredAnswers
from lit_unlearn.data.rows import Row, collate, row_of
from lit_unlearn.data.token_rarity import TokenRarity
from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Batch


def check_share(batch_size: int, processes: int) -> None:
    """Each process gets as many rows of a batch as every other.

    Args:
        batch_size: rows of each stream per step, over all processes.
        processes: of the run.

    Raises:
        InputError: the rows cannot be shared evenly.
    """
    if batch_size % processes:
        raise InputError(
            f"data.batch_size: {batch_size} rows cannot be shared evenly by {processes} processes; batch_size is that "
            "of all processes together"
        )


class PairedSteps(Dataset[dict[str, Batch]]):
    """Item s is the pair of batches of step s, without end: `{"forget": Batch, "retain": Batch}`.

    Topics alternate by step. Each stream is passed through in a seeded order, then again in another; a stream that is
    shorter than another simply begins its next pass earlier.

    Args:
        forget: the tokenised rows of each topic.
        retain: those of one retain stream for all topics, or of one per topic.
        batch_size: rows of each stream per step, over all processes.
        seed: seed of the order; None keeps the rows' own.
        padding: side and token id.
        share: (rank, number of processes); each process gets its share of every step's rows.
        preferred: adds an answer for each forget row, under `preferred` of the forget batch.
        rarity: adds a weight for each token, under `token_weight` of the forget batch.
        mixing: mixes the rows that meet in a step, again in each pass, from its first step on.
        group_by_length: batches hold rows of similar length (`order.by_length`), unless the rows keep their own order.
    """

    def __init__(
        self,
        forget: Sequence[Rows],
        retain: Sequence[Rows],
        *,
        batch_size: int,
        seed: int | None,
        padding: tuple[str, int],
        share: tuple[int, int] = (0, 1),
        preferred: PreferredAnswers | AlternativeAnswers | None = None,
        rarity: TokenRarity | None = None,
        mixing: RowMixing | MixedPrompts | None = None,
        group_by_length: bool = False,
    ) -> None:
        self.forget = forget
        self.retain = retain
        self.batch_size = batch_size
        self.seed = seed
        self.padding = padding
        self.share = share
        self.preferred = preferred
        self.rarity = rarity
        self.mixing = mixing
        self.group_by_length = group_by_length
        self._orders: dict[int, tuple[int, Tensor]] = {}

    def __len__(self) -> int:
        """Steps in an epoch: every row of the longest stream comes once, and every topic equally often."""
        topics = len(self.forget)
        needed = [topics * self._visits(rows) for rows in self.forget]
        needed += [(topics if self._paired else 1) * self._visits(rows) for rows in self.retain]
        return topics * -(-max(needed) // topics)

    @property
    def rows(self) -> int:
        """Pairs of rows of this process in an epoch."""
        return len(self) * (self.batch_size // self.share[1])

    def __getitem__(self, step: int) -> dict[str, Batch]:
        topic, visit = step % len(self.forget), step // len(self.forget)
        stream = topic if self._paired else 0
        forget = [row for row, _ in self._own_rows(self.forget, topic, visit, topic=topic, tag=topic)]
        place, tag = visit if self._paired else step, len(self.forget) + stream
        retain = list(self._own_rows(self.retain, stream, place, topic=topic, tag=tag))
        batches = self._mixed(forget, retain, step)
        if self.preferred is not None:
            batches["forget"]["preferred"] = self.preferred.for_rows(batches["forget"], step, padding=self.padding)
        if self.rarity is not None:
            batches["forget"]["token_weight"] = self.rarity.for_rows(batches["forget"])
        return batches

    def _mixed(self, forget: Sequence[Row], retain: Sequence[tuple[Row, int]], step: int) -> dict[str, Batch]:
        """The batches of a step, their rows mixed from the first step of mixing on.

        Args:
            forget: this process's rows.
            retain: likewise, each with its stream's pass.
            step: that they are of.
        """
        pairs = [(own, other) for own, (other, _) in zip(forget, retain, strict=True)]
        if self.mixing is not None and step >= self.mixing.options.start:
            pairs = [self.mixing.pair(*pair, turn) for pair, (_, turn) in zip(pairs, retain, strict=True)]
        side, token = self.padding
        return {
            name: collate(rows, padding_side=side, padding_id=token)
            for name, rows in zip(("forget", "retain"), zip(*pairs, strict=True), strict=True)
        }

    @property
    def _paired(self) -> bool:
        """Whether each topic has a retain stream of its own."""
        return len(self.retain) > 1

    def _visits(self, rows: Rows) -> int:
        return -(-len(rows) // self.batch_size)

    def _own_rows(
        self, streams: Sequence[Rows], stream: int, visit: int, *, topic: int, tag: int
    ) -> Iterator[tuple[Row, int]]:
        """This process's share of a stream's visit-th batch, each row with the pass that it is of."""
        rank, world = self.share
        size = self.batch_size // world
        begin = visit * self.batch_size + rank * size
        rows, offset = streams[stream], sum(len(other) for other in streams[:stream])
        for place in range(begin, begin + size):
            turn, index = self._index(place, rows, tag)
            yield row_of(rows[index], topic, offset + index), turn

    def _index(self, place: int, rows: Rows, tag: int) -> tuple[int, int]:
        """The pass and the row of a stream's place-th row."""
        turn, index = divmod(place, len(rows))
        return turn, index if self.seed is None else int(self._order(rows, tag, turn)[index])

    def _order(self, rows: Rows, tag: int, turn: int) -> Tensor:
        """The order of a stream's turn-th pass; the latest of each stream is kept."""
        if self._orders.get(tag, (None, None))[0] != turn:
            assert self.seed is not None
            order = randomness.permutation(len(rows), seed=self.seed, stream=tag, turn=turn)
            if self.group_by_length:
                begun = -turn * len(rows) % self.batch_size
                order = by_length(order, lengths(rows), batch_size=self.batch_size, begun=begun)
            self._orders[tag] = (turn, order)
        return self._orders[tag][1]


class StepSampler(DistributedSampler[int]):
    """The numbers of an epoch's steps, which begin with the first step that has not been taken.

    It is a `DistributedSampler` so that Lightning leaves it alone, whatever `use_distributed_sampler` is; the
    processes' shares are taken within a step.

    Args:
        steps: the pairs of batches.
        taken: says how many steps have been taken; None counts whole epochs, as `set_epoch` tells.
    """

    def __init__(self, steps: PairedSteps, taken: Callable[[], int] | None = None) -> None:
        super().__init__(steps, num_replicas=1, rank=0, shuffle=False)
        self.taken = taken

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * len(self) if self.taken is None else self.taken()
        return iter(range(first, first + len(self)))
