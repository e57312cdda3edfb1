import copy,torch
from torch import nn
from tests.stability.test_repair import *
def test_x(digits):
    torch.manual_seed(0)
    first, second = (nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)) for _ in range(2))
    line = Line(copy.deepcopy(first), first.state_dict(), second.state_dict())
    meter = Meter(digits, TrainingHparams(), Examples(train=100, batchnorm=100))
    repair = Repair(line, channel_graph(first), meter.recalculate)
    rows = walk(line, meter, (1, 2), even_alphas(3), treatments=ALIGNED, repair=repair)
    print({(row.alpha, row.batchnorm): row.loss for row in rows if row.split == "test"})
    assert 0
