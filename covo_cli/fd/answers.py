"""Stage ``answers``: let the half-duplex weights answer the conversations.

The output is ``answers/replies.jsonl``, a record of each conversation. Several conversations share
each pass of the network. They are answered in blocks, because in half precision a reply may depend
on its company; a kill loses the block that was under way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from audio_io.clock import USER_RATE
from audio_io.files import read_audio
from covo_cli.fd.laying.layout import heard_chunks
from covo_cli.fd.recipe import AnswersSection, FdRecipe
from covo_cli.fd.records import (
    ANSWERS,
    CONVERSATIONS,
    PROFILE,
    QUESTIONS,
    REPLIES,
    SOUNDS,
    AnsweredConversation,
    SaidReply,
    SpokenConversation,
)
from covo_cli.fd.work import Journal, Stage, digest, require, weights_digest
from covo_cli.process.whole_file import write_text
from model.covo.batch.batch import DecoderBatch
from model.covo.config.network_config import CovoConfig
from model.covo.config.precision import Precision
from model.covo.conversation.chat_prompt import read_system_prompt
from model.covo.language.tokenizer import CovoTokenizer
from model.covo.loading.checkpoint import load_network
from model.covo.memory.plan import USER_TOKENS_PER_SECOND
from model.duplex.making.start import student_profile
from model.duplex.making.teacher import (
    AskedConversation,
    Teacher,
    TeacherReply,
    TeacherSettings,
)
from model.duplex.protocol.profile import DuplexProfile, profile_text, read_profile

_SEEDS = 1_000
"""Seeds for each conversation: every reply of it takes one."""


class Answers:
    """The stage in the work ``folder``; ``device`` as torch names it. Raises: CliError."""

    def __init__(self, folder: Path, recipe: FdRecipe, device: str) -> None:
        self._recipe = recipe
        self._device = device
        self._model = Path(recipe.model.folder)
        self._profile = self._settled_profile(folder)
        self.stage = Stage(
            folder / ANSWERS,
            {
                "recipe": recipe.numbers("model", "answers"),
                "timing": {
                    name: getattr(recipe.timing, name)
                    for name in ("onset", "onset_until", "onset_early", "break_chunk")
                },
                "profile": digest(folder / PROFILE),
                "model": weights_digest(self._model),
                "questions": require(folder / QUESTIONS, "questions"),
            },
        )
        self._sounds = folder / QUESTIONS / SOUNDS
        self._conversations = Journal(folder / QUESTIONS / CONVERSATIONS, SpokenConversation)
        self._journal = Journal(self.stage.folder / REPLIES, AnsweredConversation)
        if len(self._journal) < len(self._conversations):  # a block is whole, or is made again
            self._journal.keep(len(self._journal) // recipe.answers.block * recipe.answers.block)

    def __len__(self) -> int:
        return len(self._conversations)

    @property
    def done(self) -> int:
        """Return how many conversations were answered."""
        return len(self._journal)

    def run(self) -> Iterator[int]:
        """Answer what is missing; yield the number of conversations that were answered.

        Raises: WeightsError, NetworkConfigError, NetworkInputError.
        """
        if self.done < len(self):
            teacher, settings = self._teacher(), self._recipe.answers
            while self.done < len(self):
                numbers = range(self.done, min(self.done + settings.block, len(self)))
                answered: dict[int, AnsweredConversation] = {}
                asked = (self._asked(number) for number in numbers)
                for place, replies in teacher.answer(asked, lambda r: not why_drop(r, settings)):
                    answered[place] = _kept(replies, settings)
                    if len(answered) < len(numbers):
                        yield self.done + len(answered)
                self._journal.append([answered[place] for place in range(len(numbers))])
                yield self.done
        if not self.stage.complete:
            self._finish()

    def _settled_profile(self, folder: Path) -> DuplexProfile:
        """Return the protocol, with the recipe's prompt should that have changed since ``init``."""
        model, profile = self._recipe.model, read_profile(folder)
        prompt = student_profile(self._model, model.speaker, model.duplex_line).prompt
        if profile.prompt != prompt:
            profile = replace(profile, prompt=prompt)
            write_text(folder / PROFILE, profile_text(profile))
        return profile

    def _teacher(self) -> Teacher:
        settings = self._recipe.answers
        longest = max(
            sum(turn.seconds * USER_TOKENS_PER_SECOND + settings.limit for turn in one.turns)
            for one in self._conversations
        )
        return load_teacher(self._recipe, self._device, longest, settings.streams)

    def _asked(self, number: int) -> AskedConversation:
        turns = self._conversations[number].turns
        per_chunk = self._profile.codes_per_chunk

        def heard(index: int, reply: TeacherReply) -> int | None:
            interrupted = heard_chunks(
                turns[index],
                len(reply.codes),
                self._recipe.timing,
                self._profile,
                last=index == len(turns) - 1,
            )
            return None if interrupted is None else interrupted[1] * per_chunk

        sounds = [read_audio(self._sounds / turn.sound, USER_RATE) for turn in turns]
        return AskedConversation(sounds, self._recipe.seed + number * _SEEDS, heard)

    def _finish(self) -> None:
        answered = list(self._journal)
        replies = [reply for one in answered for reply in one.replies]
        rate = self._profile.code_rate
        counts = {
            "conversations": len(answered),
            "conversations with a reply": sum(bool(one.replies) for one in answered),
            "replies": len(replies),
            "hours of replies": round(sum(len(one.codes) for one in replies) / rate / 3600, 4),
            "text tokens": sum(len(one.text) for one in replies),
        }
        turns = sum(len(one.turns) for one in self._conversations)
        dropped = Counter(one.dropped for one in answered if one.dropped)
        dropped["turns without a reply, with those behind a dropped one"] = turns - len(replies)
        self.stage.finish(counts, dropped, REPLIES)


