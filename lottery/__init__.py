"""The lottery-ticket experiment by levels, and its branches."""

from lottery.desc import LotteryDesc
from lottery.level import LotteryRunner, with_needed

__all__ = ["LotteryDesc", "LotteryRunner", "with_needed"]
