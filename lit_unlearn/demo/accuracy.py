"""The share of four-option questions a model answers rightly: `python -m lit_unlearn.demo.accuracy [MODEL]`."""

import argparse
from collections.abc import Sequence

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from lit_unlearn.demo import CHECKPOINT
from lit_unlearn.demo.knowledge import invent
from lit_unlearn.demo.questions import LETTERS, Question, draw, prompt


@torch.no_grad()
def accuracy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question], *, batch_size: int = 100
) -> float:
    """The share, 0 to 1, of questions whose right letter is the likeliest of the four after the prompt."""
    right = 0
    for start in range(0, len(questions), batch_size):
        part = questions[start : start + batch_size]
        answers = torch.tensor([question["answer"] for question in part])
        right += int((_letter_logits(model, tokenizer, part).argmax(dim=-1) == answers).sum())
    return right / len(questions)


def _letter_logits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question]
) -> torch.Tensor:
    """Logits of the four letters, `[batch, 4]`."""
    prompts = [prompt(question) for question in questions]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="right", return_token_type_ids=False)
    letters = [tokenizer.convert_tokens_to_ids(letter) for letter in LETTERS]
    last = inputs["attention_mask"].sum(dim=1) - 1
    logits: torch.Tensor = model(**inputs, use_cache=False).logits
    return logits[torch.arange(len(last)), last][:, letters]


def main() -> None:
    """Prints the accuracy of a model on fresh forget and retain questions."""
    parser = argparse.ArgumentParser(description="Accuracy of a model on fresh questions about the demo world.")
    parser.add_argument("model", nargs="?", default=str(CHECKPOINT), help="folder of model and tokenizer")
    parser.add_argument("--count", type=int, default=576, help="questions of each side")
    parser.add_argument("--seed", type=int, default=1, help="seed of the draw")
    options = parser.parse_args()
    knowledge = invent()
    model = AutoModelForCausalLM.from_pretrained(options.model).eval()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    for side, subjects in (("forget", knowledge.forget), ("retain", knowledge.retain)):
        share = accuracy(model, tokenizer, draw(knowledge, subjects, options.count, seed=options.seed))
        print(f"{side}: {share:.1%} of {options.count} questions right")


if __name__ == "__main__":
    main()
