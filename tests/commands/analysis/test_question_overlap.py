import pytest
import torch

from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.commands.analysis.overlap import nearest_share, token_odds
from lit_unlearn.commands.analysis.question_overlap import StreamRows, asked_sets, overlap_with
from lit_unlearn.commands.analysis.resemblance import Topic
from lit_unlearn.commands.analysis.rows import stream_rows
from lit_unlearn.commands.forget_tokens.representations import Representations


def test_a_set_of_forget_questions_overlaps_more_than_one_of_retain_questions(opened: Run) -> None:
    represent = Representations(opened.load_first_layers(), opened.tokenizer(), 2)
    asked = asked_sets(opened, 6, represent, 4)
    assert list(asked) == ["forget", "retain"]  # and no perturbation of them
    streams = stream_rows(opened, 40)
    own = [[row.input_ids for row in streams[stream] if row.topic == 0] for stream in ("forget", "retain")]
    states = represent.of_rows([*own[0], *own[1]])
    none = torch.empty(0, dtype=torch.int64)
    topic = Topic(none, none, states, torch.arange(len(states)) >= len(own[0]))
    forget, retain = (overlap_with(asked[name], StreamRows(topic, *own), opened.tokenizer()) for name in asked)
    assert forget.questions == 6
    assert forget.states > 0.5 > retain.states
    assert forget.tokens > 0 > retain.tokens
    assert forget.entities is None  # this world writes no capitals
    own_forget, own_retain = own
    expected = nearest_share(represent.of_rows(asked["forget"].tokens), states[: len(own[0])], states[len(own[0]) :])
    assert forget.states == pytest.approx(expected, abs=1e-6)
    assert forget.tokens == token_odds(
        asked["forget"].tokens, own_forget, own_retain, opened.tokenizer().all_special_ids
    )
