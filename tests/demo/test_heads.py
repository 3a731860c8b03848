import torch

from lit_unlearn.demo.pretrain import new_model


def test_the_first_head_looks_two_tokens_back() -> None:
    model = new_model(200).eval()
    model.set_attn_implementation("eager")
    ids = torch.randint(5, 200, (4, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first = model(input_ids=ids, output_attentions=True).attentions[0][:, 0]
    for position in range(4, 20):
        assert (first[:, position].argmax(dim=-1) == position - 2).all()


def test_late_heads_find_the_same_word_at_any_distance() -> None:
    model = new_model(600).eval()
    model.set_attn_implementation("eager")
    source = torch.Generator().manual_seed(0)
    ids = torch.stack([torch.randperm(595, generator=source)[:20] + 5 for _ in range(40)])
    places = torch.arange(40) % 18
    ids[torch.arange(40), places] = ids[:, -1]
    with torch.no_grad():
        attentions = model(input_ids=ids, output_attentions=True).attentions
    for head in range(2):  # the second matching layer sees what the first has written
        found = attentions[5][:, head, -1, :-1].argmax(dim=-1)
        assert (found == places).float().mean() > 0.4  # by chance 1 in 19


def test_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    new_model(50, layers=3)
    assert torch.equal(torch.random.get_rng_state(), before)
