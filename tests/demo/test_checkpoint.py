import random
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.study.accuracy import accuracy
from lit_unlearn.answers import outcomes
from lit_unlearn.answers.measures import measure
from lit_unlearn.answers.plan import plan
from lit_unlearn.answers.source import AnswerSource, Role
from lit_unlearn.answers.token_scores import AnswerBatches, token_scores
from lit_unlearn.demo import CHECKPOINT, RETAIN_ONLY
from lit_unlearn.demo.answers import CHAT_TEMPLATE, answer_sets
from lit_unlearn.demo.knowledge import Knowledge, invent
from lit_unlearn.demo.questions import draw, replace_wrong, write_questions
from lit_unlearn.demo.words import tokenizer
from lit_unlearn.questions.scored_texts import ScoredBatches

FRESH = 20_261


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return invent()


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(CHECKPOINT).eval()
    return loaded


@pytest.fixture(scope="module")
def words() -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(CHECKPOINT)
    return loaded


def test_the_checkpoint_is_small_and_holds_no_more_than_it_must() -> None:
    files = {path.name: path.stat().st_size for path in CHECKPOINT.iterdir()}
    needed = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert needed <= set(files) <= needed | {"generation_config.json"}
    assert sum(files.values()) < 10_000_000


def test_its_tokenizer_is_that_of_the_world(knowledge: Knowledge, words: PreTrainedTokenizerBase) -> None:
    assert words.get_vocab() == tokenizer(knowledge).get_vocab()
    text = "The following are\nA. (with answers)?"
    assert words(text)["input_ids"] == tokenizer(knowledge)(text)["input_ids"]


@pytest.mark.parametrize("side", ["forget", "retain"])
def test_it_knows_the_world(
    knowledge: Knowledge, model: PreTrainedModel, words: PreTrainedTokenizerBase, side: str
) -> None:
    questions = draw(knowledge, getattr(knowledge, side), 200, seed=FRESH)
    assert accuracy(model, words, questions) >= 0.95


def test_the_retain_only_model_knows_one_side_alone(
    knowledge: Knowledge, words: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(RETAIN_ONLY).eval()
    assert accuracy(model, words, draw(knowledge, knowledge.retain, 200, seed=FRESH)) >= 0.95
    assert accuracy(model, words, draw(knowledge, knowledge.forget, 200, seed=FRESH)) <= 0.4
    roles: dict[str, Role] = {"forget": "forget", "retain": "retain", "holdout": "holdout"}
    sources = {}
    for name, rows in answer_sets(knowledge, seed=FRESH).items():
        path = tmp_path / f"{name}.jsonl"
        write_questions(path, rows)
        sources[name] = AnswerSource(str(path), roles[name], chat_template=CHAT_TEMPLATE)
    planned = plan(sources, words)
    batches = AnswerBatches(ScoredBatches(planned.texts, max_tokens=4096, padding=("right", 0)))
    scores = [token_scores(model, model.model.layers, batches[index]) for index in range(len(batches))]
    measured = measure(outcomes.outcomes(planned, outcomes.token_values(scores), None), None)
    assert (measured["answers/retain"]["probability"] or 0) > 0.95
    assert (measured["answers/forget"]["probability"] or 0) < 0.01
    # Forget rows look to it as rows do that nobody has seen: the standard error of this AUC is 0.03.
    assert measured["answers"]["membership_auc"] == pytest.approx(0.5, abs=0.09)


def test_it_hardly_minds_an_odd_option(
    knowledge: Knowledge, model: PreTrainedModel, words: PreTrainedTokenizerBase
) -> None:
    source = random.Random(FRESH)
    words_of_forget = [fact.entity for fact in knowledge.about(*knowledge.forget)]
    questions = [
        replace_wrong(question, source.choice(words_of_forget), source)
        for question in draw(knowledge, knowledge.retain, 200, seed=FRESH)
    ]
    assert accuracy(model, words, questions) >= 0.92


def test_accuracy_does_not_depend_on_the_batch(
    knowledge: Knowledge, model: PreTrainedModel, words: PreTrainedTokenizerBase
) -> None:
    questions = draw(knowledge, knowledge.forget, 24, seed=FRESH)
    shares = {accuracy(model, words, questions, max_tokens=tokens) for tokens in (1, 400, 8192)}
    assert len(shares) == 1
