"""Rows of conversations: from every kind of file and from the hub, to batches whose losses run over answers."""

import json
import re
from pathlib import Path
from typing import Any, cast, get_args

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from lit_unlearn import InputError, TextSource
from lit_unlearn.data import text as text_module
from lit_unlearn.data.fingerprints import corpus_fingerprint
from lit_unlearn.data.formats import Format
from lit_unlearn.data.mixing import Mixing, RowMixing
from lit_unlearn.data.ngrams import NGrams, mixable
from lit_unlearn.data.rows import collate, row_of, tokenised
from lit_unlearn.data.text import load_texts
from lit_unlearn.losses.contract import Outputs
from lit_unlearn.losses.functional import IGNORED_LABEL
from lit_unlearn.losses.likelihood import batch_nll
from tests.data.chats import PLAIN, ROLES, with_template

QUESTIONS = ["the of and", "in is", "near under with"]
ANSWERS = ["a with was", "near under .", "of"]
RECORDS: dict[str, list[dict[str, Any]]] = {
    "question_answer": [{"question": q, "answer": a} for q, a in zip(QUESTIONS, ANSWERS, strict=True)],
    "prompt_completion": [{"prompt": q, "completion": a} for q, a in zip(QUESTIONS, ANSWERS, strict=True)],
    "messages": [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in zip(QUESTIONS, ANSWERS, strict=True)
    ],
}


def stored(path: Path, records: list[dict[str, Any]]) -> str:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(records, indent=1))
    else:
        path.write_text("\n".join(map(json.dumps, records)))
    return str(path)


def source(path: str, kind: str = "question_answer", **options: Any) -> TextSource:
    return TextSource(path, format=cast(Format, kind), **({"chat_template": PLAIN} | options))


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.parquet", "hub"])
def test_every_format_and_kind_of_file_gives_the_same_rows(
    tmp_path: Path, kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "some/set" if name == "hub" else stored(tmp_path / name, RECORDS[kind])
    served = datasets.Dataset.from_list(RECORDS[kind])
    monkeypatch.setattr(text_module, "load_dataset", lambda *args, **options: served)
    words = with_template(None)
    rows = tokenised(source(path, kind), words)
    asked = [words(f"{q} {a}", add_special_tokens=False)["input_ids"] for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    assert rows["input_ids"] == asked
    assert rows["answer"] == [[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 1]]
    # Short rows stay, whatever min_length is.
    assert load_texts(source(path, kind))["text"] == [f"{q}\n{a}" for q, a in zip(QUESTIONS, ANSWERS, strict=True)]


def test_losses_run_over_answers_alone_or_over_all(tmp_path: Path) -> None:
    path, words = stored(tmp_path / "a.jsonl", RECORDS["messages"]), with_template(ROLES)
    alone, everywhere = (
        tokenised(source(path, "messages", chat_template=None, loss_on=loss_on), words) for loss_on in ("answer", "all")
    )
    assert everywhere.column_names == ["input_ids"]
    assert everywhere["input_ids"] == alone["input_ids"]
    rows = [row_of(record, 0, number) for number, record in enumerate(alone)]
    for side in ("left", "right"):
        batch = collate(rows, padding_side=side, padding_id=0)
        for index, record in enumerate(alone):
            real = batch["attention_mask"][index].bool()
            assert batch["loss_mask"][index][real].tolist() == record["answer"]
            own = zip(record["input_ids"], record["answer"], strict=True)
            assert batch["labels"][index][real].tolist() == [t if answer else IGNORED_LABEL for t, answer in own]
            assert not batch["loss_mask"][index][~real].any()
    assert corpus_fingerprint(alone) != corpus_fingerprint(everywhere)


def test_the_likelihood_is_that_of_the_answer_given_the_prompt(tmp_path: Path, world: Path) -> None:
    words = with_template(None)
    rows = tokenised(source(stored(tmp_path / "a.jsonl", RECORDS["messages"]), "messages"), words)
    batch = collate(
        [row_of(record, 0, number) for number, record in enumerate(rows)], padding_side="left", padding_id=0
    )
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(world / "model")
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        nll = batch_nll(Outputs(logits, logits), batch, mean=False)
        for index, (question, answer) in enumerate(zip(QUESTIONS, ANSWERS, strict=True)):
            prompt, own = (words(text, add_special_tokens=False)["input_ids"] for text in (question, answer))
            scores = model(input_ids=torch.tensor([prompt + own])).logits[0].log_softmax(dim=-1)
            places = range(len(prompt) - 1, len(prompt) + len(own) - 1)
            expected = -sum(float(scores[place, token]) for place, token in zip(places, own, strict=True))
            assert float(nll[index]) == pytest.approx(expected, abs=1e-4)


def test_rows_are_cut_on_the_tokenizers_side_and_keep_some_of_the_answer(tmp_path: Path) -> None:
    path, words = stored(tmp_path / "a.jsonl", RECORDS["messages"][:1]), with_template(None)
    (row,) = tokenised(source(path, "messages", max_length=4), words)
    assert row["answer"] == [0, 0, 0, 1]
    with pytest.raises(InputError, match=r"a\.jsonl, row 1: no token of the answer is among the 3 .*; raise `max_leng"):
        tokenised(source(path, "messages", max_length=3), words)
    words.truncation_side = "left"
    (row,) = tokenised(source(path, "messages", max_length=4), words)
    assert row["answer"] == [0, 1, 1, 1]


def test_another_template_is_rendered_again(tmp_path: Path) -> None:
    path, words = stored(tmp_path / "a.jsonl", RECORDS["messages"]), with_template(None)
    first, other = (tokenised(source(path, "messages", chat_template=one), words) for one in (PLAIN, ROLES))
    assert first["input_ids"] != other["input_ids"]
    again = tokenised(source(path, "messages"), with_template(ROLES))
    assert again._fingerprint == first._fingerprint


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"chat_template": PLAIN}, r"chat_template is for conversations; set `format`"),
        (
            {"format": "messages", "column": "chat"},
            r"column is for format text; messages has field messages",
        ),
    ],
)
def test_options_that_do_not_fit_together_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        TextSource("a.jsonl", **options)


