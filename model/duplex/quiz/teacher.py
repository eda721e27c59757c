"""The half-duplex teacher: it hears a whole question at once and answers in Chat's format.

The format is that of the published network (:mod:`model.covo.conversation.chat_prompt`): ChatML, a
placeholder for each row of the audio, and a reply of five text tokens to 15 speech codes, then
speech alone. The encoder sees the turn in both directions, in a window of a few seconds instead of
30. What the teacher says is what the student learns to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import cos, pi
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, WhisperFeatureExtractor

from audio_io.clock import USER_RATE
from audio_io.signal import Audio
from model.covo.config.precision import Precision
from model.covo.conversation.answer import alternated
from model.covo.language.features import FRAMES_PER_EMBEDDING
from model.covo.language.network import CovoNetwork
from model.covo.loading.checkpoint import load_network
from model.duplex.quiz.questions import NUMBERS, QuizQuestion, codes_of_word, draw_question
from model.duplex.quiz.world import VOCABULARY
from model.duplex.tones.tones import ROOM, speaker
from model.duplex.training.whole import write_tensors

_LIMIT = 128
"""Tokens of a reply, at most."""
_LIKELY = 5
"""Words whose probabilities are kept for each word of an answer."""
_MEL_FRAME = USER_RATE // 100


@dataclass(frozen=True, slots=True)
class TeacherTraining:
    """``batch``: questions in a step."""

    steps: int = 500
    batch: int = 24
    learning_rate: float = 3e-3
    warm_up: int = 40


@dataclass(frozen=True, slots=True)
class TaughtAnswer:
    """What the teacher answered: text ids and codes, both as they were spoken. ``likely``: for each
    text id, what it found most likely there, ids with natural log-probabilities."""

    text: tuple[int, ...]
    codes: tuple[int, ...]
    likely: tuple[tuple[tuple[int, float], ...], ...] = field(default=(), repr=False)


class QuizTeacher:
    """The half-duplex network of ``covo``, on the CPU."""

    def __init__(self, covo: CovoNetwork) -> None:
        self.covo = covo
        config = covo.config
        self._first_code = config.first_audio_token
        self._extractor = WhisperFeatureExtractor(
            feature_size=config.encoder.mels,
            sampling_rate=USER_RATE,
            chunk_length=config.encoder.positions // 50,
        )

    @classmethod
    def load(cls, folder: Path) -> QuizTeacher:
        """Load the network in ``folder``."""
        return cls(load_network(folder, precision=Precision.FP32, merge=False).eval())

    def loss(self, questions: Sequence[QuizQuestion], random: np.random.Generator) -> Tensor:
        """Return the mean cross-entropy of the right answers' tokens."""
        rows, ids = self._prompts(questions, random)
        replies = [self.reply_tokens(question) for question in questions]
        whole = [torch.tensor([*ask, *said]) for ask, said in zip(ids, replies, strict=True)]
        wanted = [
            torch.tensor([-100] * len(ask) + said) for ask, said in zip(ids, replies, strict=True)
        ]
        hidden = self.covo.llm.model(
            inputs_embeds=self._embed(pad_sequence(whole, batch_first=True), rows), use_cache=False
        ).last_hidden_state
        targets = pad_sequence(wanted, batch_first=True, padding_value=-100)[:, 1:]
        here = targets >= 0
        return functional.cross_entropy(self.covo.llm.lm_head(hidden[:, :-1][here]), targets[here])

    @torch.inference_mode()
    def answer(
        self, questions: Sequence[QuizQuestion], seed: int = 0, batch: int = 64
    ) -> list[TaughtAnswer | None]:
        """Return the greedy answers; None in place of one that does not end or is not whole words
        with six to ten codes each."""
        rows, ids = self._prompts(questions, np.random.default_rng(seed))
        answers: list[TaughtAnswer | None] = [None] * len(questions)
        order = sorted(range(len(questions)), key=lambda n: len(ids[n]))
        for _, same in groupby(order, key=lambda n: len(ids[n])):
            equal = list(same)  # prompts of one length need no padding
            for first in range(0, len(equal), batch):
                part = equal[first : first + batch]
                prompt = self._embed(torch.tensor([ids[n] for n in part]), [rows[n] for n in part])
                for n, tokens, logs in zip(part, *self._generate(prompt), strict=True):
                    answers[n] = self.split(tokens, logs)
        return answers

    def _prompts(
        self, questions: Sequence[QuizQuestion], random: np.random.Generator
    ) -> tuple[list[Tensor], list[list[int]]]:
        """Return what is heard of each question, (rows, hidden), and the ids of its prompt."""
        sounds = [_as_a_turn(question, random) for question in questions]
        mels = self._extractor(sounds, sampling_rate=USER_RATE, return_tensors="pt")
        heard = self.covo.audio_adapter(self.covo.encoder(mels["input_features"]).last_hidden_state)
        counts = [-(-len(sound) // (FRAMES_PER_EMBEDDING * _MEL_FRAME)) for sound in sounds]
        token = VOCABULARY.__getitem__
        before = [token(t) for t in ("<begin>", "half", "<end>", "\n", "<begin>", "user")]
        after = [token(t) for t in ("<end>", "\n", "<begin>", "assistant", "\n")]
        ids = [
            [
                *before,
                token("<audio_begin>"),
                *[token("<audio>")] * count,
                token("<audio_end>"),
                *after,
            ]
            for count in counts
        ]
        return [one[:count] for one, count in zip(heard, counts, strict=True)], ids

    def _embed(self, ids: Tensor, heard: Sequence[Tensor]) -> Tensor:
        embedded: Tensor = self.covo.llm.model.embed_tokens(ids)
        places = (ids == self.covo.config.placeholder)[..., None].expand_as(embedded)
        return embedded.masked_scatter(places, torch.cat(list(heard)))

    def reply_tokens(self, question: QuizQuestion) -> list[int]:
        """Return the tokens of the right answer, in alternation, and the end."""
        text = list(question.answer)
        codes = [self._first_code + code for word in text for code in codes_of_word(word)]
        return [*alternated(text, codes), VOCABULARY["<end>"]]

    def _generate(self, embedded: Tensor) -> tuple[list[list[int]], Tensor]:
        """Return the best tokens after each prompt (n, length, hidden), up to the end, and the
        log-probabilities (n, tokens, words) of the words in each place, among themselves."""
        cache, chosen, logs = DynamicCache(), list[Tensor](), list[Tensor]()
        ended = torch.zeros(len(embedded), dtype=torch.bool)
        while not bool(ended.all()) and len(chosen) < _LIMIT:
            out = self.covo.llm.model(
                inputs_embeds=embedded, cache=cache, use_cache=True
            ).last_hidden_state[:, -1]
            logits = self.covo.llm.lm_head(out)
            best = logits.argmax(dim=-1)
            chosen.append(best)
            logs.append(logits[:, : len(NUMBERS)].log_softmax(dim=-1))
            ended |= best == VOCABULARY["<end>"]
            embedded = self.covo.llm.model.embed_tokens(best[:, None])
        return torch.stack(chosen, dim=1).tolist(), torch.stack(logs, dim=1)

    def split(self, tokens: Sequence[int], logs: Tensor | None = None) -> TaughtAnswer | None:
        """Return what ``tokens`` say, or None as in :meth:`answer`. ``logs`` (tokens, words): the
        log-probabilities of the words in each place."""
        end = VOCABULARY["<end>"]
        if end not in tokens:
            return None
        said = tokens[: tokens.index(end)]
        places = [place for place, token in enumerate(said) if token < len(NUMBERS)]
        text = tuple(said[place] for place in places)
        codes = tuple(token - self._first_code for token in said if token >= self._first_code)
        whole = len(text) + len(codes) == len(said) and text
        paced = whole and 4.5 <= len(codes) / len(text) <= 20
        if not paced:
            return None
        return TaughtAnswer(text, codes, () if logs is None else tuple(_likely(logs[places])))


def train_teacher(
    untrained: Path, output: Path, training: TeacherTraining, seed: int = 0
) -> Iterator[float]:
    """Train the network in ``untrained`` to answer; yield the loss of each step, and write it."""
    torch.manual_seed(seed)
    teacher = QuizTeacher.load(untrained)
    learnt = {n: p for n, p in teacher.covo.named_parameters() if "embed_positions" not in n}
    for name, parameter in teacher.covo.named_parameters():
        parameter.requires_grad_(name in learnt)
    optimizer = torch.optim.AdamW(learnt.values(), betas=(0.9, 0.98), weight_decay=0.01)
    teacher.covo.train()
    for step in range(training.steps):
        random = np.random.default_rng((seed, step))
        questions = [draw_question(speaker(random), random) for _ in range(training.batch)]
        for group in optimizer.param_groups:
            group["lr"] = _rate(training, step)
        total = teacher.loss(questions, random)
        total.backward()
        nn.utils.clip_grad_norm_(learnt.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield float(total.detach())
    tensors = {n: p.detach().half().contiguous() for n, p in teacher.covo.named_parameters()}
    write_tensors(output / "model.safetensors", tensors)


def _rate(training: TeacherTraining, step: int) -> float:
    if step < training.warm_up:
        return training.learning_rate * (step + 1) / training.warm_up
    done = (step - training.warm_up) / (training.steps - training.warm_up)
    return training.learning_rate * (0.05 + 0.475 * (1 + cos(pi * done)))


def _likely(logs: Tensor) -> Iterator[tuple[tuple[int, float], ...]]:
    """Yield the most likely of the words whose log-probabilities (n, words) are given."""
    best = logs.topk(_LIKELY)
    for ids, values in zip(best.indices.tolist(), best.values.tolist(), strict=True):
        yield tuple((id, round(value, 3)) for id, value in zip(ids, values, strict=True))


def _as_a_turn(question: QuizQuestion, random: np.random.Generator) -> Audio:
    """Return the clean, unbroken question with some silence around it, in a room."""
    before, after = (round(random.uniform(0.05, 0.3) * USER_RATE) for _ in range(2))
    turn = np.pad(question.sound(), (before, after))
    room = random.normal(0, 10 ** (random.uniform(*ROOM) / 20), len(turn))
    return (turn + room).astype(np.float32)
