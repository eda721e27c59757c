"""Turn what the user said into the network's input."""

from __future__ import annotations

import torch

from model.covo.conversation.answer import DialogueReply
from model.covo.conversation.chat_prompt import ChatPrompt
from model.covo.conversation.history import Segment
from model.covo.language.features import ENCODER_RATE, turn_features
from model.covo.language.network import CovoNetwork
from model.covo.memory.plan import USER_TOKENS_PER_SECOND
from model.errors import NetworkInputError


def hear_turn(network: CovoNetwork, prompt: ChatPrompt, reply: DialogueReply, room: int) -> Segment:
    """Return the turn that ``reply`` answers, of ``room`` tokens at most.

    Raises: NetworkInputError when it is empty or too long.
    """
    if reply.audio is None:
        return _checked(Segment(prompt.turn(text=reply.text)), room)
    if reply.audio.size and not reply.audio.any():
        raise NetworkInputError("the turn is empty: every sample of it is 0")
    seconds = len(reply.audio) / ENCODER_RATE
    if seconds * USER_TOKENS_PER_SECOND > room:  # before running the encoder
        raise NetworkInputError(
            f"the turn is too long: {seconds:.0f} s, and the network has room for "
            f"{room / USER_TOKENS_PER_SECOND:.0f} s; say it in parts, or raise "
            "covo.context_minutes"
        )
    features = turn_features(
        torch.from_numpy(reply.audio),
        ENCODER_RATE,
        mels=network.config.encoder.mels,
        device=network.device,
    )
    ids = prompt.turn(rows=features.placeholders, text=reply.text)
    return _checked(Segment(ids, network.hear(features)), room)


def _checked(turn: Segment, room: int) -> Segment:
    if len(turn.ids) > room:
        raise NetworkInputError(
            f"the turn is too long: {len(turn.ids)} tokens, and there is room for {room}; say it "
            "in parts, or raise covo.context_minutes"
        )
    return turn
