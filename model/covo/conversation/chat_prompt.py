"""What the network is told: the system prompt, and the blocks of a conversation, as token ids.

The format is ChatML. A conversation begins with the system block; a turn is a user block and an
assistant block that is left open for the reply. A spoken turn's user block holds nothing but the
audio between its two markers; text, where there is some, follows the audio.

The last line of the system prompt asks for text and speech in alternation and names the speaker;
without it the reply has no sound. It is therefore never left to a persona. The network was trained
on one wording of it, which is :data:`SPEECH_LINE`. The rest is ours, with the published prompt's
structure. A model folder may bring its own system prompt as ``system_prompt.txt``: all of it, with
``{speaker}`` in its last line where the speaker's name goes.
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
"""Who the assistant is, unless a persona says otherwise."""

SPEECH_LINE = (
    "请用文本和音频进行对话，交替生成5个文本token和15个音频token，音频部分使用发音人：{speaker}"
)
"""The request for text and speech. Its wording is an interface of the trained network, as the names
of its tokens are (it can be read in vLLM-Omni's adapter for this model, Apache-2.0)."""


@dataclass(frozen=True, slots=True)
class SystemPrompt:
    """``persona`` says who the assistant is; ``speech_line`` asks for speech, with ``{speaker}``
    where the name of the speaker goes."""

    persona: str = PERSONA
    speech_line: str = SPEECH_LINE

    def text(self, speaker: str | None) -> str:
        """The whole prompt. ``speaker``: as the voice calls itself; None: only text is wanted."""
        if speaker is None:
            return self.persona
        named = self.speech_line.replace(SPEAKER, " ".join(speaker.split()))
        return f"{self.persona.rstrip()}\n{named}"


def read_system_prompt(folder: Path, persona: str | None = None) -> SystemPrompt:
    """The system prompt of the model in ``folder``. ``persona`` replaces everything but the last
    line. Raises: NetworkConfigError when the folder's own prompt cannot be used."""
    path = folder / SYSTEM_PROMPT_FILE
    prompt = SystemPrompt()
    if path.is_file():
        try:
            lines = path.read_text(encoding="utf-8").strip().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise NetworkConfigError(f"{path} cannot be read: {error}") from error
        if not lines or SPEAKER not in lines[-1]:
            raise NetworkConfigError(
                f"{path}: the last line must have {SPEAKER} where the voice's name goes"
            )
        prompt = SystemPrompt("\n".join(lines[:-1]), lines[-1])
    return SystemPrompt(persona, prompt.speech_line) if persona else prompt


class ChatPrompt:
    """Makes the blocks of a conversation."""

    def __init__(self, tokenizer: CovoTokenizer) -> None:
        self._tokenizer = tokenizer
        self._control = tokenizer.control
        self._newline = tokenizer.encode("\n")

    @property
    def end_of_reply(self) -> int:
        """The token that closes a reply's block."""
        return self._control.block_end

    def system(self, text: str) -> tuple[int, ...]:
        """The system block."""
        said = self._tokenizer.encode(f"system\n{text}")
        return (self._control.block_begin, *said, self._control.block_end)

    def turn(self, *, rows: int = 0, text: str = "") -> tuple[int, ...]:
        """What follows a closed block: a turn of the user, with ``rows`` audio placeholders (0: it
        was typed) and then ``text``; and the open block of the reply."""
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
