"""Models of every family, and a small one."""

import pytest
import torch
from transformers import AutoModelForCausalLM, MistralConfig, PreTrainedModel

from lit_unlearn.models import loading
from lit_unlearn.models.source import ModelSource
from tests.families import each_family, write_family


@pytest.fixture(scope="module", params=each_family())
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, PreTrainedModel]:
    folder = write_family(tmp_path_factory.mktemp("family"), request.param)
    return request.param, loading.load_model(ModelSource(str(folder)), torch.float32)


@pytest.fixture
def model() -> PreTrainedModel:
    config = MistralConfig(
        vocab_size=16,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
    )
    built: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return built
