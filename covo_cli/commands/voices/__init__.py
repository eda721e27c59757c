"""``covo voices``: list, hear, choose, add and make voices."""

from __future__ import annotations

import typer

from covo_cli.commands.voices import listing, making, speaking
from covo_cli.commands.voices.names import complete_voice
from covo_cli.commands.voices.speaking import bench_voices

__all__ = ["app", "bench_voices", "complete_voice"]

app = typer.Typer(no_args_is_help=True, help="List, hear, choose, add and make voices.")
app.command("list")(listing.list_voices)
app.command()(listing.show)
app.command()(listing.compare)
app.command()(speaking.preview)
app.command()(speaking.use)
app.command()(making.blend)
app.command()(making.tune)
app.command()(making.crop)
app.command()(making.add)
app.command()(making.export)
app.command()(making.remove)
app.command(hidden=True)(making.measure)
