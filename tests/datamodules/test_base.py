"""The DataModule: its options, its order and holdout, and its use outside this package."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch.utils.data import DistributedSampler
from transformers import AddedToken, AutoModelForCausalLM

from lit_unlearn import (
    NPO,
    RMU,
    InputError,
    LogitKL,
    PerturbationRobustness,
    RepresentationMSE,
    TextSource,
    UnlearnDataModule,
    UnlearnModule,
)
from lit_unlearn.data.mixing import Mixing
from lit_unlearn.data.steps import StepSampler
from lit_unlearn.questions.sets import EvaluationSource, PerturbationSource
from tests.data.running import Model, Seen, data_module, ready, seen, small, sources, texts, trainer
from tests.families import write_family
from tests.questions.test_sets import write_questions
from tests.tiny_world import texts as demo_texts
from tests.tiny_world import tokenizer
from tests.training import Losses, demo_module, quiet_trainer

KEYS = {"input_ids", "attention_mask", "labels", "loss_mask", "topic", "row"}


def test_every_item_is_a_pair_of_batches(world: Path) -> None:
    for pair in ready(data_module(world)).train_dataloader():
        assert set(pair) == {"forget", "retain"}
        for batch in pair.values():
            assert set(batch) == KEYS
            assert batch["input_ids"].shape == batch["labels"].shape == batch["attention_mask"].shape
            assert len(batch["row"]) == len(batch["topic"]) == len(batch["input_ids"]) == 4


def test_topics_are_the_names_of_the_forget_streams(world: Path) -> None:
    assert data_module(world).topics == ("alchemy", "navigation")


@pytest.mark.parametrize("empty", ["forget", "retain"])
def test_no_sources_is_an_error(world: Path, empty: str) -> None:
    with pytest.raises(InputError, match=r"data\.forget and data\.retain: each needs at least one source"):
        data_module(world, **{empty: {}})


@pytest.mark.parametrize("given", ["a.jsonl", TextSource("a.jsonl"), {"a": "a.jsonl"}])
def test_sources_without_names_are_an_error(world: Path, given: Any) -> None:
    with pytest.raises(InputError, match=r"^data\.retain: .* is no mapping from names to sources; give .*TextSource\("):
        data_module(world, retain=given)


def test_rows_before_setup_are_an_error(world: Path) -> None:
    with pytest.raises(InputError, match=r"^data: no rows yet; call prepare_data\(\) and setup\("):
        data_module(world).train_dataloader()


def test_retain_streams_must_be_one_or_the_topics(world: Path) -> None:
    with pytest.raises(InputError, match=r"data\.retain: alchemy, gardening do not match the topics alchemy, nav"):
        data_module(world, retain=sources(world, "alchemy", "gardening"))


def test_retain_streams_are_matched_by_name_not_by_place(tmp_path: Path, world: Path) -> None:
    forget, retain = small(tmp_path, alchemy=4, navigation=4), sources(world, "navigation", "alchemy")
    batches = iter(ready(data_module(world, forget=forget, retain=retain)).train_dataloader())
    own = set(texts(ready(data_module(world, retain=sources(world, "alchemy"))).train_dataloader(), "retain"))
    for topic in (0, 1, 0, 1):
        found = texts([next(batches)], "retain")
        assert all((row in own) == (topic == 0) for row in found)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": -4}, {"holdout": -1}, {"limit": 0}])
def test_impossible_numbers_are_refused(world: Path, options: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"data\.(batch_size|holdout|limit): must be at least [01], got -?\d"):
        data_module(world, **options)


@pytest.mark.parametrize("holdout", [1, 2, 6])
def test_a_holdout_that_makes_no_whole_batches_is_refused(world: Path, holdout: int) -> None:
    with pytest.raises(InputError, match=rf"data\.holdout: {holdout} rows do not make whole batches of 4; .*multiple"):
        data_module(world, holdout=holdout)


@pytest.mark.parametrize(("share", "rows"), [(0.1, 4), (0.2, 12), (0.99, 56)])
def test_a_share_is_of_the_shortest_stream_in_whole_batches(
    world: Path, tmp_path: Path, share: float, rows: int
) -> None:
    data = ready(data_module(world, holdout=share, retain=small(tmp_path, long=100)))
    held, trained = (set(texts(loader, "forget")) for loader in (data.val_dataloader()[0], data.train_dataloader()))
    assert len(held) == rows * 2
    assert not held & trained
    assert len({row for batch in data.val_dataloader()[0] for row in batch["retain"]["row"].tolist()}) == rows


def test_no_share_holds_out_more_than_64_rows(world: Path, tmp_path: Path) -> None:
    forget, retain = small(tmp_path, many=300), small(tmp_path, more=400)
    data = ready(data_module(world, holdout=0.5, forget=forget, retain=retain))
    assert sum(len(batch["retain"]["row"]) for batch in data.val_dataloader()[0]) == 64


@pytest.mark.parametrize("share", [1.0, -0.1, 2.5])
def test_what_is_no_share_is_refused(world: Path, share: float) -> None:
    with pytest.raises(InputError, match=r"data\.holdout: (.* is not a share of rows; give|must be at least 0, got)"):
        data_module(world, holdout=share)


def test_a_share_of_less_than_a_batch_is_refused(world: Path) -> None:
    with pytest.raises(
        InputError, match=r"holdout: 0\.05 of alchemy's 60 rows are less than a batch of 4; give a larger"
    ):
        ready(data_module(world, holdout=0.05))


@pytest.mark.parametrize("side", ["forget", "retain"])
@pytest.mark.parametrize("rows", [7, 8])
def test_a_holdout_that_leaves_nothing_is_refused(tmp_path: Path, world: Path, side: str, rows: int) -> None:
    streams = {"forget": small(tmp_path, a=20), "retain": small(tmp_path, b=20)} | {side: small(tmp_path, few=rows)}
    with pytest.raises(InputError, match=rf"data\.holdout: 8 of few's {rows} rows leave none to train on"):
        ready(data_module(world, holdout=8, **streams))


def test_a_short_forget_stream_is_not_hidden_by_a_retain_stream_of_its_name(tmp_path: Path, world: Path) -> None:
    forget = small(tmp_path, alchemy=3, navigation=20)
    retain = sources(world, "alchemy", "navigation")
    with pytest.raises(InputError, match="of alchemy's 3 rows leave none"):
        ready(data_module(world, forget=forget, retain=retain, holdout=4))


def test_no_tokenizer_is_an_error_outside_a_trainer(world: Path) -> None:
    with pytest.raises(InputError, match=r"data\.tokenizer: none given"):
        data_module(world, tokenizer=None).prepare_data()


def test_no_tokenizer_is_an_error_with_a_module_that_names_no_model(tmp_path: Path, world: Path) -> None:
    with pytest.raises(InputError, match=r"data\.tokenizer: none given"):
        trainer(tmp_path, max_steps=1).fit(Model(), datamodule=data_module(world, tokenizer=None))


def test_the_tokenizer_is_the_models_where_the_module_names_one(tmp_path: Path, world: Path) -> None:
    module = Model()
    module.pretrained = str(world / "model")  # type: ignore[assignment]
    trainer(tmp_path, max_steps=1).fit(module, datamodule=data_module(world, tokenizer=None))
    assert len(module.seen) == 1


class Processes(L.Trainer):
    """Says that it is one of several processes."""

    @property
    def distributed_sampler_kwargs(self) -> dict[str, int]:
        return {"rank": 1, "num_replicas": 4}


def test_rows_that_processes_cannot_share_evenly_are_refused(world: Path) -> None:
    data = ready(data_module(world, batch_size=6))
    data.trainer = Processes(accelerator="cpu", logger=False)
    with pytest.raises(InputError, match=r"data\.batch_size: 6 rows cannot be shared evenly by 4 processes"):
        data.train_dataloader()


def test_a_process_takes_its_share_of_the_rows(world: Path) -> None:
    data = ready(data_module(world, batch_size=8))
    whole = seen(next(iter(data.train_dataloader())))
    data.trainer = Processes(accelerator="cpu", logger=False)
    assert seen(next(iter(data.train_dataloader()))) == (whole[0][2:4], whole[1][2:4], whole[2][2:4])


def test_lightning_leaves_the_sampler_alone(world: Path) -> None:
    sampler = ready(data_module(world)).train_dataloader().sampler
    assert isinstance(sampler, StepSampler)
    assert isinstance(sampler, DistributedSampler)


def test_the_seed_is_the_runs_unless_given(world: Path) -> None:
    L.seed_everything(5, verbose=False)
    assert data_module(world, seed=None).seed == 5
    assert data_module(world, seed=3).seed == 3


def order(data: UnlearnDataModule) -> list[Seen]:
    return [seen(pair) for pair in ready(data).train_dataloader()]


def test_the_order_is_a_function_of_the_seed(world: Path) -> None:
    first = order(data_module(world))
    torch.manual_seed(17)
    assert order(data_module(world, num_workers=2)) == first
    assert order(data_module(world, seed=1)) != first


@pytest.mark.parametrize("side", ["forget", "retain"])
def test_held_out_rows_are_never_trained_on(world: Path, side: str) -> None:
    everything = set(texts(ready(data_module(world)).train_dataloader(), side))
    data = ready(data_module(world, holdout=12))
    trained, held = texts(data.train_dataloader(), side), texts(data.val_dataloader()[0], side)
    assert not set(trained) & set(held)
    assert set(trained) | set(held) == everything
    assert len(set(held)) == 12 * (2 if side == "forget" else 1)


@pytest.mark.parametrize("retain", [("gardening",), ("navigation", "alchemy")])
def test_validation_takes_every_held_out_row_equally_often(world: Path, retain: tuple[str, ...]) -> None:
    data = ready(data_module(world, holdout=12, retain=sources(world, *retain)))
    for side in ("forget", "retain"):
        held = texts(data.val_dataloader()[0], side)
        assert {held.count(row) for row in held} == ({2} if side == "retain" and len(retain) == 1 else {1})
        assert texts(data.test_dataloader()[0], side) == held


def limited(world: Path, limit: int | None, *, seed: int = 0) -> list[set[tuple[int, ...]]]:
    """The rows of both streams that many steps train on."""
    options = {"forget": sources(world, "alchemy"), "limit": limit, "seed": seed, "holdout": 8}
    steps = ready(data_module(world, **options)).train_dataloader().dataset
    return [set(texts([steps[step] for step in range(30)], side)) for side in ("forget", "retain")]


def test_a_limit_draws_rows_of_each_stream_and_a_lower_one_some_of_them(world: Path) -> None:
    drawn = [limited(world, count) for count in (3, 7, None)]
    for few, more, every, other in zip(*drawn, limited(world, 7, seed=1), strict=True):
        assert (len(few), len(more), len(other)) == (3, 7, 7)
        assert few < more < every
        assert other != more
        assert other < every


@pytest.mark.parametrize("limit", [None, 5])
def test_rows_that_are_trained_on_say_where_they_are_from(world: Path, limit: int | None) -> None:
    data = ready(data_module(world, forget=sources(world, "alchemy"), limit=limit, holdout=8))
    rows = list(data.rows_with_texts(7))
    expected = (("forget", "alchemy"), ("retain", "gardening"))
    assert [(row.side, row.name) for row in rows] == [one for one in expected for _ in range(limit or 7)]
    trained = dict(zip(("forget", "retain"), limited(world, limit), strict=True))
    for row in rows:
        assert tuple(row.input_ids) in trained[row.side]
        assert row.text == demo_texts(row.name, 60)[row.number]


def test_a_limit_leaves_the_holdout_as_it_is(world: Path) -> None:
    held = [ready(data_module(world, limit=limit, holdout=8)).val_dataloader()[0] for limit in (None, 3)]
    assert texts(held[0], "forget") == texts(held[1], "forget")


def test_without_a_holdout_there_is_nothing_to_validate(world: Path) -> None:
    data = ready(data_module(world))
    assert data.val_dataloader() == data.test_dataloader() == []
    with pytest.raises(InputError, match=r"data: there is nothing to test; set data.evaluation, data.answers, or"):
        data.setup("test")


def test_every_validation_sees_the_same_rows(tmp_path: Path, world: Path) -> None:
    module = Model()
    trainer(tmp_path, max_epochs=3, num_sanity_val_steps=0).fit(module, datamodule=data_module(world, holdout=20))
    steps = len(module.validated) // 3
    assert steps == 10
    assert module.validated[:steps] == module.validated[steps : 2 * steps] == module.validated[2 * steps :]


def test_it_serves_a_plain_loop(world: Path) -> None:
    data = data_module(world, batch_size=2)
    data.prepare_data()
    data.setup("fit")
    model = AutoModelForCausalLM.from_pretrained(world / "model")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for step, batch in enumerate(data.train_dataloader()):
        if step == 3:
            break
        rows = {name: batch["retain"][name] for name in ("input_ids", "attention_mask", "labels")}
        losses.append(model(**rows).loss)
        losses[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert torch.isfinite(torch.stack(losses)).all()
    assert len(losses) == 3


def test_it_serves_another_module(tmp_path: Path, world: Path) -> None:
    module = Model()
    before = module.embedding.weight.detach().clone()
    trainer(tmp_path, max_steps=5).fit(module, datamodule=data_module(world))
    assert [topic for topic, _, _ in module.seen] == [[step % 2] * 4 for step in range(5)]
    assert not torch.equal(module.embedding.weight, before)


def test_a_trainer_takes_the_same_rows_as_a_plain_loop(tmp_path: Path, world: Path) -> None:
    module = Model()
    trainer(tmp_path, max_epochs=1).fit(module, datamodule=data_module(world))
    assert module.seen == order(data_module(world))


def test_a_second_trainer_begins_anew(tmp_path: Path, world: Path) -> None:
    data, modules = data_module(world), (Model(), Model())
    for module in modules:
        trainer(tmp_path, max_steps=5).fit(module, datamodule=data)
    assert modules[0].seen == modules[1].seen


TEMPLATE = "{% for message in messages %}{{ message['content'] + ' ' }}{% endfor %}"


def conversations(world: Path, folder: Path, **options: Any) -> tuple[dict[str, TextSource], dict[str, TextSource]]:
    """Two streams of questions and answers, and one of messages to retain."""
    forget: dict[str, TextSource] = {}
    retain: dict[str, TextSource] = {}
    for name in ("alchemy", "navigation", "gardening"):
        rows = [line.split() for line in demo_texts(name, 24)]
        if name == "gardening":
            chats = [[{"role": "user", "content": " ".join(row[:5])}] for row in rows]
            records: list[Any] = [
                {"messages": [*chat, {"role": "assistant", "content": " ".join(row[5:])}]}
                for chat, row in zip(chats, rows, strict=True)
            ]
        else:
            records = [{"question": " ".join(row[:5]), "answer": " ".join(row[5:])} for row in rows]
        (folder / f"{name}.chat.jsonl").write_text("\n".join(map(json.dumps, records)))
        kind: Any = "messages" if name == "gardening" else "question_answer"
        source = TextSource(
            str(folder / f"{name}.chat.jsonl"), format=kind, chat_template=TEMPLATE, max_length=30, **options
        )
        (retain if name == "gardening" else forget)[name] = source
    return forget, retain


@pytest.mark.parametrize("loss_on", ["answer", "all"])
@pytest.mark.parametrize(("forget", "retain"), [(RMU(6.5), RepresentationMSE()), (NPO(0.1), LogitKL())])
def test_conversations_are_trained_on_held_out_and_drawn_from(
    world: Path, tmp_path: Path, forget: Any, retain: Any, loss_on: str
) -> None:
    streams = conversations(world, tmp_path, loss_on=loss_on)
    asked = EvaluationSource({"retain": write_questions(tmp_path / "q.jsonl")}, {"2": PerturbationSource(n=2)})
    mixing = Mixing(rate=1.0, spans=1, length=1)
    data = UnlearnDataModule(*streams, evaluation=asked, mixing=mixing, holdout=4, seed=0)
    losses = Losses()
    module = demo_module(world, forget=forget, retain=retain, whole_model=True)
    quiet = quiet_trainer(
        tmp_path, callbacks=[losses, PerturbationRobustness()], val_check_interval=3, check_val_every_n_epoch=None
    )
    quiet.fit(module, data)
    assert len(losses.values) == 3
    assert all(value == value for value in losses.values)
    held_out = json.loads((tmp_path / "results.json").read_text())["evaluations"][-1]["held_out"]
    assert [len(held_out[side]["nll"]) for side in ("forget", "retain")] == [8, 4]
    for pair in data.train_dataloader():
        for rows in pair.values():
            prompt = (rows["attention_mask"] == 1) & (rows["loss_mask"] == 0)
            assert (prompt.sum(dim=1) >= 5).all() if loss_on == "answer" else (prompt.sum(dim=1) <= 1).all()


def test_training_resumes_only_with_losses_over_the_same_tokens(world: Path, tmp_path: Path) -> None:
    tokenizer = str(world / "model")
    first, second = (
        ready(UnlearnDataModule(*conversations(world, tmp_path, loss_on=loss_on), tokenizer=tokenizer, seed=0))
        for loss_on in ("answer", "all")
    )
    with pytest.raises(InputError, match=r"the rows of forget/alchemy, .* are not those of the run that wrote the che"):
        second.load_state_dict(first.state_dict())


def test_training_resumes_only_with_the_same_preferred_answers(world: Path, tmp_path: Path) -> None:
    streams = {"forget": {"alchemy": world / "alchemy.jsonl"}, "retain": {"gardening": world / "gardening.jsonl"}}
    sources = [{name: TextSource(str(path)) for name, path in stream.items()} for stream in streams.values()]
    path = tmp_path / "answers.txt"

    def state(text: str) -> tuple[UnlearnDataModule, dict[str, Any]]:
        path.write_text(text)
        data = ready(UnlearnDataModule(*sources, tokenizer=str(world / "model"), preferred=str(path), seed=0))
        return data, data.state_dict()

    (first, before), (other, _) = state("the of\nin is\n"), state("the of\nnear under with\n")
    first.load_state_dict(before)
    with pytest.raises(InputError, match=r"the rows of preferred are not those of the run that wrote the checkpoint"):
        other.load_state_dict(before)


@pytest.mark.parametrize("side", ["forget", "retain"])
def test_a_row_longer_than_the_model_allows_is_refused_before_training(tmp_path: Path, side: str) -> None:
    model = write_family(tmp_path, "gpt2")  # of 128 positions
    rows = {"short.txt": "the of and in is " * 12, "long.txt": "the of and in is " * 40}
    for name, text in rows.items():
        (tmp_path / name).write_text(f"{'the of and in is ' * 12}\n" * 20 + text)
    long, short = (TextSource(str(tmp_path / name)) for name in ("long.txt", "short.txt"))
    module, cut = (UnlearnModule(str(model), RMU(6.5), RepresentationMSE(), layer=2) for _ in range(2))
    data = UnlearnDataModule(*(({name: long if name == side else short}) for name in ("forget", "retain")))
    with pytest.raises(
        InputError, match=rf"^data.{side}: a row of {side} has [0-9]+ tokens, the model's limit is 128;"
    ):
        quiet_trainer(tmp_path).fit(module, data)
    data = UnlearnDataModule(*({name: replace(long, max_length=128)} for name in ("forget", "retain")))
    quiet_trainer(tmp_path, max_steps=6).fit(cut, data)  # all rows
    data = UnlearnDataModule({"forget": long}, {"retain": long}, holdout=4, tokenizer=str(model))
    with pytest.raises(InputError, match=r"tokens, the model's limit is 128;"):
        quiet_trainer(tmp_path).validate(cut, data, verbose=False)  # the long row is the last
    (tmp_path / "long.txt").write_text("\n".join(reversed((tmp_path / "long.txt").read_text().split("\n"))))
    quiet_trainer(tmp_path).validate(cut, data, verbose=False)


def test_tokens_that_a_chat_template_writes_are_never_replaced(world: Path, tmp_path: Path) -> None:
    words = tokenizer()
    # As Llama 3 has its headers: special, but not in the tokenizer's own list.
    words.add_tokens([AddedToken("<header>", special=True, normalized=False)], special_tokens=True)
    words.save_pretrained(tmp_path)
    header = words.convert_tokens_to_ids("<header>")
    template = "{% for one in messages %}{{ '<header>' + one['content'] + '<header>' }}{% endfor %}"
    forget, retain = (
        {name: replace(one, chat_template=template, loss_on="all") for name, one in streams.items()}
        for streams in conversations(world, tmp_path)
    )
    mixing = Mixing(rate=1.0, spans=3, length=2)
    plain, mixed = (
        ready(UnlearnDataModule(forget, retain, tokenizer=str(tmp_path), mixing=one, seed=0)) for one in (None, mixing)
    )
    batches = [[pair["retain"]["input_ids"] for pair in one.train_dataloader()] for one in (plain, mixed)]
    for before, after in zip(*batches, strict=True):
        assert (before == header).sum() >= 3 * len(before)
        assert ((before == header) == (after == header)).all()
        assert (before != after).any()
