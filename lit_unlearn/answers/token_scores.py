"""What a model gives to each token of an answer, in one forward: all that the metrics need."""

from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from lit_unlearn.losses import functional
from lit_unlearn.losses.by_token import Measure, by_token
from lit_unlearn.losses.contract import Batch
from lit_unlearn.questions.scored_texts import ScoredBatches, to_the_left
from lit_unlearn.running.partial_forward import run_layers


class AnswerBatch(TypedDict):
    """Some answers after their questions."""

    answers: Batch
    """As a stream's rows; `row` is the text's number, `labels` are those of the answers."""
    valid: Tensor
    """`[batch]` bool, False at a text that only fills up and is never counted."""


class AnswerScores(TypedDict):
    """What came out for the valid texts of a batch; by token `[texts, tokens]`, NaN after the last."""

    answer: Tensor
    """`[texts]`, numbers of the texts."""
    logprob: Tensor
    """Of each token of the answer, in nats."""
    greedy: Tensor
    """1 where the token is the likeliest, else 0."""
    mean_logprob: Tensor
    """Σ_v p_v log p_v: what a token's log-probability is in the mean."""
    variance: Tensor
    """Σ_v p_v (log p_v)² − mean²."""


class AnswerBatches(Dataset[AnswerBatch]):
    """Batches of answers, shared out as those of texts (`ScoredBatches`).

    Args:
        texts: in batches.
    """

    def __init__(self, texts: ScoredBatches) -> None:
        self._texts = texts

    def __len__(self) -> int:
        """Batches of each process."""
        return len(self._texts)

    @property
    def rows(self) -> int:
        """Texts of this process."""
        return self._texts.rows

    def __getitem__(self, index: int) -> AnswerBatch:
        found = self._texts[index]
        return AnswerBatch(answers=found["texts"], valid=found["valid"])


def token_scores(model: PreTrainedModel, layers: nn.ModuleList, batch: AnswerBatch) -> AnswerScores:
    """What a causal language model gives to the tokens of answers.

    Args:
        model: a causal language model.
        layers: its decoder layers.
        batch: of answers.

    Raises:
        Diverged: its logits are not numbers.
    """
    answers, valid = batch["answers"], batch["valid"]
    outputs, _ = run_layers(model, layers, answers, layer=len(layers) - 1, needs_logits=True, start=0)
    assert outputs.logits is not None
    labels = functional.predicted_labels(answers["labels"], answers["attention_mask"], answers["loss_mask"])
    counted = labels[:, 1:] != functional.IGNORED_LABEL
    measure = Measure(_scores, lambda rows, positions: labels[rows, positions + 1])
    with torch.no_grad():
        found = by_token(measure, counted, outputs.logits)
    logprob, greedy, mean, variance = (to_the_left(one, counted)[valid] for one in found.unbind(dim=-1))
    return AnswerScores(
        answer=answers["row"][valid], logprob=logprob, greedy=greedy, mean_logprob=mean, variance=variance
    )


def _scores(logits: Tensor, labels: Tensor) -> Tensor:
    """`[tokens, 4]` of logits `[tokens, vocab]`."""
    logprobs = functional.precise(logits).log_softmax(dim=-1)
    probabilities = logprobs.exp()
    finite = logprobs.masked_fill(probabilities == 0, 0.0)  # 0 log 0 = 0
    mean = (probabilities * finite).sum(dim=-1)
    variance = (probabilities * (finite - mean[:, None]).square()).sum(dim=-1)
    own = logprobs.gather(-1, labels[:, None])[:, 0]
    return torch.stack([own, (logits.argmax(dim=-1) == labels).to(own.dtype), mean, variance], dim=-1)
