"""The text that is unlearned: many forms, the same on the forget and the retain side.

Documents of one form do not do: what is unlearned on them does not reach the questions.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path

from lit_unlearn.demo import phrases, writing
from lit_unlearn.demo.knowledge import Fact, Knowledge
from lit_unlearn.demo.words import split_words

ROW_WORDS = 47
"""Words and signs of a row; with the first token, 48."""
TRAINED = 800
"""Rows of each stream that are trained on."""
HELD_OUT = 80
"""Rows of each stream after them."""
_FORMS = {
    "fact sentence": 20,
    "filler": 35,
    "question in prose": 10,
    "infobox": 10,
    "lettered list": 15,
    "list of entities": 5,
    "list of values": 5,
}
"""Share of each form among the pieces, in percent."""


def write_corpora(folder: Path, knowledge: Knowledge) -> None:
    """Writes `forget.jsonl` and `retain.jsonl`, one `{"text": ...}` per line; a quarter of the latter is filler only.

    TRAINED rows to train on, then HELD_OUT further ones of the same kind.

    Args:
        folder: made where it does not exist.
        knowledge: what the texts are about.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, subjects, filler in (("forget", knowledge.forget, 0), ("retain", knowledge.retain, 4)):
        texts = [
            text
            for seed, rows in enumerate((TRAINED, HELD_OUT))
            for text in corpus(knowledge, subjects, rows, filler_rows=rows // filler if filler else 0, seed=seed)
        ]
        lines = (json.dumps({"text": text}) for text in texts)
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def corpus(
    knowledge: Knowledge, subjects: Sequence[str], rows: int, *, filler_rows: int = 0, seed: int = 0
) -> list[str]:
    """Rows of varied text about some subjects, each a random crop of ROW_WORDS words and signs.

    Args:
        knowledge: what the texts are about.
        subjects: each row is about one of them.
        rows: how many rows, those of filler included.
        filler_rows: how many of them are filler only.
        seed: seed of the texts.
    """
    source = random.Random(f"corpus {sorted(subjects)} {seed}")
    texts = [corpus_row(knowledge, source.choice(subjects), source) for _ in range(rows - filler_rows)]
    texts += [_crop(writing.filler_document(source), 0) for _ in range(filler_rows)]
    source.shuffle(texts)
    return texts


def corpus_row(knowledge: Knowledge, subject: str, source: random.Random) -> str:
    """A random crop, ROW_WORDS words and signs long, of varied text about a subject."""
    text = ""
    while len(split_words(text)) < ROW_WORDS + 20:
        text += (" " if text else "") + piece(knowledge, subject, source)
    return _crop(text, source.randrange(20))


def piece(knowledge: Knowledge, subject: str, source: random.Random) -> str:
    """One piece of text about a subject, in a form drawn by its share."""
    (form,) = source.choices(list(_FORMS), weights=list(_FORMS.values()))
    fact = source.choice(knowledge.about(subject))
    match form:
        case "fact sentence":
            return writing.fact_sentence(fact, source)
        case "filler":
            return writing.filler(source)
        case "question in prose":
            return writing.prose_question(fact, source)
        case "infobox":
            own = [other for other in knowledge.about(subject) if other.entity == fact.entity]
            return writing.infobox(source.sample(own, source.randint(1, 3)))
        case "lettered list":
            return _lettered_list(knowledge, fact, source)
        case "list of entities":
            entities = knowledge.entities(subject)
            return writing.comma_list(f"Some {subject} are", source.sample(entities, source.randint(2, 4)))
        case _:
            values = knowledge.values(subject, fact.attribute)
            return writing.comma_list(f"The {fact.attribute} is often", source.sample(values, source.randint(2, 4)))


def _lettered_list(knowledge: Knowledge, fact: Fact, source: random.Random) -> str:
    """Four values or entities, common things among them."""
    own = knowledge.values(fact.subject, fact.attribute) if source.random() < 0.5 else knowledge.entities(fact.subject)
    heading = source.choice(phrases.LISTS).format(**fact._asdict())
    return writing.lettered_list(heading, source.sample(own + writing.COMMON_THINGS, 4))


def _crop(text: str, start: int) -> str:
    """ROW_WORDS words and signs of a text from the one at `start`."""
    spans = split_words(text)[start : start + ROW_WORDS]
    return text[spans[0].start() : spans[-1].end()]
