"""How deep in the model answers were unlearned."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar, cast

import torch
from torch import Tensor

from lit_unlearn.answers.depth import THRESHOLD, depth
from lit_unlearn.answers.depth_scores import Lost, lost_by_layer
from lit_unlearn.answers.plan import plan
from lit_unlearn.answers.token_scores import AnswerBatch, AnswerBatches
from lit_unlearn.commands.attack.contract import Attack, Cost, Outcome, Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.models import loading
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.source import ModelSource
from lit_unlearn.questions.prompt_limit import longest_prompt
from lit_unlearn.questions.scored_texts import ScoredBatches
from lit_unlearn.running.state_patching import Decoder


class UnlearningDepth(Attack):
    """The Unlearning Depth Score of the data's free answers (arXiv 2605.24614), of those to forget and to retain.

    What the right answers lose in the model before unlearning when the unlearned model's states stand where they are
    predicted, layer by layer, of what they lose with the states of a model that has never seen them: 1 where as much is
    gone from every layer that held it, 0 where all is there. All three models must share coordinates: one
    initialisation, or one fine-tuned from the other. Nothing is brought back: the row has no accuracies.

    Args:
        reference: hub name or folder of the retain-only model.
        rows: at most so many of each set, evenly spread; None takes all.
        max_tokens: of a batch, padding included.

    Raises:
        InputError: a number is too small.
    """

    needs_base: ClassVar[bool] = True
    shown: ClassVar[tuple[str, ...]] = ("depth", "rows", "reference_loss_on_retain")

    def __init__(self, reference: str, *, rows: int | None = None, max_tokens: int = 4096) -> None:
        for name, value, least in (("rows", rows, 2), ("max_tokens", max_tokens, 1)):
            check_at_least(f"UnlearningDepth.{name}", value, least)
        self.reference, self.rows, self.max_tokens = reference, rows, max_tokens

    @property
    def title(self) -> str:
        """For the card."""
        return "Unlearning Depth Score"

    def cost(self, settings: Settings) -> Cost:
        """Three models; each answer runs through half of the layers for each layer, twice."""
        del settings
        return Cost(loads=3, evaluations=4)

    def others(self) -> Sequence[str]:
        """The retain-only model."""
        return [self.reference]

    def check(self, target: Target) -> None:
        """The data has free answers to forget, and all three models have as many layers of the same width.

        Raises:
            InputError: it has none, or they have not.
        """
        if not any(one.role == "forget" for one in target.data.answers.values()):
            raise InputError("UnlearningDepth: the data has no free answers to forget; set data.answers")
        before, *others = (_shape(source) for source in (target.base, ModelSource(self.reference), target.source))
        for shape, name in zip(others, (self.reference, target.source.given), strict=True):
            if shape != before:
                raise InputError(
                    f"UnlearningDepth: {name} has {shape[0]} layers of {shape[1]}, the model before unlearning "
                    f"{before[0]} of {before[1]}; give models that share coordinates"
                )

    def attempt(self, target: Target, settings: Settings, seed: int) -> Iterable[Outcome]:
        """Patches.

        Raises:
            InputError: the data has no free answers to forget, or the models are not alike.
        """
        del seed
        self.check(target)
        sources = {
            name: replace(one, limit=min(filter(None, (self.rows, one.limit)), default=None))
            for name, one in target.data.answers.items()
            if one.role in ("forget", "retain")
        }
        base = target.load_base()
        full = Decoder(base, decoder_layers(base))
        models = [target.load_other(ModelSource(self.reference)), target.load()]
        others = [Decoder(one, decoder_layers(one)) for one in models]
        planned = plan(sources, target.tokenizer, longest=longest_prompt(base.config, target.tokenizer))
        further: dict[str, float | None] = {}
        # By role, set, model, text and layer.
        lost: dict[str, list[list[list[list[float]]]]] = {"forget": [], "retain": []}
        for one in planned.sets.values():
            numbers = [row.answer for row in one.rows if row.answer is not None]
            batches = AnswerBatches(
                ScoredBatches(
                    [planned.texts[number] for number in numbers],
                    max_tokens=self.max_tokens,
                    padding=target.data.padding,
                )
            )
            found = _lost(full, others, batches, [planned.ends[number] for number in numbers])
            lost[one.role].append(found)
        reference, unlearned = ([row for part in lost["forget"] for row in part[place]] for place in (0, 1))
        score = depth(reference, unlearned)
        further |= {"depth": score.score, "rows": score.rows, "left_out": score.left_out}
        further |= _by_layer("reference_loss", reference) | _by_layer("loss", unlearned)
        retained = [row for part in lost["retain"] for row in part[0]]
        if retained:
            means = torch.tensor(retained).mean(dim=0)
            further["reference_loss_on_retain"] = float(means.max())
            further["retain_rows_above"] = float((torch.tensor(retained) > THRESHOLD).any(dim=1).double().mean())
        yield Outcome(settings, {}, further)


def _shape(source: ModelSource | None) -> tuple[int, int]:
    """Layers and their width, of the configuration."""
    assert source is not None  # checked with all that need the base
    config = loading.load_config(source).get_text_config()
    return config.num_hidden_layers, config.hidden_size


def _lost(full: Decoder, others: list[Decoder], batches: AnswerBatches, ends: list[int]) -> list[list[list[float]]]:
    """Of each of the others, by text and layer."""
    found: list[Lost] = [{} for _ in others]
    for index in range(len(batches)):
        batch = batches[index]
        rows = {name: value.to(full.model.device) for name, value in cast(dict[str, Tensor], batch["answers"]).items()}
        moved = cast(AnswerBatch, {"answers": rows, "valid": batch["valid"]})
        for whole, part in zip(found, lost_by_layer(full, others, moved, ends), strict=True):
            whole.update(part)
    return [[one[text] for text in sorted(one)] for one in found]


def _by_layer(name: str, rows: list[list[float]]) -> dict[str, float | None]:
    means = torch.tensor(rows).mean(dim=0).tolist()
    return {f"{name}_layer_{layer}": value for layer, value in enumerate(means)}
