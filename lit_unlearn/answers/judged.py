"""How likely another model finds written texts: their perplexity."""

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_unlearn.answers.gibberish import perplexity
from lit_unlearn.answers.outcomes import token_values
from lit_unlearn.answers.token_scores import AnswerBatch, AnswerScores, token_scores
from lit_unlearn.questions.scored_texts import ScoredBatches, ScoredText

MOST = 1e6
"""A larger perplexity is not told apart; a text too short to be scored has it too."""
_TOKENS = 4096


def perplexities(
    model: PreTrainedModel, layers: nn.ModuleList, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> list[float]:
    """The perplexity of each text under a model, 1 to 1e6; that of a text of fewer than two tokens is 1e6.

    Args:
        model: a causal language model in eval mode, on its device.
        layers: its decoder layers.
        tokenizer: its own.
        texts: each alone, with the special tokens that the tokenizer adds; one too long is cut.
    """
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    ids = [tuple(tokenizer(text)["input_ids"])[:longest] if text else () for text in texts]
    scored = {number: ScoredText(one, len(one) - 1) for number, one in enumerate(ids) if len(one) > 1}
    padding = (tokenizer.padding_side, tokenizer.pad_token_id or 0)
    batches = ScoredBatches([*scored.values()], max_tokens=_TOKENS, padding=padding)
    scores = [_scores(model, layers, batches, index) for index in range(len(batches))] if scored else []
    values = token_values(scores)
    found = {number: perplexity(values[place].logprob) for place, number in enumerate(scored)}
    return [min(MOST, found.get(number, MOST)) for number in range(len(texts))]


def _scores(model: PreTrainedModel, layers: nn.ModuleList, batches: ScoredBatches, index: int) -> AnswerScores:
    batch = batches[index]
    texts = {name: value.to(model.device) for name, value in batch["texts"].items()}  # type: ignore[attr-defined]
    answers = AnswerBatch(answers=texts, valid=batch["valid"].to(model.device))  # type: ignore[typeddict-item]
    found: AnswerScores = token_scores(model, layers, answers)
    return {name: value.cpu() for name, value in found.items()}  # type: ignore[return-value, attr-defined]
