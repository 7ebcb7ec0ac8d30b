"""The report of ``fakedirty what-if``."""

from __future__ import annotations

from fakedirty.show.what_if import settings_text
from fakedirty.whatif.variants import Variant


def test_a_throttle_is_shown_as_it_was_given() -> None:
    """99.9 % is not 100 %, which QEMU has not, and two throttles have two names."""
    shown = [settings_text(Variant(0.3, throttle=share, given=("throttle",))) for share in (0.999, 0.124, 0.4)]
    assert shown == ["throttle 99.9%", "throttle 12.4%", "throttle 40%"]
