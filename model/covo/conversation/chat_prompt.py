"""The system prompt and the blocks of a conversation, as token ids.

The format is ChatML. A conversation begins with the system block; a turn is a user block and an
assistant block that is left open for the reply. The user block of a spoken turn holds the audio
between two markers, followed by text if there is any.

The system prompt's last line asks for text and speech in alternation and names the speaker. Without
it the reply has no sound, so a persona never replaces it. :data:`SPEECH_LINE` is the wording that
the network was trained with; the rest is ours, in the structure of the published prompt. A model
folder may replace the system prompt by ``system_prompt.txt``, with ``{speaker}`` in its last line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model.covo.language.tokenizer import CovoTokenizer
from model.errors import NetworkConfigError

SYSTEM_PROMPT_FILE = "system_prompt.txt"
SPEAKER = "{speaker}"

PERSONA = (
    "你叫“小沃”，英文名“Covo”，是一个语音聊天助手。\n"
    "1、像朋友聊天一样，用简短自然的口语回答，热情而有耐心。\n"
    "2、你的回答会被念出来：不要列清单、写网址、表情符号或数学公式。\n"
    "3、遇到敏感或危险的话题，要谨慎、友善，以对方的安全为重。"
)
"""The default persona."""

SPEECH_LINE = (
    "请用文本和音频进行对话，交替生成5个文本token和15个音频token，音频部分使用发音人：{speaker}"
)
"""The request for text and speech. Its wording is part of the trained network's interface, like the
names of its tokens (see vLLM-Omni's adapter for this model, Apache-2.0)."""


@dataclass(frozen=True, slots=True)
class SystemPrompt:
    """``persona``: who the assistant is; ``speech_line``: the request for speech, with
    ``{speaker}`` for the speaker's name."""

    persona: str = PERSONA
    speech_line: str = SPEECH_LINE

    def text(self, speaker: str | None) -> str:
        """Return the whole prompt. ``speaker``: the voice's name in it; None: text only."""
        if speaker is None:
            return self.persona
        named = self.speech_line.replace(SPEAKER, " ".join(speaker.split()))
        return f"{self.persona.rstrip()}\n{named}"


def read_system_prompt(folder: Path, persona: str | None = None) -> SystemPrompt:
    """Return the system prompt of the model in ``folder``. ``persona`` replaces all but its last
    line. Raises: NetworkConfigError when the folder's own prompt is unusable."""
    path = folder / SYSTEM_PROMPT_FILE
    prompt = SystemPrompt()
    if path.is_file():
        try:
            lines = path.read_text(encoding="utf-8").strip().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise NetworkConfigError(f"cannot read {path}: {error}") from error
        if not lines or SPEAKER not in lines[-1]:
            raise NetworkConfigError(
                f"{path}: put {SPEAKER} in the last line, where the voice's name goes"
            )
        prompt = SystemPrompt("\n".join(lines[:-1]), lines[-1])
    return SystemPrompt(persona, prompt.speech_line) if persona else prompt


class ChatPrompt:
    """Builds the blocks of a conversation."""

    def __init__(self, tokenizer: CovoTokenizer) -> None:
        self._tokenizer = tokenizer
        self._control = tokenizer.control
        self._newline = tokenizer.encode("\n")

    @property
    def end_of_reply(self) -> int:
        """Return the token that closes a reply's block."""
        return self._control.block_end

    def system(self, text: str) -> tuple[int, ...]:
        """Return the system block."""
        said = self._tokenizer.encode(f"system\n{text}")
        return (self._control.block_begin, *said, self._control.block_end)

    def opening(self) -> tuple[int, ...]:
        """Return the beginning of a user block, for the network to go on with."""
        return (*self._newline, self._control.block_begin, *self._tokenizer.encode("user\n"))

    def turn(self, *, rows: int = 0, text: str = "") -> tuple[int, ...]:
        """Return a user block with ``rows`` audio placeholders (0: typed) and ``text``, and the
        open block of the reply. It follows a closed block."""
        control = self._control
        if rows:
            audio = (control.audio_begin, *(control.audio,) * rows, control.audio_end)
            asked = self._tokenizer.encode(text) if text else ()
            said = (*self._tokenizer.encode("user\n"), *audio, *asked)
        else:
            said = self._tokenizer.encode(f"user\n{text}")
        user = (control.block_begin, *said, control.block_end)
        reply = (control.block_begin, *self._tokenizer.encode("assistant\n"))
        return (*self._newline, *user, *self._newline, *reply)
