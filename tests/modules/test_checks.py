from typing import ClassVar

import pytest
import torch
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, MistralConfig, PreTrainedModel

from lit_unlearn import FSDP1, NLL, RMU, Batch, LogitKL, LogitMSE, RepresentationMSE, losses
from lit_unlearn.distributed.checks import check_strategy
from lit_unlearn.errors import InputError
from lit_unlearn.losses.checks import check_options, check_streams, check_topics
from lit_unlearn.losses.contract import Loss, Outputs, PerTopic
from lit_unlearn.models.checks import check_layers, check_reached
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.precision import weights_dtype
from lit_unlearn.models.trainable import choose_trainable
from lit_unlearn.modules.optimizer import check_same_optimizer

TOPICS = ("bio", "cyber", "chem")


class FrozenLogits(Loss):
    """Reads the frozen model's logits, as a KL loss does."""

    needs_logits: ClassVar[bool] = True
    needs_frozen: ClassVar[bool] = True

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        return updated.hidden.mean(dim=(1, 2))


class Options(nn.Module):
    """What a module with per-topic options looks like."""

    def __init__(self, coefficient: float | list[float], retain_weight: float | list[float]) -> None:
        super().__init__()
        self.forget = RMU(coefficient)
        self.retain_weight = PerTopic(retain_weight)


@pytest.fixture
def model() -> PreTrainedModel:
    config = MistralConfig(
        vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=4, num_attention_heads=2, head_dim=4
    )
    built: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return built


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("64-true", torch.float64),
        ("32-true", torch.float32),
        ("bf16-true", torch.bfloat16),
        ("bf16-mixed", torch.bfloat16),
        ("16-mixed", torch.float16),
    ],
)
def test_the_precision_gives_the_dtype_of_the_weights(precision: str, dtype: torch.dtype) -> None:
    assert weights_dtype(precision) == dtype


@pytest.mark.parametrize("precision", ["16-true", "transformer-engine", "bf16", ""])
def test_another_precision_is_refused_with_those_there_are(precision: str) -> None:
    with pytest.raises(InputError, match=rf"^trainer\.precision: '{precision}' is not supported; .* bf16-mixed"):
        weights_dtype(precision)


@pytest.mark.parametrize(
    ("retain", "layer", "noise_layer", "noise_scale"),
    [
        (RepresentationMSE(), 0, 0, 0.0),
        (RepresentationMSE(), 7, 7, 0.03),
        (RepresentationMSE(), 7, 2, 0.03),
        (RepresentationMSE(), 7, 9, 0.0),
        (NLL(), 7, 7, 0.0),
        (FrozenLogits(), 7, 9, 0.03),
    ],
)
def test_options_that_fit_together_pass(retain: Loss, layer: int, noise_layer: int, noise_scale: float) -> None:
    check_options(retain, layer=layer, noise_layer=noise_layer, noise_scale=noise_scale)


class Own(Loss):
    """A user's own, which does not say what it is for."""

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        return updated.hidden.mean(dim=(1, 2))


FORGET = [getattr(losses, name)() for name in losses.__all__]
RETAIN = [RepresentationMSE(), LogitKL(), LogitMSE(), NLL()]


@pytest.mark.parametrize("loss", [*FORGET, Own()], ids=repr)
def test_forget_losses_and_those_of_ones_own_forget(loss: Loss) -> None:
    check_streams(loss, RepresentationMSE())


@pytest.mark.parametrize("loss", [*RETAIN, Own()], ids=repr)
def test_retain_losses_and_those_of_ones_own_retain(loss: Loss) -> None:
    check_streams(RMU(), loss)


@pytest.mark.parametrize("loss", RETAIN, ids=repr)
def test_a_retain_loss_does_not_forget(loss: Loss) -> None:
    name = type(loss).__name__
    with pytest.raises(
        InputError, match=rf"^model\.forget: {name} is a retain loss .*; take a forget loss, e\.g\. RMU"
    ):
        check_streams(loss, RepresentationMSE())


@pytest.mark.parametrize("loss", FORGET, ids=repr)
def test_a_forget_loss_does_not_retain(loss: Loss) -> None:
    name = type(loss).__name__
    with pytest.raises(
        InputError, match=rf"^model\.retain: {name} is a forget loss .*; take a retain loss, e\.g\. Rep"
    ):
        check_streams(RMU(), loss)


def test_a_negative_layer_is_refused() -> None:
    with pytest.raises(InputError, match=r"^model\.layer: -1 is not the index of a decoder layer; count from 0"):
        check_options(RepresentationMSE(), layer=-1, noise_layer=0, noise_scale=0.0)


@pytest.mark.parametrize("noise_scale", [-0.1, float("nan"), float("inf")])
def test_noise_that_has_no_standard_deviation_is_refused(noise_scale: float) -> None:
    with pytest.raises(InputError, match=rf"^model\.noise_scale: {noise_scale} is not a standard deviation; give 0"):
        check_options(RepresentationMSE(), layer=7, noise_layer=7, noise_scale=noise_scale)