def test_other_columns_name_the_format_that_they_are_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(tmp_path / "a.jsonl", RECORDS["messages"])
    with pytest.raises(InputError, match=r"line 1: no text in field 'text' .*or `format` of the source to messages$"):
        load_texts(TextSource(path))
    with pytest.raises(InputError, match=r"line 1: no field 'question' .*set `format` of the source to messages$"):
        load_texts(source(path))
    served = datasets.Dataset.from_list(RECORDS["question_answer"])
    monkeypatch.setattr(text_module, "load_dataset", lambda *args, **options: served)
    with pytest.raises(InputError, match=r"no column 'text' .*or `format` of the source to question_answer$"):
        load_texts(TextSource("some/set"))
    with pytest.raises(InputError, match=r"some/set, row 1: no field 'messages' .* to question_answer$"):
        load_texts(source("some/set", "messages"))
    (tmp_path / "a.txt").write_text("the of")
    with pytest.raises(InputError, match=r"a\.txt: a text file has no fields; set `format: text`, or give \.jsonl"):
        load_texts(source(str(tmp_path / "a.txt")))


def test_what_a_model_card_shows_does_not_say_where_files_lie() -> None:
    shown = source("folder/a.jsonl", chat_template="folder/own.jinja").shown()
    assert "folder" not in shown
    assert "chat_template='own.jinja'" in shown


def test_forget_tokens_are_mixed_into_prompts_alone(tmp_path: Path) -> None:
    long = [{"question": "the of and in is a with was near under", "answer": "of and in"}] * 40
    words = with_template(None)
    own = source(stored(tmp_path / "a.jsonl", long))
    retain = tokenised(own, words)
    ngrams = NGrams({"a": mixable(own, words)}, (2,))
    mixing = RowMixing(Mixing(rate=1.0, spans=2, length=2), ngrams, frozenset(words.all_special_ids), 0)
    mixed = [mixing(row_of(record, 0, number), 0) for number, record in enumerate(retain)]
    assert any(row.inserted for row in mixed)
    for row in mixed:
        assert max(row.inserted, default=0) < 9  # the prompt has 10 tokens, whose last predicts the answer
        assert row.input_ids[10:] == retain[0]["input_ids"][10:]
    labels = collate(mixed, padding_side="right", padding_id=0)["labels"]
    assert (labels[:, 10:] != IGNORED_LABEL).all()
    assert (labels[:, :10] == IGNORED_LABEL).all()
    assert {place for row in mixed for place in row.inserted} == {*range(1, 9)}


def test_the_lines_in_the_documents_are_read(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    lines = re.findall(r"^\| `(\w+)` \| `(\{.*\})` \|$", document, re.MULTILINE)
    assert [kind for kind, _ in lines] == [*get_args(Format)]
    for kind, line in lines:
        (tmp_path / f"{kind}.jsonl").write_text(line)
        options: dict[str, Any] = {"min_length": 0} if kind == "text" else {"chat_template": PLAIN}
        (text,) = load_texts(TextSource(str(tmp_path / f"{kind}.jsonl"), format=cast(Format, kind), **options))["text"]
        assert text.replace("The virus spreads t", "How does it spread?\nT") == "How does it spread?\nThrough droplets."
