"""How much a forget and a retain stream resemble each other, in their tokens and in a model's states."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from lit_unlearn.commands.analysis import drawing
from lit_unlearn.commands.analysis.association import jensen_shannon
from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.commands.analysis.overlap import NEIGHBOURS
from lit_unlearn.commands.analysis.question_overlap import StreamRows, asked_sets, overlap_with, sentence
from lit_unlearn.commands.analysis.resemblance import SHUFFLES, Resemblance, Topic, frequencies, positions, resemblance
from lit_unlearn.commands.analysis.rows import stream_rows
from lit_unlearn.commands.forget_tokens.representations import Representations
from lit_unlearn.commands.report.section import Section
from lit_unlearn.commands.report.style import bar_style, legend, styled
from lit_unlearn.data.rows import Row
from lit_unlearn.data.vocabulary import special_tokens
from lit_unlearn.errors import InputError

_TOKENS = 12
"""How many tokens a figure names."""
_TEXT = f"""\
How much a row says about which stream it is from, in bits: 0 for streams that are not distinguishable, 1 for ones \
that always are.

Tokens: the mutual information of a single token and its stream, the two streams being equally likely; it is the \
Jensen-Shannon divergence of their token frequencies, Σ (p log₂(p/m) + q log₂(q/m)) / 2 with m = (p + q) / 2.

States: the mutual information Σ p(x, y) log₂(p(x, y) / (p(x) p(y))) of a row's stream and which stream's mean is \
nearer to the row's representation, the mean over tokens of the base's hidden states after the steering layer. Half \
of the rows give the means, the other half is asked, and the other way round. It is a lower bound of what the \
representations say.

By chance: the same with streams drawn at random for the rows, mean of {SHUFFLES} draws; what finite samples give \
where there is nothing to tell. Cosine: of the streams' mean representations, and of the means of two halves of the \
retain stream. Special tokens never count.

Overlap of a forget topic with an evaluation set, as asked and without examples. States: the share of forget rows \
among the {NEIGHBOURS} rows, as many forget as retain ones, whose representations are nearest to that of a question \
with its options; 1/2 by chance. Tokens: how much likelier its tokens are among forget than among retain rows, in \
nats per token. Names: the share of the set's names (capitalised words within a sentence) that stand in forget \
texts."""
_COLUMNS = (
    "topic",
    "rows",
    "tokens (bits)",
    "by chance",
    "states (bits)",
    "by chance",
    "cosine of means",
    "of retain halves",
)


def analyse(paths: Sequence[Path], words: Sequence[str], *, count: int, batch_size: int) -> tuple[Section, Figure]:
    """The resemblance of each forget topic and the retain rows that it is paired with.

    Args:
        paths: folder of a run, or a config, by name or path.
        words: further options of `fit`.
        count: rows of each stream.
        batch_size: rows that run together.

    Raises:
        InputError: the run or the config cannot be used, or a stream has too few rows.
    """
    run = Run(paths[0], words)
    rows = stream_rows(run, count)
    tokenizer, model = run.tokenizer(), run.load_base()
    represent = Representations(model, tokenizer, run.module.layer, run.module.decoder_layers)
    asked = asked_sets(run, count, represent, batch_size)
    topics, overlaps = {}, {}
    for index, name in enumerate(run.data.topics):
        forget, retain = ([row for row in rows[stream] if row.topic == index] for stream in ("forget", "retain"))
        topics[name] = _topic(name, forget, retain, tokenizer, represent, batch_size)
        of = StreamRows(topics[name], *([row.input_ids for row in own] for own in (forget, retain)))
        overlaps[name] = {questions: overlap_with(one, of, tokenizer) for questions, one in asked.items()}
    found = {name: resemblance(topic) for name, topic in topics.items()}
    numbers = {
        name: {**one._asdict(), "overlap": {asked: own._asdict() for asked, own in overlaps[name].items()}}
        for name, one in found.items()
    }
    table = [_row(name, one) for name, one in found.items()]
    lines = [sentence(name, questions, one) for name, own in overlaps.items() for questions, one in own.items()]
    text = "\n\n".join([_TEXT, *lines])
    return Section("Forget and retain streams", text, _COLUMNS, table, numbers), _draw(topics, tokenizer)


def _topic(
    name: str,
    forget: Sequence[Row],
    retain: Sequence[Row],
    tokenizer: PreTrainedTokenizerBase,
    represent: Representations,
    batch_size: int,
) -> Topic:
    """Tokens and representations of a topic's rows.

    Raises:
        InputError: one of the streams has fewer than 4 rows.
    """
    if min(len(forget), len(retain)) < 4:
        raise InputError(
            f"analyse streams: {name} has {len(forget)} forget and {len(retain)} retain rows; 4 of each are needed, "
            "give more with --rows or longer files"
        )
    rows = [*forget, *retain]
    tokens = torch.tensor([token for row in rows for token in row.input_ids])
    place = torch.repeat_interleave(torch.tensor([len(row.input_ids) for row in rows]))
    counted = ~torch.isin(tokens, torch.tensor(sorted(special_tokens(tokenizer))))
    starts = tqdm(range(0, len(rows), batch_size), desc=name, unit="batch")
    states = [represent.of_rows([row.input_ids for row in rows[start : start + batch_size]]) for start in starts]
    return Topic(tokens[counted], place[counted], torch.cat(states), torch.arange(len(rows)) >= len(forget))


def _row(name: str, found: Resemblance) -> list[str]:
    return [name, str(found.rows), *(f"{value:.3f}" for value in found[1:])]


@styled
def _draw(topics: Mapping[str, Topic], tokenizer: PreTrainedTokenizerBase) -> Figure:
    """A row for each topic: the tokens that say most, and where rows lie between the streams' means."""
    figure, axes = drawing.panels(2, rows=len(topics), width=4.4)
    handles = {}
    for row, (name, topic) in enumerate(topics.items()):
        words, states = axes[2 * row : 2 * row + 2]
        counts = frequencies(topic, topic.retain)
        shares = [own / own.sum() for own in counts]
        parts = jensen_shannon(*counts).parts
        telling = parts.topk(min(_TOKENS, int((parts > 0).sum()))).indices.flip(0)
        for place, stream in enumerate(("forget", "retain")):
            own = [1000 * float(parts[one]) if shares[place][one] > shares[1 - place][one] else 0.0 for one in telling]
            handles[stream] = words.barh(range(len(own)), own, **bar_style(place + 1))
            found = positions(topic, topic.retain)[topic.retain == bool(place)]
            states.hist(found, bins=30, alpha=0.7, **bar_style(place + 1))
        words.set_yticks(range(len(telling)), [str(tokenizer.decode([one])) for one in telling])
        words.set(xlabel="thousandths of a bit", title=f"{name}: what single tokens tell")
        states.set(xlabel="from forget mean (-1/2) to retain mean (1/2)", ylabel="rows", title="representations")
    legend(figure, handles)
    return figure
