"""What a model wrote before and after training, side by side, as text and as markdown."""

import html
import re
import textwrap
from collections.abc import Sequence
from itertools import groupby, zip_longest
from typing import TypedDict

from lit_unlearn.runs.tables import markdown_table

_WIDTHS = (42, 16, 28, 28)  # of prompt, right answer, before, after
_LONGEST = 500  # characters of a prompt or an answer that are shown


class Answer(TypedDict):
    """What the model wrote after some steps of training."""

    step: int
    text: str


class Generation(TypedDict):
    """A prompt and what the model wrote after it: an item of generations.json."""

    set: str
    """Name of the question set and its perturbation, or the user's name."""
    prompt: str
    right: str | None
    """The right answer, where there is one."""
    answers: list[Answer]
    """By step."""


def header(generations: Sequence[Generation]) -> list[str]:
    """Names of the columns of `rows`."""
    steps = _shown_steps(generations)
    return ["set", "prompt", "right answer", *(_named(step, alone=len(steps) == 1) for step in steps)]


def rows(generations: Sequence[Generation]) -> list[list[str]]:
    r"""Set, prompt, right answer, first and last answer of every prompt, each cut to what is worth showing.

    Example:
        >>> answers = [{"step": 0, "text": " Bern"}, {"step": 9, "text": " the\nthe"}]
        >>> rows([{"set": "free", "prompt": "The capital is", "right": None, "answers": answers}])
        [['free', 'The capital is', '', 'Bern', 'the the']]
    """
    steps = _shown_steps(generations)
    return [
        [
            generation["set"],
            _shortened(_question(generation["prompt"])),
            _shortened(generation["right"] or ""),
            *(_answer(generation, step) for step in steps),
        ]
        for generation in generations
    ]


def generations_table(generations: Sequence[Generation]) -> str:
    """The answers as text, set by set."""
    _, *names = header(generations)
    lines = [aligned(names, _WIDTHS)]
    for name, members in groupby(rows(generations), key=lambda row: row[0]):
        lines.append(name)
        lines += [aligned(cells, _WIDTHS) for _, *cells in members]
    return "\n".join(lines)


def markdown(generations: Sequence[Generation]) -> str:
    r"""The answers as a markdown table; nothing in a text is taken for markup.

    Example:
        >>> answers = [{"step": 0, "text": "*1 | 2*"}]
        >>> print(markdown([{"set": "free", "prompt": "<b>", "right": None, "answers": answers}]), end="")
        | set | prompt | right answer | answer |
        | --- | --- | --- | --- |
        | free | &lt;b&gt; |  | \*1 \| 2\* |
    """
    cells = [[_escaped(cell) for cell in row] for row in rows(generations)]
    return f"{markdown_table(header(generations), cells, escaped=True)}\n"


def _shown_steps(generations: Sequence[Generation]) -> list[int]:
    """The first and the last step at which something was asked; one where there are no more."""
    steps = sorted({answer["step"] for generation in generations for answer in generation["answers"]})
    return [*steps[:1], *steps[1:][-1:]]


def _named(step: int, *, alone: bool) -> str:
    if alone:
        return "answer"
    return f"after {step} steps" if step else "before training"


def _answer(generation: Generation, step: int) -> str:
    """What was written at a step, on one line; nothing where the prompt was not asked then."""
    texts = [answer["text"] for answer in generation["answers"] if answer["step"] == step]
    return _shortened(" ".join(texts[0].split()) or "(nothing)") if texts else ""


def _question(prompt: str) -> str:
    """The last paragraph, without the line that asks for the answer: the rest is the same for many prompts."""
    before, _, last = prompt.strip().removesuffix("\nAnswer:").rpartition("\n\n")
    return f"… {last}" if before else last


def _shortened(text: str) -> str:
    """The text without its middle where it is long, and without what would move the cursor."""
    shown = printable(text)
    half = _LONGEST // 2
    return shown if len(shown) <= _LONGEST else f"{shown[:half]} … {shown[-half:]}"


def printable(text: str) -> str:
    r"""The text without what would move the cursor of a terminal.

    Example:
        >>> printable("a\x1b[2J\tb")
        'a [2J b'
    """
    return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)


def aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One row of a table: each cell wrapped to its width, under the lines of its own text.

    Args:
        cells: of the row.
        widths: of the columns, in characters; at least as many.

    Example:
        >>> print(aligned(["one two", "three"], [4, 8]))
          one   three
          two
    """
    wrapped = [
        [part for line in cell.split("\n") for part in textwrap.wrap(line, width) or [""]]
        for cell, width in zip(cells, widths, strict=False)
    ]
    lines = zip_longest(*wrapped, fillvalue="")
    return "\n".join("  " + "  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _escaped(cell: str) -> str:
    marked = re.sub(r"([\\`*_~$|\[\]])", r"\\\1", html.escape(cell, quote=False))
    return marked.replace("\n", "<br>")
