"""The tool that sets, lists and cancels timers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from model.errors import ToolError
from model.playback.timers import Timers, in_words
from model.tools.tool import Tool, built_in

LONGEST_NAME = 60
"""Characters of a timer's name."""

_NAME = "What it is for, such as tea; empty when cancelling: the only timer."


@dataclass(frozen=True, slots=True)
class _TimerWish:
    do: Literal["set", "list", "cancel"]
    minutes: Annotated[float, Meta(ge=0)] = 0.0
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    name: Annotated[str, Meta(description=_NAME)] = ""


def timer_tool(timers: Timers) -> Tool:
    """Return the tool that sets, lists and cancels ``timers``."""

    def use(wish: _TimerWish) -> str:
        name = " ".join(wish.name.split())
        if len(name) > LONGEST_NAME:
            raise ToolError(f"the name of a timer has at most {LONGEST_NAME} characters")
        match wish.do:
            case "set":
                timer = timers.set(wish.minutes * 60 + wish.seconds, name)
                return f"set: {timer.name} rings in {in_words(timer.length)}"
            case "list":
                return "; ".join(timers.describe()) or "no timer is set"
            case "cancel":
                return f"cancelled: {timers.cancel(name).name}"

    what = "Set a timer that rings after some minutes and seconds; list or cancel timers."
    return built_in("timer", what, _TimerWish, use)
