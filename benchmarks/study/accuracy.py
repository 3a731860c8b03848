"""The share of four-option questions a model answers correctly: `python -m benchmarks.study.accuracy [MODEL]`."""

import argparse
from collections.abc import Sequence

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from lit_unlearn.cli import refusals
from lit_unlearn.demo import CHECKPOINT
from lit_unlearn.demo.knowledge import invent
from lit_unlearn.demo.questions import Question, draw
from lit_unlearn.questions import source as asking
from lit_unlearn.questions.batches import QueryBatches, encode, query_loader
from lit_unlearn.questions.scores import choice_scores, evaluate_choices


@torch.no_grad()
def accuracy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question], *, max_tokens: int = 8192
) -> float:
    """The share, 0 to 1, of questions whose right letter is the likeliest of the four after the prompt."""
    asked = [
        asking.Question(one["question"], (*one["choices"],), one["answer"], one["subject"], number)
        for number, one in enumerate(questions)
    ]
    batches = query_loader(QueryBatches(encode(asked, tokenizer), max_tokens=max_tokens))
    right = [evaluate_choices(choice_scores(model, batch), batch)["correct"] for batch in batches]
    return float(torch.cat(right).float().mean())


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
    with refusals("benchmarks.study.accuracy"):
        main()
