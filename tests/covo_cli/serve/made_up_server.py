"""``covo serve --record`` with made-up engines, as a program: ``python -m`` this module."""

from __future__ import annotations

from unittest.mock import patch

from covo_cli.engines.engines import EngineChoice
from covo_cli.serve.run_serve import ServeOptions, run_serve
from covo_cli.settings.settings import load_settings
from model.engine import Engine
from tests.covo_cli.serve.live_server import TOKEN, made_up_engine
from tests.fakes.engine import FakeClock, FakeGenerator


def build(*given: object, **named: object) -> Engine:
    """Return an engine that says "one two" to everything."""
    fake = FakeGenerator(FakeClock(), words=["one", "two"], word_seconds=0.2)
    return made_up_engine(fake, lambda audio: "hello")


if __name__ == "__main__":
    choice = EngineChoice("lite", "made up")
    with patch.multiple(
        "covo_cli.serve.run_serve",
        build_engine=build,
        choose_engine=lambda settings: choice,
        for_sessions=lambda settings, chosen, count: chosen,
    ):
        run_serve(load_settings({}), ServeOptions(port=0, token=TOKEN, sessions=2, record=True))