def load_teacher(recipe: FdRecipe, device: str, longest: float, streams: int) -> Teacher:
    """Load the half-duplex weights, with room for ``streams`` conversations of ``longest`` tokens.
    Raises: WeightsError, NetworkConfigError."""
    model, settings = Path(recipe.model.folder), recipe.answers
    config = CovoConfig.read(model / "config.json")
    network = load_network(
        model, device=device, precision=Precision.of_dtype(config.backbone.dtype)
    )
    capacity = min(round(longest) + 2048, config.backbone.max_positions)
    return Teacher(
        network,
        DecoderBatch(network, streams, capacity),
        CovoTokenizer.read(model, config),
        read_system_prompt(model),
        TeacherSettings(
            recipe.model.speaker,
            settings.temperature,
            settings.top_k,
            settings.limit,
            settings.likely,
        ),
    )


def _kept(replies: Sequence[TeacherReply], settings: AnswersSection) -> AnsweredConversation:
    """Return what is kept of a conversation, of whose replies only the last may be dropped."""
    if not replies:
        return AnsweredConversation((), "conversations of which no turn could be said")
    reason = why_drop(replies[-1], settings)
    kept = replies[:-1] if reason else replies
    said = (SaidReply(one.text, one.codes, one.likely, one.tokens) for one in kept)
    return AnsweredConversation(tuple(said), reason)


def why_drop(reply: TeacherReply, settings: AnswersSection) -> str:
    """Return why a reply should not be learnt from, or an empty string."""
    if not reply.text or not reply.codes:
        return "replies without text or speech"
    if not reply.complete:
        return "replies without an end within the limit"
    low, high = settings.codes_per_text
    if not low <= len(reply.codes) / len(reply.text) <= high:
        return "replies with too few or too many codes for their text"
    length = settings.loop_tokens
    runs = Counter(reply.text[n : n + length] for n in range(len(reply.text) - length + 1))
    if runs and max(runs.values()) >= settings.loop_times:
        return "replies that repeat themselves"
    return ""
