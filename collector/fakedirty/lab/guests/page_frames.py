"""Page frames as the guests write them: ``FIRST+COUNT`` or ``FIRST+COUNT*STRIDE``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FrameNumbers = npt.NDArray[np.int64]

_FORMAT = re.compile(r"(\d+)\+(\d+)(?:\*(\d+))?")


@dataclass(frozen=True, slots=True)
class PageFrames:
    """`count` page frames from `first` on, every `stride`-th."""

    first: int
    count: int
    stride: int = 1

    def __str__(self) -> str:
        return f"{self.first}+{self.count}" + (f"*{self.stride}" if self.stride != 1 else "")

    @classmethod
    def parse(cls, text: str) -> PageFrames:
        """The inverse of ``str``; ValueError if `text` has another format."""
        match = _FORMAT.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is not FIRST+COUNT or FIRST+COUNT*STRIDE")
        return cls(int(match[1]), int(match[2]), int(match[3] or 1))

    @property
    def end(self) -> int:
        """The first frame behind the last one and its stride."""
        return self.first + self.count * self.stride


def frame_numbers(ranges: Iterable[PageFrames]) -> FrameNumbers:
    """Every frame number of `ranges`, in their order."""
    parts = [r.first + r.stride * np.arange(r.count, dtype=np.int64) for r in ranges]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
