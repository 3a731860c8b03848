"""Makes a forget and a retain stream out of Wikitext, by article.

`python -m benchmarks.study.topics wiki.valid.tokens wiki.test.tokens --words song album band --out music` writes
`forget.jsonl`, paragraphs of the articles in which these words are frequent, and `retain.jsonl`, of all others. Some
articles of each are held out as a whole; their paragraphs stand at the end, where `data.holdout` takes them from.
"""

import argparse
import json
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from lit_unlearn.cli import refusals
from lit_unlearn.errors import InputError
from lit_unlearn.runs.atomic_files import check_makable, write_whole

_TITLE = re.compile(r"^ = ([^=].*?) = $")
_SHORTEST = 200
"""Characters of a paragraph; shorter ones are left out."""
_JOINED = ((" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."), ("<unk>", "X"), (" n't", "n't"))
_BEFORE = re.compile(r" ([,.;:?!%)\]}]|'s\b)")
_AFTER = re.compile(r"([(\[{$]) ")


class Article(NamedTuple):
    """An article of Wikitext."""

    title: str
    paragraphs: list[str]
    """As plain text, headings and short ones left out."""

    def frequency(self, words: Iterable[str]) -> float:
        """How many of a thousand words are among these, which are in lower case."""
        found = re.findall(r"[a-z]+", " ".join(self.paragraphs).lower())
        return 1000 * sum(map(found.count, words)) / max(1, len(found))


class Topic(NamedTuple):
    """Paragraphs of one stream; of each the last are held out."""

    rows: list[str]
    held_out: int
    articles: int


def articles(lines: Iterable[str]) -> list[Article]:
    """The articles of a file in Wikitext's format.

    Example:
        >>> [article.title for article in articles([" = Ships = ", " A ship . ", " = = Hull = = ", " = Songs = "])]
        ['Ships', 'Songs']
    """
    found: list[Article] = []
    for line in lines:
        title = _TITLE.match(line.rstrip("\n"))
        if title:
            found.append(Article(title[1], []))
        elif found and not line.startswith(" =") and len(text := plain(line)) >= _SHORTEST:
            found[-1].paragraphs.append(text)
    return found


def plain(line: str) -> str:
    """A line of Wikitext as one would write it; X stands for words that are not in its vocabulary.

    Example:
        >>> plain(" It grew to 60 @.@ 5 cm ( 24 in ) , a well @-@ known <unk> 's size . ")
        "It grew to 60.5 cm (24 in), a well-known X's size."
    """
    text = line.strip()
    for old, new in _JOINED:
        text = text.replace(old, new)
    return _AFTER.sub(r"\1", _BEFORE.sub(r"\1", text))


def topic(chosen: Sequence[Article], rows: int, held_out: int, *, seed: int) -> Topic:
    """Paragraphs of some articles, those that are held out of other articles than the rest.

    Args:
        chosen: the articles.
        rows: paragraphs to train on, at most.
        held_out: paragraphs that are held out.
        seed: of the order of articles and paragraphs.

    Raises:
        InputError: the articles have fewer rows.
    """
    draw, order = random.Random(seed), list(chosen)
    draw.shuffle(order)
    kept: list[str] = []
    while order and len(kept) < held_out:
        kept += order.pop().paragraphs
    trained = [paragraph for article in order for paragraph in article.paragraphs]
    for paragraphs in (kept, trained):
        draw.shuffle(paragraphs)
    if len(kept) < held_out or not trained:
        raise InputError(f"--holdout: {len(chosen)} articles do not hold {held_out} paragraphs and some to train on")
    return Topic(trained[:rows] + kept[:held_out], held_out, len(chosen))


def main(words: Sequence[str] | None = None) -> None:
    """Writes both streams.

    Raises:
        InputError: a file cannot be read, or holds too few articles of the topic.
    """
    parser = argparse.ArgumentParser(description="Make a forget and a retain stream out of Wikitext, by article.")
    parser.add_argument("files", nargs="+", type=Path, help="files of Wikitext, such as wiki.valid.tokens")
    parser.add_argument("--words", nargs="+", required=True, help="words of the topic, in lower case")
    parser.add_argument("--frequency", type=float, default=8.0, help="of a thousand words, to belong to the topic")
    parser.add_argument("--rows", type=int, default=300, help="paragraphs of each stream to train on, at most")
    parser.add_argument("--holdout", type=int, default=48, help="paragraphs of each stream that are held out")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order")
    parser.add_argument("--out", type=Path, required=True, help="folder of forget.jsonl and retain.jsonl")
    options = parser.parse_args(words)
    check_makable(options.out, "--out")
    found = [one for path in options.files for one in articles(path.read_text(encoding="utf-8").splitlines())]
    frequent = [one.frequency(options.words) >= options.frequency for one in found]
    options.out.mkdir(parents=True, exist_ok=True)
    for name, wanted in (("forget", True), ("retain", False)):
        chosen = [one for one, own in zip(found, frequent, strict=True) if own is wanted and one.paragraphs]
        made = topic(chosen, options.rows, options.holdout, seed=options.seed)
        lines = (json.dumps({"text": text}) for text in made.rows)
        write_whole(options.out / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))
        print(
            f"{name}: {made.articles} articles, {len(made.rows) - made.held_out} paragraphs to train on, "
            f"{made.held_out} of other articles held out"
        )
    print(f"Give --data.holdout {options.holdout}, so that exactly these are not trained on.")


if __name__ == "__main__":
    with refusals("benchmarks.study.topics"):
        main()
