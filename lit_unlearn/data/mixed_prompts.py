"""Mixed prompts: a forget row and a retain row in one sequence, each loss over its own part."""

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow.compute as pc
import torch
from datasets import Dataset
from torch import Tensor

from lit_unlearn.data.draws import chance, uniform
from lit_unlearn.data.mixing import Mixing
from lit_unlearn.data.order import lengths
from lit_unlearn.data.rows import Row


class MixedPrompts(NamedTuple):
    """Joins rows that meet in a step: a pure function of the seed, the retain row and its stream's pass.

    Of a pair that is mixed both rows become the same prompt, the forget row before or after the retain row, a line
    break between them. In the forget batch only the forget row counts, in the retain batch only the retain row; the
    first token of the second row, which is predicted across the border, is no label. The idea is Mixed Prompt
    unlearning's (Jeung et al. 2025, arXiv 2505.14832).

    Differs from the authors' code: whole rows are joined, not questions and then their answers as two numbered lists;
    the losses are the run's own, not the authors' MP-ME (KL towards the uniform distribution on forget tokens, towards
    the frozen model on retain tokens, in one mean) and MP-IDK (NLL of a refusal and of the retain answer); a share of
    the pairs is mixed, each in one of the two orders, where they train every pair in both.
    """

    options: Mixing
    separator: list[int]
    """Tokens between the two rows, which belong to neither."""
    begin: int | None
    """The token with which the tokenizer begins a row, if any; it stands once."""
    seed: int

    def pair(self, forget: Row, retain: Row, turn: int) -> tuple[Row, Row]:
        """The two rows as they are, or both the same prompt with each its own positions.

        Args:
            forget: of a forget stream.
            retain: of a retain stream.
            turn: how often the retain stream has been passed through before.
        """
        key = ("mixed prompt", self.seed, turn, retain.number)
        if not chance(self.options.rate, *key, "row"):
            return forget, retain
        if uniform(2, *key, "order"):
            return self._joined(forget, retain)
        second, first = self._joined(retain, forget)
        return first, second

    def _joined(self, first: Row, second: Row) -> tuple[Row, Row]:
        """Both rows as the one prompt; each leaves the other's positions out."""
        cut = int(second.input_ids[0] == self.begin)
        ids = [*first.input_ids, *self.separator, *second.input_ids[cut:]]
        end, begin = len(first.input_ids), len(first.input_ids) + len(self.separator)
        moved = frozenset(place - cut + begin for place in second.prompt if place >= cut)
        return (
            first._replace(input_ids=ids, inserted=frozenset(range(end, len(ids)))),
            second._replace(input_ids=ids, inserted=frozenset(range(begin)), prompt=moved),
        )


def longest_pair(forget: Mapping[str, Dataset], retain: Mapping[str, Dataset], *, begin: int | None) -> int:
    """The tokens of the two longest rows that may be joined, without those between them.

    Args:
        forget: tokenised rows of each topic.
        retain: one stream for all topics, or one for each under the topics' names.
        begin: the token with which the tokenizer begins a row, which the second of two rows loses.
    """
    met = retain if len(retain) > 1 else dict.fromkeys(forget, *retain.values())
    pairs = [(rows, met[topic]) for topic, rows in forget.items()]
    orders = pairs + [(second, first) for first, second in pairs]
    return max(int(lengths(first).max() + _as_second(second, begin).max()) for first, second in orders)


def _as_second(rows: Dataset, begin: int | None) -> Tensor:
    """The tokens of each row that are left of it as the second of two, int64 `[rows]`."""
    if begin is None:
        return lengths(rows)
    first = pc.list_element(rows.with_format("arrow")[:]["input_ids"], 0)
    return lengths(rows) - torch.tensor(pc.equal(first, begin).to_numpy()).long()
