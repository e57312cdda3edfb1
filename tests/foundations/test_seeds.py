import torch

from foundations.seeds import Seeds


def draw(seeds: Seeds, purpose: str, *index: int) -> list[int]:
    return torch.randperm(100, generator=seeds.generator(purpose, *index)).tolist()


def test_the_same_name_gives_the_same_numbers() -> None:
    assert draw(Seeds(1), "order", 3) == draw(Seeds(1), "order", 3)


def test_purpose_replicate_and_index_each_give_other_numbers() -> None:
    streams = [
        draw(Seeds(1), "order", 3),
        draw(Seeds(1), "noise", 3),
        draw(Seeds(2), "order", 3),
        draw(Seeds(1), "order", 4),
    ]
    assert len({tuple(stream) for stream in streams}) == 4


def test_neighbouring_replicates_do_not_share_orders_an_epoch_apart() -> None:
    """With ``seed + epoch`` replicate 1 at epoch 1 would have the order of replicate 2 at epoch 0."""
    first = {tuple(draw(Seeds(1), "order", epoch)) for epoch in range(10)}
    second = {tuple(draw(Seeds(2), "order", epoch)) for epoch in range(10)}
    assert not first & second


def test_naming_a_generator_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    draw(Seeds(1), "order")
    assert torch.equal(before, torch.get_rng_state())
