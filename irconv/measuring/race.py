"""Which of two artifacts is faster, beyond noise.

Both are open at once, each in a process of its own, and are run in rounds: some runs of the one,
then as many of the other, the order changing from round to round, so that what slows the machine
down for a while slows both. Each round gives one pair of medians. The whole is repeated with
fresh processes, because where a process lies in memory has an effect of its own.

**The rule.** The second is faster if its pairs say so with p < 0.01 in a one-sided sign-flip
permutation test, and by at least 1 % at the median of the ratios. The test statistic is the mean
of the logarithms of the ratios; without a difference each ratio is as likely as its inverse, and
p is the share of all 2^n choices of signs whose mean is at least as extreme. The test is exact,
assumes no distribution of the times, and uses no random numbers. (R. A. Fisher, The Design of
Experiments, 1935, section 21.) It is slower by the same rule the other way round.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from irconv.runtime.base import Feeds
from irconv.runtime.remote import RemoteRunner

__all__ = ["LEAST_GAIN", "SIGNIFICANCE", "Race", "run_race", "sign_flip_p"]

SIGNIFICANCE = 0.01
LEAST_GAIN = 0.01
_LAUNCHES = 2
_ROUNDS = 8
_ROUND_SECONDS = 0.03
_MOST_RUNS = 100
_WARM_UP = 3

Open = Callable[[], AbstractContextManager[RemoteRunner]]


@dataclass(frozen=True)
class Race:
    """Paired times of two artifacts.

    Attributes:
        first: Median seconds of the first in each round.
        second: Median seconds of the second in the same rounds.
    """

    first: tuple[float, ...]
    second: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of second / first."""
        return float(np.exp(np.median(self._logs())))

    @property
    def p_faster(self) -> float:
        """How likely the pairs would be this much in favour of the second by chance."""
        return sign_flip_p(-self._logs())

    @property
    def p_slower(self) -> float:
        """How likely the pairs would be this much against the second by chance."""
        return sign_flip_p(self._logs())

    @property
    def faster(self) -> bool:
        """Whether the second is faster beyond noise."""
        return self.p_faster < SIGNIFICANCE and self.ratio <= 1 - LEAST_GAIN

    @property
    def slower(self) -> bool:
        """Whether the second is slower beyond noise."""
        return self.p_slower < SIGNIFICANCE and self.ratio >= 1 + LEAST_GAIN

    def _logs(self) -> np.ndarray:
        logs: np.ndarray = np.log(np.array(self.second) / np.array(self.first))
        return logs


def sign_flip_p(values: Sequence[float] | np.ndarray) -> float:
    """Return the share of all choices of signs under which the mean is at least as large.

    Args:
        values: At most 20 numbers.
    """
    array = np.asarray(values, np.float64)
    if array.size > 20:
        raise ValueError(f"{array.size} values have too many choices of signs")
    choices = np.arange(1 << array.size, dtype=np.int64)
    sums = np.zeros(choices.size)
    for index, value in enumerate(array):
        sums += np.where(choices >> index & 1, value, -value)
    largest = float(np.abs(array).sum())
    return float(np.mean(sums >= array.sum() - 1e-12 * largest))


def run_race(
    first: Open, second: Open, feeds: Feeds, *, launches: int = _LAUNCHES, rounds: int = _ROUNDS
) -> Race:
    """Run two artifacts against each other.

    Args:
        first: Opens the one in a new process.
        second: Opens the other in a new process.
        feeds: What both are run on.
        launches: How often both are opened anew.
        rounds: Rounds for each launch.

    Raises:
        IrconvError: If one of them does not run.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for launch in range(launches):
        with contextlib.ExitStack() as stack:
            runners = [stack.enter_context(open_()) for open_ in (first, second)]
            once = max(min(runner.time(feeds, runs=3, warmup=_WARM_UP)) for runner in runners)
            runs = min(_MOST_RUNS, max(1, math.ceil(_ROUND_SECONDS / max(once, 1e-9))))
            for number in range(rounds):
                order = (0, 1) if (launch + number) % 2 == 0 else (1, 0)
                for index in order:
                    seconds = runners[index].time(feeds, runs=runs, warmup=1)
                    times[index].append(float(np.median(seconds)))
    return Race(tuple(times[0]), tuple(times[1]))
