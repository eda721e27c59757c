"""How a message goes on, by the probabilities of SmolLM2's next word.

The model reads the user's words as a message of a conversation that was going on, and tells how
likely its sentence ends there. An example conversation before it makes that judgement sharper: on
its own the model expects written requests.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping
from typing import Any

from model.errors import ChatError, EndOfTurnError
from model.lite.llama import LlamaModel
from model.turns.endings.models import Outlook

_EXAMPLES = (
    ("Who were you talking to?", "I was talking to you."),
    ("He said he would, but he never did.", "That is a pity."),
    ("We moved here in the spring, and the children love it.", "That is good to hear."),
    ("I'd like to, but I can't.", "Another time, then."),
    ("It was a long day.", "I'm sorry to hear that. Do you want to talk about it?"),
    ("My sister's already got one.", "Then you could share it."),
    ("What happens if they don't?", "Then we wait."),
    ("I thought she was.", "She is."),
)
"""Messages and answers, many of which end in words that mostly go on."""
_BEGINNING = "".join(
    f"<|im_start|>user\n{said}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"
    for said, answer in _EXAMPLES
)
_PROMPT = (
    _BEGINNING
    + "<|im_start|>user\nCould you turn it off?<|im_end|>\n"
    + "<|im_start|>assistant\n{before}<|im_end|>\n<|im_start|>user\n"
)
_BEFORE = "Of course."
_CONTEXT = 640
"""Tokens: the examples take half of them."""
_MOST_CHARACTERS = 500
"""Of the message and of what it answers, only the ends are read."""

_FOLLOWERS = 100
"""Next tokens whose probabilities are asked for: 97 % of the mass."""
_NONE = math.log(1e-4)

_MESSAGE_ENDS = ""
"""How the server writes the token that ends a message."""
_SENTENCE_ENDS = re.compile(r"[.?!]+[\"”]?|\n+")
_PAUSES = re.compile(r"[,;:…–—-]+|\.\.+")
_LAST_MARK = re.compile(r"[\s.?!…,;:–—-]+$")


class SmolOutlook:
    """A :class:`model.turns.endings.models.OutlookModel`: SmolLM2-135M-Instruct as ``model``, which
    may write replies as well."""

    name = "SmolLM2-135M"
    languages = frozenset({"en"})

    def __init__(self, model: LlamaModel) -> None:
        self._slot = model.slot(_CONTEXT, first=True)
        self._lock = threading.Lock()
        self._last: tuple[tuple[str, str], Outlook] | None = None

    def load(self) -> None:
        """Load the model and read the examples. Raises: EndOfTurnError."""
        self.outlook("Hello.", "")

    def close(self) -> None:
        """Free the memory. Safe to call twice."""
        self._slot.close()

    def read_ahead(self, words: str, before: str) -> None:
        """See :class:`model.turns.endings.models.OutlookModel`. Raises: EndOfTurnError."""
        self._complete(_prompt(words, before), {"n_predict": 1})

    def outlook(self, words: str, before: str) -> Outlook:
        """See :class:`model.turns.endings.models.OutlookModel`.

        Words that were just weighed are not read again.
        """
        asked = (words, before)
        with self._lock:
            if self._last is None or self._last[0] != asked:
                self._last = asked, self._read(words, before)
            return self._last[1]

    def _read(self, words: str, before: str) -> Outlook:
        mark = "?" if words.rstrip().endswith("?") else "."
        following, closing = self._followers(_prompt(words, before), mark)
        ends = pauses = closes = 0.0
        goes_on = _NONE
        for token, log_probability in following:
            plain = token.strip(" ")
            if _PAUSES.fullmatch(plain):
                pauses += math.exp(log_probability)
            elif token == _MESSAGE_ENDS or _SENTENCE_ENDS.fullmatch(plain):
                ends += math.exp(log_probability)
            else:
                goes_on = max(goes_on, log_probability)
        for token, log_probability in closing:
            if token == _MESSAGE_ENDS:
                closes += math.exp(log_probability)
        return Outlook(_log(ends), _log(pauses), goes_on, _log(closes))

    def _followers(self, prompt: str, mark: str) -> list[list[tuple[str, float]]]:
        """Return the likeliest tokens after ``prompt``, and those after ``mark``, with their log
        probabilities. Special tokens and parts of characters are all written as nothing."""
        request = {
            "n_predict": 2,
            "n_probs": _FOLLOWERS,
            "temperature": 0.0,
            "logit_bias": [[mark, 100.0]],  # written for sure; does not change what is told
            "special": True,
        }
        chunks = self._complete(prompt, request)
        try:
            choices = [choice for chunk in chunks for choice in chunk.get("choices", ())]
            steps = [step for choice in choices for step in choice["logprobs"]["content"]]
            first, second = (step["top_logprobs"] for step in steps)
        except (LookupError, TypeError, ValueError) as error:
            answer = str(chunks[-1:])[:200]
            raise EndOfTurnError(f"the language model failed: {error} {answer}") from error
        return [[(one["token"], one["logprob"]) for one in step] for step in (first, second)]

    def _complete(self, prompt: str, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the chunks of the answer to ``request`` about ``prompt``. Raises:
        EndOfTurnError."""
        chunks: list[dict[str, Any]] = []

        def receive(chunk: dict[str, Any]) -> bool:
            chunks.append(chunk)
            return False

        try:
            self._slot.complete({**request, "prompt": prompt}, receive)
        except ChatError as error:
            raise EndOfTurnError(f"the language model failed: {error}") from error
        return chunks


def _prompt(words: str, before: str) -> str:
    """Return what the model reads: the examples, ``before`` and the ``words`` without their last
    mark."""
    said = _LAST_MARK.sub("", words)[-_MOST_CHARACTERS:]
    return _PROMPT.format(before=before[-_MOST_CHARACTERS:].strip() or _BEFORE) + said


def _log(probability: float) -> float:
    return max(math.log(probability), _NONE) if probability > 0 else _NONE
