from pathlib import Path

import pytest
import torch
from torch.optim import SGD
from transformers import AutoModelForCausalLM

from lit_unlearn import NLL, Loss, NoLoss, Relearning, UnlearnModule
from tests.batches import padded, random_rows
from tests.training import demo_data, demo_module, quiet_trainer


@pytest.mark.parametrize(("stream", "losses"), [("forget", (Relearning(), NoLoss())), ("retain", (NoLoss(), NLL()))])
def test_the_other_stream_is_fine_tuned_on_as_a_plain_model_is(
    tmp_path: Path, world: Path, stream: str, losses: tuple[Loss, Loss]
) -> None:
    module = trained(tmp_path, world, losses)
    model = AutoModelForCausalLM.from_pretrained(world / "model").eval()
    data = demo_data(world, tokenizer=str(world / "model"), seed=0)
    data.prepare_data()
    data.setup("fit")
    optimizer = SGD(model.parameters(), lr=0.1)
    steps = data.train_dataloader().dataset
    for step in range(2):
        for row in range(4):  # a mean over rows of means over tokens; one row at a time, without padding
            batch = steps[step][stream]
            ids = batch["input_ids"][row][batch["attention_mask"][row] == 1][None]
            (model(input_ids=ids, labels=ids).loss / 4).backward()
        optimizer.step()
        optimizer.zero_grad()
    found = module.updated.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-5, msg=name)


def test_its_rows_run_up_to_the_steering_layer_alone(tmp_path: Path, world: Path) -> None:
    module = trained(tmp_path, world, (Relearning(), NoLoss()))
    ran = []
    for index, layer in enumerate(module.layers):
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))
    loss, _ = module._run(module.retain, padded(random_rows(4, seed=0), "right"))
    assert ran == [0]
    assert not loss.requires_grad
    assert loss.tolist() == [0.0] * 4


def trained(folder: Path, world: Path, losses: tuple[Loss, Loss]) -> UnlearnModule:
    """A module that trained all parameters for two steps."""
    module = demo_module(
        world,
        forget=losses[0],
        retain=losses[1],
        retain_weight=1.0,
        noise_scale=0.0,
        layer=0,
        trainable=[".*"],
        optimizer=lambda parameters: SGD(parameters, lr=0.1),
    )
    quiet_trainer(folder, max_steps=2).fit(module, demo_data(world, seed=0))
    return module
