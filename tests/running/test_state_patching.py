"""Patched runs and displacements of random models, each against plain forwards of whole models, row by row."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.running.displacement import mean_displacement, orthonormal
from lit_unlearn.running.hooks import projected_out, replaced_embeddings, without
from lit_unlearn.running.state_patching import Decoder, layer_states, patched_runs
from tests.asking import random_model

FAMILIES = ["llama", "gpt2", "gemma2"]
ROWS = [Row([5, 9, 7, 3, 11], 0, 0), Row([6, 4, 8], 1, 1)]


def pair(family: str) -> tuple[Decoder, Decoder]:
    first = random_model(family)
    second = copy.deepcopy(first)
    source = torch.Generator().manual_seed(1)
    for parameter in second.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=source)
    return Decoder(first, decoder_layers(first)), Decoder(second, decoder_layers(second))


def batch(rows: list[Row], side: str) -> Batch:
    return collate(rows, padding_side=side, padding_id=0)


def states(model: Decoder, ids: list[int], layer: int) -> Tensor:
    """After a layer, `[seq, dim]`, by a hook of the test's own."""
    seen: list[Any] = []
    handle = model.layers[layer].register_forward_hook(lambda module, args, output: seen.append(output))
    model.model(input_ids=torch.tensor([ids]))
    handle.remove()
    return cast(Tensor, seen[0] if isinstance(seen[0], Tensor) else seen[0][0])[0]


@contextmanager
def changed(module: torch.nn.Module, change: Any) -> Iterator[None]:
    def hook(module: Any, args: Any, output: Any) -> Any:
        return change(output) if isinstance(output, Tensor) else (change(output[0]), *output[1:])

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def hooks(model: PreTrainedModel) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_patched_runs_are_those_of_the_whole_model_row_by_row(family: str, side: str) -> None:
    full, other = pair(family)
    rows = batch(ROWS, side)
    real = rows["attention_mask"].bool()
    mask = torch.zeros_like(real)
    for row, at in ((0, [2, 3]), (1, [1])):
        mask[row, real[row].nonzero()[:, 0][torch.tensor(at)]] = True
    own = layer_states(full, rows)
    found = [
        outputs.logits[:][real]
        for outputs in patched_runs(full, rows, own, mask=mask, source=layer_states(other, rows).left)
        if outputs.logits is not None
    ]
    assert len(found) == len(full.layers)
    for layer, logits in enumerate(found):
        expected = []
        for row, at in ((0, [2, 3]), (1, [1])):
            ids = ROWS[row].input_ids
            theirs = states(other, ids, layer)

            def put(hidden: Tensor, at: list[int] = at, theirs: Tensor = theirs) -> Tensor:
                return hidden.index_copy(1, torch.tensor(at), theirs[at][None])

            with changed(full.layers[layer], put):
                expected.append(full.model(input_ids=torch.tensor([ids])).logits[0])
        torch.testing.assert_close(logits, torch.cat(expected), rtol=1e-4, atol=1e-4)
    assert hooks(full.model) == hooks(other.model) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_displacement_is_a_mean_over_tokens_of_each_topic_whatever_runs_together(family: str) -> None:
    base, other = pair(family)
    rows = [*ROWS, Row([9, 9, 2, 4], 0, 2)]
    found = mean_displacement(base, other, [batch(rows, "left")], topics=3)
    one_by_one = mean_displacement(base, other, [batch([row], "right") for row in rows], topics=3)
    torch.testing.assert_close(found, one_by_one, rtol=1e-4, atol=1e-5)
    assert not found[:, 2].any()
    with torch.no_grad():
        for layer in range(len(base.layers)):
            moved = [states(other, rows[i].input_ids, layer) - states(base, rows[i].input_ids, layer) for i in (0, 2)]
            expected = torch.cat([part[1:] for part in moved]).double().mean(dim=0)
            torch.testing.assert_close(found[layer, 0], expected, rtol=1e-4, atol=1e-5)


def test_a_basis_spans_what_it_is_made_of_and_no_more() -> None:
    source = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 8, generator=source, dtype=torch.float64)
    basis = orthonormal(torch.stack([first, second, first - 3 * second]))
    assert len(basis) == 2
    torch.testing.assert_close(basis @ basis.T, torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(first @ basis.T @ basis, first)
    assert not len(orthonormal(torch.zeros(2, 8)))


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_directions_are_taken_out_after_the_given_layers_and_hooks_leave(family: str) -> None:
    model, _ = pair(family)
    dim = model.model.config.hidden_size
    basis = orthonormal(torch.randn(2, dim, generator=torch.Generator().manual_seed(3)))
    ids = torch.tensor([ROWS[0].input_ids])
    before = model.model(input_ids=ids).logits
    with projected_out([*model.layers[1:]], basis):
        taken = [states(model, ROWS[0].input_ids, layer) @ basis.T for layer in range(len(model.layers))]
        found = model.model(input_ids=ids).logits
    assert bool((taken[0].abs() > 1e-3).any())
    assert all(float(part.abs().max()) < 1e-3 for part in taken[1:])
    hooked = [changed(layer, lambda hidden: hidden - hidden @ basis.T @ basis) for layer in model.layers[1:]]
    for one in hooked:
        one.__enter__()
    torch.testing.assert_close(found, model.model(input_ids=ids).logits, rtol=1e-4, atol=1e-4)
    for one in hooked:
        one.__exit__(None, None, None)
    assert not torch.allclose(found, before)
    assert hooks(model.model) == 0
    assert torch.equal(model.model(input_ids=ids).logits, before)


class SameDevice(TorchFunctionMode):
    """Refuses operations on tensors of several devices, as GPUs do; those on the meta device do not."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert len({one.device for one in args if isinstance(one, Tensor)}) <= 1
        return func(*args, **(kwargs or {}))


def test_directions_are_taken_out_of_states_on_another_device() -> None:
    # A Trainer leaves the model on the CPU after it has evaluated, and the next one moves it to its GPU.
    with SameDevice():
        found = without(torch.zeros(2, 3, 4, device="meta"), torch.eye(4)[:1])
    assert found.device.type == "meta"


def test_hooks_leave_where_something_fails() -> None:
    model, _ = pair("llama")
    vectors = torch.eye(model.model.config.hidden_size)[:1]

    def fail() -> None:
        assert hooks(model.model) > 0
        raise ZeroDivisionError

    for context in (
        projected_out([*model.layers], vectors),
        replaced_embeddings(model.model.get_input_embeddings(), 3, vectors),
    ):
        with pytest.raises(ZeroDivisionError), context:
            fail()
        assert hooks(model.model) == 0
