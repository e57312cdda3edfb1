"""The lottery-ticket experiment by levels, and its branches."""

from lottery.desc import LotteryDesc, SubnetworkHparams
from lottery.level import Level, check_lottery, with_needed

__all__ = ["Level", "LotteryDesc", "SubnetworkHparams", "check_lottery", "with_needed"]
