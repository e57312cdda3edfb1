import pytest
import torch

from foundations.seeds import Seeds, seed_global


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


def test_the_low_32_bits_of_a_seed_make_a_stream_on_the_cpu() -> None:
    """A fact about PyTorch that the documentation of ``Seeds.number`` tells."""
    low, high = (torch.Generator().manual_seed(seed) for seed in (5, 5 + 2**40))
    assert torch.equal(torch.rand(100, generator=low), torch.rand(100, generator=high))


def test_global_numbers_are_those_after_manual_seed() -> None:
    with torch.random.fork_rng([]):
        seed_global(Seeds(1).number("step", 3), torch.device("cpu"))
        seeded = torch.rand(3), torch.randn(3), torch.randperm(5)
        torch.manual_seed(Seeds(1).number("step", 3))
        expected = torch.rand(3), torch.randn(3), torch.randperm(5)
    assert all(map(torch.equal, seeded, expected))


@pytest.mark.parametrize(
    ("device", "seeded"), [("cuda", [7, 0]), ("cuda:0", [7, 0]), ("cuda:1", [0, 7]), ("cpu", [0, 0])]
)
def test_only_the_gpu_that_computes_is_seeded(device: str, seeded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    monkeypatch.setattr(torch.cuda, "default_generators", generators)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    with torch.random.fork_rng([]):
        seed_global(7, torch.device(device))
        assert torch.initial_seed() == 7
    assert [generator.initial_seed() for generator in generators] == seeded
