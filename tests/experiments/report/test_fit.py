"""No text of a figure lies over another one or outside the figure, on the screen and on paper."""

import itertools

import pytest

from experiments.report.figures.fit import box, contains, fit, texts_of
from experiments.report.figures.palette import PAPER, STYLE
from experiments.report.material import Material, gather
from experiments.report.page.build import sections
from experiments.session import Session

matplotlib = pytest.importorskip("matplotlib")


TINY = {"dataset": "digits", "training_steps": "2ep", "subsample_fraction": 0.1, "k": 0, "batch_size": 64}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Chains and single levels, branches, measurements, stability with a plane; two networks. Not to be changed."""
    session = Session(tmp_path_factory.mktemp("figures") / "runs", threads=1, quiet=True)
    chain = {**TINY, "model": "mnist_lenet_4", "replicate": [1, 2], "pruning_fraction": 0.4}
    session.lottery(**chain, pruning_strategy="sparse_global", levels=[0, 1, 2, 3], measure=["signs"]).run()
    session.lottery_branch("shuffle", **chain, pruning_strategy="sparse_global", levels=[1, 2]).run()
    strategies = ["snip", "synflow", "random", "magnitude", "random_erk", "grasp", "adsynflow"]
    single = {**TINY, "model": "mnist_lenet_4", "density": [0.5, 0.1], "allow_collapse": True}
    session.lottery(**single, pruning_strategy=strategies).run()
    session.lottery(**TINY, model="mnist_lenet_5_4", pruning_strategy="snip", density=0.3).run()
    analysed = {**TINY, "model": "mnist_lenet_4", "k": [0, "1ep"], "pruning_strategy": ["none", "snip"]}
    session.stability(**analysed, density=0.5, alphas=3, plane=3).run()
    return gather(session.runs())


@pytest.mark.parametrize("paper", [False, True], ids=["screen", "paper"])
def test_every_text_has_room(found: Material, paper: bool) -> None:
    figures = [figure for one in sections(found) for figure in one.figures]
    assert len(figures) > 6
    for one in figures:
        with matplotlib.rc_context(PAPER if paper else STYLE):
            figure = one.make()
            fit(figure, paper=paper)
            figure.set_layout_engine("none")
            figure.draw_without_rendering()  # it puts entries of legends into their places
            texts = [text for text in texts_of(figure) if text.get_text().strip() and text.get_visible()]
            assert len(texts) > 6
            for text in texts:
                assert contains(figure, text), f"{one.name}: {text.get_text()!r} is cut"
            for first, second in itertools.combinations(texts, 2):
                assert not box(first).overlaps(box(second)), f"{one.name}: {first.get_text()!r}, {second.get_text()!r}"
