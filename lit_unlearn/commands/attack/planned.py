"""What a card would cost: models read, questions asked, rows trained on, and the time of all that on named GPUs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from lit_unlearn.commands.attack.contract import Cost
from lit_unlearn.commands.attack.run import Card
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.commands.plan.machines import GPUS, UTILISATION
from lit_unlearn.commands.plan.table import duration
from lit_unlearn.models import loading
from lit_unlearn.models.precision import weights_dtype
from lit_unlearn.running.shared_attention import shares
from lit_unlearn.runs.tables import aligned

_FORWARD, _TRAINED = 2, 6
"""Operations for each parameter and token: of a forward, and of a forward and a backward through all weights."""


class Work(NamedTuple):
    """What the operations of a card are counted from."""

    parameters: int
    """Of the model, without its input embeddings."""
    asked: int
    """Tokens of one evaluation."""
    row: float
    """Tokens of a row that is trained on, a mean over the forget rows."""

    def operations(self, cost: Cost) -> float:
        """Floating-point operations; what attention adds is left out.

        Example:
            >>> Work(1000, 50, 10.0).operations(Cost(evaluations=2, trained_rows=3))
            380000.0
        """
        tokens = _FORWARD * cost.evaluations * self.asked + _TRAINED * cost.trained_rows * self.row
        return self.parameters * tokens


def planned(card: Card) -> str:
    """A table of what is not done yet, by attack.

    Args:
        card: nothing of it is run; its data is read.

    Raises:
        InputError: the model or the data cannot be read.
    """
    target = next(iter(card.targets().values()))
    target.check()
    work = measured(target)
    costs = _costs(card)
    head = ["attack", "points", "models read", "evaluations", "rows trained on", *(gpu.name for gpu in GPUS)]
    rows = [[card.attacks[name].title, *_cells(own, work, target.precision)] for name, own in costs.items()]
    every = [cost for own in costs.values() for cost in own]
    note = (
        f"An evaluation is {work.asked:,} tokens, a row {work.row:.0f}, the model {work.parameters / 1e9:.3g} billion "
        f"weights. Times are estimates: {UTILISATION:.0%} of the data sheet's rate, without reading models; one GPU."
    )
    return "\n".join([*aligned([head, *rows, ["all", *_cells(every, work, target.precision)]], numbers=True), note])


def measured(target: Target) -> Work:
    """Counts parameters and tokens; no weight is loaded."""
    source = target.source
    config = loading.load_config(source)
    model = loading.without_weights(
        config, weights_dtype(target.precision), source.attn_implementation, trust_remote_code=source.trust_remote_code
    )
    embeddings = model.get_input_embeddings().weight.numel()  # type: ignore[operator]
    tied = bool(config.get_text_config().tie_word_embeddings)
    count = sum(parameter.numel() for parameter in model.parameters()) - (0 if tied else int(embeddings))
    packed = shares(config)
    asked = sum(_tokens(batch, packed=packed) for loader in target.loaders() for batch in loader)
    rows = [len(ids) for one in target.data.trained_rows("forget").values() for ids in one["input_ids"]]
    return Work(count, asked, sum(rows) / len(rows))


def _costs(card: Card) -> dict[str, list[Cost]]:
    """Of each attack, what is not done."""
    found: dict[str, list[Cost]] = {}
    for unit in card.waiting():
        found.setdefault(unit.attack, []).append(card.attacks[unit.attack].cost(unit.settings))
    return found


def _cells(costs: Sequence[Cost], work: Work, precision: str) -> Iterator[str]:
    yield str(len(costs))
    yield str(sum(cost.loads for cost in costs))
    yield f"{sum(cost.evaluations for cost in costs):g}"
    yield f"{sum(cost.trained_rows for cost in costs):,}"
    operations = sum(map(work.operations, costs))
    for gpu in GPUS:
        seconds = gpu.seconds(operations, precision)
        yield "-" if seconds is None else duration(seconds)


def _tokens(batch: Mapping[str, Any], *, packed: bool) -> int:
    """Tokens that run for a batch; what prompts have in common counts once where the model shares it."""
    if "forget" in batch:
        return sum(int(rows["attention_mask"].sum()) for rows in (batch["forget"], batch["retain"]))
    found = 0
    if "input_ids" in batch:
        found += _rows(batch, "packed" if packed and "packed" in batch else None)
    if "texts" in batch:
        own = "packed" if "option" in batch else "packed_texts"
        found += int(batch[own]["input_ids"].numel()) if packed and own in batch else _count(batch["texts"])
    return found


def _rows(batch: Mapping[str, Any], packed: str | None) -> int:
    return _count(batch) if packed is None else int(batch[packed]["input_ids"].numel())


def _count(rows: Mapping[str, Tensor]) -> int:
    return int(rows["attention_mask"].sum())