def test_noise_with_a_loss_that_does_not_read_the_frozen_model_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"^model\.noise_scale: NLL does not read the frozen model.* RepresentationMSE"
    ):
        check_options(NLL(), layer=7, noise_layer=7, noise_scale=0.03)


def test_noise_above_what_the_loss_reads_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"^model\.noise_layer: 8 lies above layer 7.* RepresentationMSE .* set it to 7"
    ):
        check_options(RepresentationMSE(), layer=7, noise_layer=8, noise_scale=0.03)


@pytest.mark.parametrize("index", [0, 3])
def test_layers_that_the_model_has_pass(index: int) -> None:
    check_layers(MistralConfig(num_hidden_layers=4), layer=index, noise_layer=index)


@pytest.mark.parametrize("name", ["layer", "noise_layer"])
@pytest.mark.parametrize("index", [-1, 4, 32])
def test_a_layer_out_of_range_is_refused_with_its_name_and_the_range(name: str, index: int) -> None:
    indices = {"layer": 0, "noise_layer": 0} | {name: index}
    with pytest.raises(InputError, match=rf"^model\.{name}: {index} is out of range; the model has layers 0 to 3"):
        check_layers(MistralConfig(num_hidden_layers=4), **indices)


@pytest.mark.parametrize("values", [6.5, [1.0, 2.0, 3.0]])
def test_one_number_or_one_for_each_topic_passes(values: float | list[float]) -> None:
    check_topics(Options(values, values), TOPICS)


def test_a_list_needs_named_topics() -> None:
    with pytest.raises(InputError, match=r"model.forget.coefficient: 2 values for 0 topics \(none named\); give one"):
        check_topics(Options([1.0, 2.0], 1.0), ())


@pytest.mark.parametrize(
    ("options", "name", "count"),
    [
        (Options([1.0, 2.0], 1.0), "forget.coefficient", 2),
        (Options(1.0, [1.0, 2.0, 3.0, 4.0]), "retain_weight", 4),
        (Options([], 1.0), "forget.coefficient", 0),
    ],
)
def test_a_list_of_another_length_is_refused_with_the_topics(options: nn.Module, name: str, count: int) -> None:
    with pytest.raises(
        InputError, match=rf"^model\.{name}: {count} values for 3 topics \(bio, cyber, chem\); give one"
    ):
        check_topics(options, TOPICS)


def test_training_up_to_the_steering_layer_passes(model: PreTrainedModel) -> None:
    choose_trainable(model, [r"model\.layers\.[012]\..*", r"model\.embed_tokens\.weight"])
    check_reached(model, decoder_layers(model), 2, needs_logits=False)


def test_training_above_the_steering_layer_is_refused(model: PreTrainedModel) -> None:
    choose_trainable(model, [r".*\.mlp\.down_proj\.weight"])
    name = r"model\.layers\.3\.mlp\.down_proj\.weight"
    with pytest.raises(InputError, match=rf"^model\.trainable: {name} lies above layer 2, .* up to it only"):
        check_reached(model, decoder_layers(model), 2, needs_logits=False)


def test_a_loss_on_logits_reaches_every_layer(model: PreTrainedModel) -> None:
    choose_trainable(model, [r".*\.mlp\.down_proj\.weight"])
    check_reached(model, decoder_layers(model), 2, needs_logits=True)


@pytest.mark.parametrize("pattern", [r"lm_head\.weight", r"model\.norm\.weight"])
def test_training_what_follows_the_layers_is_refused_without_logits(model: PreTrainedModel, pattern: str) -> None:
    choose_trainable(model, [pattern])
    with pytest.raises(InputError, match=rf"^model\.trainable: {pattern}"):
        check_reached(model, decoder_layers(model), 2, needs_logits=False)


def test_lightnings_own_fsdp1_is_refused() -> None:
    with pytest.raises(InputError, match=r"trainer.strategy: FSDPStrategy .* take -c trainer/fsdp.yaml"):
        check_strategy(FSDPStrategy())
    check_strategy(FSDP1())
    check_strategy(ModelParallelStrategy())


def test_an_optimizer_that_has_gone_on_under_fsdp2_is_the_same() -> None:
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], betas=(0.8, 0.9))
    groups = [{**group, "betas": list(group["betas"])} for group in optimizer.state_dict()["param_groups"]]
    check_same_optimizer(groups, optimizer, scheduled=False)
    groups[0]["betas"] = [0.8, 0.95]
    with pytest.raises(InputError, match=r"^model.optimizer.betas: the checkpoint was made with \[0.8, 0.95\]"):
        check_same_optimizer(groups, optimizer, scheduled=False)
