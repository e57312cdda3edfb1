"""The lottery-ticket experiment by levels, and its branches."""

from lottery.desc import LotteryDesc
from lottery.level import Level, check_lottery, with_needed

__all__ = ["Level", "LotteryDesc", "check_lottery", "with_needed"]
