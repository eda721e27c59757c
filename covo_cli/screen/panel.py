"""The live panel as lines of styled text: a pure function of the view, the keys and the size."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from audio_io.clock import seconds
from audio_io.levels import FLOOR_DB
from covo_cli.process.terminal import PlainConsole
from covo_cli.process.text import clean, duration
from covo_cli.screen.keys import KEYS, PICKING_KEYS, TYPING_KEYS, KeyState
from covo_cli.screen.picker import VoicePicker
from covo_cli.screen.view import View
from covo_cli.screen.words import STATES, Glyphs, latency_line
from covo_cli.sessions.transcript import NAMES, TranscriptEntry, Who
from model.events import TurnState

METER_FLOOR_DB = -60.0
MOST_SAID = 6
"""Lines of open entries that are shown also where they take more than half of the window."""
MOST_CHOICES = 12
"""Voices that are shown at a time while one is chosen."""
LABEL = 6
"""Columns for the speaker's name."""

WHO_STYLES = {
    Who.USER: "bold cyan",
    Who.ASSISTANT: "bold magenta",
    Who.TOOL: "bold yellow",
}


@dataclass(frozen=True, slots=True)
class Panel:
    """Draws for ``console``; no line is wider than ``width`` columns."""

    console: PlainConsole
    width: int
    glyphs: Glyphs

    def entry(self, entry: TranscriptEntry) -> list[Text]:
        """Return an entry, wrapped beside its speaker's name; a tool's use is one line."""
        label = LABEL if self.width >= 30 else 0
        if entry.who is Who.TOOL:
            used = Text(clean(entry.text), "dim")
            self._truncate(used, self.width - label)
            lines = [used]
        else:
            lines = self._wrap(self._words(entry), self.width - label)
        name, style = NAMES[entry.who].lower(), WHO_STYLES[entry.who]
        if not label:
            return [self._fit(line) for line in (Text(f"{name}:", style), *lines)]
        heads = [Text(f"{name:<{label}}", style), *[Text(" " * label)] * len(lines)]
        return [Text.assemble(head, line) for head, line in zip(heads, lines, strict=False)]

    def lines(self, view: View, keys: KeyState, height: int) -> list[Text]:
        """Return the open entries, warnings and the status, in at most ``height`` lines."""
        status = self._status(view, keys, height)
        warnings = self._warnings(view)[: max(0, height - len(status))]
        room = max(0, height - len(status) - len(warnings))
        if keys.help:
            said = self._help(view)[:room]
        elif keys.picker is not None:
            said = self._choices(view, keys.picker, min(room, MOST_CHOICES))
        else:
            # A window that gets half as wide wraps the panel into twice the rows; what leaves it at
            # the top cannot be erased any more.
            room = min(room, max(MOST_SAID, (height + 1) // 2 - len(status)))
            said = [line for e in view.entries[view.settled :] for line in self.entry(e)]
            if not view.entries:
                said = [self._fit(Text("Speak, or press t to type.", "dim"))]
            if len(said) > room:
                said = said[len(said) - room :]
        if len(said) < room and not warnings:
            said.append(Text())
        return [self._fit(line) for line in (*said, *warnings, *status)]

    # What was said

    def _words(self, entry: TranscriptEntry) -> Text:
        heard, unheard = clean(entry.shown), clean(entry.unheard)
        if entry.who is Who.USER:
            words = Text(heard, "" if entry.final else "dim italic")
            if not entry.final:
                words.append(f" {self.glyphs.ellipsis}", "dim")
            return words
        words = Text(heard, "dim" if entry.backchannel else "")
        if entry.cut_off:
            # Not every terminal shows strikethrough: the mark tells where the sound ended.
            words.append(f"{' ' if heard else ''}{self.glyphs.cut} ", "red")
            words.append(unheard, "dim strike")
            what = "cut off" if heard else "not heard"
            words.append(f"{' ' if unheard else ''}({what}: {clean(entry.cut_off)})", "red")
        elif unheard:
            apart = entry.text[-1:].isspace() or entry.unheard[:1].isspace()
            words.append(" " if heard and apart else "")
            words.append(unheard, "dim")
        elif not heard:
            words.append(self.glyphs.ellipsis, "dim")
        return words

    def _warnings(self, view: View) -> list[Text]:
        found: list[tuple[str, str]] = []
        for name, message in (("microphone", view.microphone), ("speaker", view.speaker)):
            if message:
                named = message.lower().startswith(name)
                found.append((clean(message if named else f"{name}: {message}"), "yellow"))
        if view.warning is not None:
            style = "bold red" if view.warning.level == "error" else "yellow"
            found.append((f"{view.warning.level}: {clean(view.warning.text)}", style))
        if view.info_notice is not None:
            found.append((clean(view.info_notice.text), "dim"))
        return [
            line
            for text, style in found
            for line in self._wrap(Text(f"! {text}" if style != "dim" else text, style), self.width)
        ]

    def _help(self, view: View) -> list[Text]:
        rows = [*KEYS]
        if view.info.recording:
            rows.append(("recorded", view.info.recording))
        rows.append(("replies", f"{view.replies}, {view.interruptions} cut off"))
        wide = 12 if self.width >= 40 else 7
        return [
            self._fit(Text.assemble((f"{name[: wide - 1]:<{wide}}", "bold"), what))
            for name, what in rows
        ]

    def _choices(self, view: View, picker: VoicePicker, room: int) -> list[Text]:
        """Return the voices around the chosen one, the present one marked."""
        names = picker.matching
        if not names:
            return [self._fit(Text(f"no voice has {picker.letters!r} in its name", "dim"))][:room]
        begin = max(0, min(picker.at - room // 2, len(names) - room))
        widest = max(cell_len(clean(name)) for name in names)
        lines = []
        for at, name in enumerate(names[begin : begin + room], begin):
            mark = self.glyphs.dot if name == view.voice else " "
            shown = set_cell_size(clean(name), widest)
            line = Text.assemble(
                f"{mark} ", (f" {shown} ", "reverse" if at == picker.at else "bold")
            )
            line.append(f" {clean(view.info.voices.get(name, ''))}", "dim")
            lines.append(self._fit(line))
        return lines

    # The status

    def _status(self, view: View, keys: KeyState, height: int) -> list[Text]:
        """Return the status lines; the least important are left out when there is little room."""
        last = self._prompt(keys) if keys.typing else self._hints(keys)
        if keys.picker is not None:
            last = self._letters(keys.picker)
        ranked = [
            (4, Text(self.glyphs.rule * self.width, "dim")),
            (0, self._state(view)),
            (2, self._meters(view)),
            (3, self._latency(view)),
            (6, self._about(view)),
            (1 if keys.typing or keys.talking or keys.picker else 5, last),
        ]
        room = max(2, min(len(ranked), height - 4))
        kept = sorted(rank for rank, _ in ranked)[:room]
        return [line for rank, line in ranked if rank in kept][:height]

    def _state(self, view: View) -> Text:
        look = STATES[view.state]
        left = Text.assemble((f"{self.glyphs.sign(view.state)} {view.state.value}", look.style))
        reason = f"lowered: {view.lowered}" if view.lowered else view.reason
        if reason and self.width >= 40:
            left.append(f"  {clean(reason)}", "dim")
        right = Text()
        if view.muted and view.state is not TurnState.MUTED:
            right.append("MUTED ", "bold")
        if not view.info.recording:
            right.append("not recording" if self.width >= 40 else "", "dim")
        elif self.width >= 30:
            right.append(f"{self.glyphs.dot} REC {duration(seconds(view.at))}", "bold red")
        else:
            right.append("REC", "bold red")
        return self._spread(left, right)

    def _meters(self, view: View) -> Text:
        half = (self.width - 2) // 2
        line = self._meter("in", FLOOR_DB if view.muted else view.input_level, half)
        line.append("  ")
        return line + self._meter("out", view.output_level, half)

    def _meter(self, name: str, level: float, width: int) -> Text:
        figure = 8 if width >= 24 else 0
        size = max(1, min(30, width - 4 - figure))
        filled = round(size * min(1.0, max(0.0, 1 - level / METER_FLOOR_DB)))
        colour = "red" if level > -1 else "yellow" if level > -6 else "green"
        meter = Text.assemble(
            (f"{name:<4}", "dim"),
            (self.glyphs.full * filled, colour),
            (self.glyphs.empty * (size - filled), "dim"),
        )
        if figure:
            meter.append(f"{level:4.0f} dB" if level > FLOOR_DB else "     dB", "dim")
            meter.append(" " * (width - meter.cell_len))
        return meter

    def _latency(self, view: View) -> Text:
        if view.latency is None:
            return Text("latency -", "dim")
        line = latency_line(view.latency, self.width)
        name = "latency " if len(line) + 8 <= self.width else ""
        total = f"{view.latency.total:.2f} s"
        return self._fit(Text.assemble((name, "dim"), (total, "bold"), line.removeprefix(total)))

    def _about(self, view: View) -> Text:
        between = self.glyphs.between
        facts = [view.info.engine, f"voice {view.voice}"]
        if self.width >= 40:
            used = sum(cell_len(clean(fact) + between) for fact in facts) + len(between)
            devices = (f"mic {view.info.microphone}", f"speaker {view.info.speaker}")
            facts += self._share(*devices, self.width - used)
        return self._fit(Text(between.join(clean(fact) for fact in facts), "dim"))

    def _share(self, one: str, other: str, width: int) -> list[str]:
        """Shorten two texts to fit into ``width`` together, the longer one first."""
        lines = [Text(clean(one)), Text(clean(other))]
        for line, beside in (lines, reversed(lines)):
            self._truncate(line, max(width // 2, width - beside.cell_len))
        return [line.plain for line in lines]

    def _hints(self, keys: KeyState) -> Text:
        hints = [
            ("space", "send" if keys.talking else "talk"),
            ("m", "mute"),
            ("i", "interrupt"),
            ("v", "voice"),
            ("t", "type"),
            ("?", "help"),
            ("q", "quit"),
        ]
        for least in ("v", "t", "i", "m", "q", "?" if keys.talking else "space"):
            if sum(len(key) + len(what) + 3 for key, what in hints) - 2 <= self.width:
                break
            hints = [hint for hint in hints if hint[0] != least]
        return self._pairs(hints, keys.talking)

    def _prompt(self, keys: KeyState) -> Text:
        """Return the line being typed, or its part before the cursor."""
        typed = "".join(char for char in keys.text if char.isprintable() or char == "\u200d")
        before = set_cell_size(typed, min(keys.cursor, cell_len(typed)))
        after = typed[len(before) :]
        line = Text("type: " if self.width >= 30 else "> ", "bold yellow")
        room = self.width - line.cell_len - 1
        places = range(len(before) + 1)
        line.append(before[bisect(places, False, key=lambda at: cell_len(before[at:]) <= room) :])
        line.append(after[:1] or " ", "reverse")
        line.append(after[1:])
        help_ = self._pairs(TYPING_KEYS, False)
        if line.cell_len + help_.cell_len + 2 <= self.width:
            return self._spread(line, help_)
        line.truncate(self.width, overflow="crop")  # an ellipsis might hide the cursor
        return line

    def _letters(self, picker: VoicePicker) -> Text:
        """Return the letters typed to find a voice, and the keys."""
        line = Text.assemble(("voice: ", "bold yellow"), picker.letters[-10:], (" ", "reverse"))
        arrows = ("↑ ↓" if self.glyphs.unicode else "arrows", "choose")
        help_ = self._pairs([arrows, *PICKING_KEYS], False)
        if line.cell_len + help_.cell_len + 2 <= self.width:
            return self._spread(line, help_)
        return self._fit(line)

    def _pairs(self, hints: Sequence[tuple[str, str]], lit: bool) -> Text:
        line = Text()
        for index, (key, what) in enumerate(hints):
            line.append("  " if index else "")
            line.append(key, "bold reverse" if lit and not index else "bold")
            line.append(f" {what}", "dim")
        return self._fit(line)

    # Fitting

    def _fit(self, line: Text) -> Text:
        self._truncate(line, self.width)
        return line

    def _truncate(self, line: Text, width: int) -> None:
        line.truncate(max(0, width), overflow="ellipsis" if self.glyphs.unicode else "crop")

    def _spread(self, left: Text, right: Text) -> Text:
        right.truncate(self.width)
        room = self.width - right.cell_len - 1
        if room < 1:
            return right
        self._truncate(left, room)
        return left + Text(" " * (self.width - left.cell_len - right.cell_len)) + right

    def _wrap(self, text: Text, width: int) -> list[Text]:
        lines = list(text.wrap(self.console, max(1, width), overflow="fold"))
        for line in lines:
            line.rstrip()
        return lines or [Text()]
