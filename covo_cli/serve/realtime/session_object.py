"""The session object: what a client may set, and what it means for the turn taking.

The object is told back as it is kept, so it fits the models of all client libraries. Settings that
mean nothing here are accepted and told back; nothing of an update is applied if a part of it is
refused.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from openai.types.realtime import RealtimeSessionCreateRequest
from openai.types.realtime.realtime_audio_input_turn_detection import SemanticVad, ServerVad
from pydantic import ValidationError

from covo_cli.serve.realtime.sound import PCM_24K, SoundFormat
from covo_cli.serve.realtime.wire import WireError
from model.turns.turn_settings import TurnSettings, with_patience

_FIELDS = frozenset(RealtimeSessionCreateRequest.model_fields)
_HEARD = ("format", "transcription", "noise_reduction", "turn_detection")
_TURN_FIELDS = {
    "server_vad": frozenset(ServerVad.model_fields),
    "semantic_vad": frozenset(SemanticVad.model_fields),
}
_SWITCHES = ("turn_detection", "transcription", "noise_reduction", "tracing", "idle_timeout_ms")
_EAGERNESS = {"low": "patient", "high": "eager"}
_IN_RATES = (24_000, 16_000)
_OUT_RATES = (24_000,)
_MOST_TEXT = 256 * 1024


@dataclass(frozen=True, slots=True)
class ServedEngine:
    """What a session tells of its engine. ``turns``: the settings of the server; ``lacks``: see
    :class:`model.engine.EngineInfo`; ``recorded``: the server keeps the session."""

    model: str
    voice: str
    voices: tuple[str, ...]
    transcriber: str
    turns: TurnSettings
    lacks: tuple[str, ...] = ()
    recorded: bool = False


class SessionObject:
    """The session ``session_id``, which ends at ``expires_at`` (seconds of the epoch)."""

    def __init__(self, served: ServedEngine, session_id: str, expires_at: int) -> None:
        self._served = served
        silence = round(served.turns.silence * 1000)
        self._default_turns: dict[str, Any] = {
            "type": "server_vad",
            "threshold": served.turns.threshold,
            "prefix_padding_ms": round(served.turns.pre_roll * 1000),
            "silence_duration_ms": silence,
            "create_response": True,
            "interrupt_response": True,
        }
        self.value: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": served.model,
            "output_modalities": ["audio"],
            "instructions": "",
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "tracing": None,
            "truncation": "auto",
            "expires_at": expires_at,
            "audio": {
                "input": {
                    "format": PCM_24K.told(),
                    "transcription": {"model": served.transcriber},
                    "noise_reduction": None,
                    "turn_detection": dict(self._default_turns),
                },
                "output": {"format": PCM_24K.told(), "voice": served.voice, "speed": 1.0},
            },
        }

    def update(self, change: Any) -> None:
        """Apply a client's ``session``. Raises: WireError, having applied nothing."""
        if not isinstance(change, dict):
            raise WireError("session must be an object", param="session")
        if change.get("type", "realtime") != "realtime":
            raise WireError("only sessions of type realtime are served", param="session.type")
        value = copy.deepcopy(self.value)
        fixed = {key: value[key] for key in ("type", "object", "id", "model", "expires_at")}
        known = _without_nulls({k: p for k, p in change.items() if k in _FIELDS and k not in fixed})
        _merge(value, known)
        self._check(value)
        _check_types(value)
        self.value = value

    @property
    def instructions(self) -> str:
        """Who the assistant is to be; empty: as the server says."""
        return str(self.value["instructions"])

    @property
    def speaks(self) -> bool:
        """Whether replies are sent as sound."""
        return bool(self.value["output_modalities"] != ["text"])

    @property
    def voice(self) -> str:
        """The voice that is used."""
        return str(self.value["audio"]["output"]["voice"])

    @property
    def transcribes(self) -> bool:
        """Whether the user's words are told."""
        return self.value["audio"]["input"]["transcription"] is not None

    @property
    def heard_format(self) -> SoundFormat:
        """The format of the client's sound."""
        return SoundFormat.parse(self.value["audio"]["input"]["format"], _IN_RATES)

    @property
    def said_format(self) -> SoundFormat:
        """The format of the replies."""
        return SoundFormat.parse(self.value["audio"]["output"]["format"], _OUT_RATES)

    @property
    def manual(self) -> bool:
        """Whether the client says when a turn is over."""
        return self.value["audio"]["input"]["turn_detection"] is None

    @property
    def idle_timeout(self) -> float | None:
        """Seconds of silence after a reply until the assistant speaks by itself; None: never."""
        asked = self.value["audio"]["input"]["turn_detection"] or {}
        wait = asked.get("idle_timeout_ms")
        return wait / 1000 if wait else None

    @property
    def turns(self) -> TurnSettings:
        """The turn taking that it asks for."""
        asked = self.value["audio"]["input"]["turn_detection"]
        s = self._served.turns
        if asked is None:
            return replace(s, answers=False)
        patience = _EAGERNESS.get(asked.get("eagerness") or "")
        if patience is not None:
            own = {"onset": s.onset, "min_speech": s.min_speech, "barge_in": s.barge_in}
            s = with_patience(patience, **own)
        s = replace(
            s,
            answers=asked.get("create_response") is not False,
            interruptible=asked.get("interrupt_response") is not False,
        )
        if asked["type"] == "semantic_vad":
            return s
        silence = asked.get("silence_duration_ms")
        if silence is not None and silence != self._default_turns["silence_duration_ms"]:
            wait = silence / 1000
            s = replace(
                s,
                silence=wait,
                silence_finished=wait,
                silence_statement=wait,
                silence_unfinished=wait,
                speculate_after=min(s.speculate_after, wait),
                words_wait=0.0,
            )
        threshold, padding = asked.get("threshold"), asked.get("prefix_padding_ms")
        return replace(
            s,
            threshold=s.threshold if threshold is None else threshold,
            pre_roll=s.pre_roll if padding is None else padding / 1000,
        )

    def _check(self, value: dict[str, Any]) -> None:
        """Complete ``value`` and check what has a meaning here. Raises: WireError."""
        if not isinstance(value["instructions"], str) or len(value["instructions"]) > _MOST_TEXT:
            raise WireError("instructions must be a text of at most 256 KiB", "instructions")
        kinds = value["output_modalities"]
        if kinds not in (["audio"], ["text"], ["text", "audio"], ["audio", "text"]):
            raise WireError("output_modalities must be audio or text", "output_modalities")
        audio = value["audio"]
        parts = (audio.get("input"), audio.get("output")) if isinstance(audio, dict) else ()
        if not parts or not all(isinstance(part, dict) for part in parts):
            raise WireError("audio must have the objects input and output", "audio")
        for side, rates in (("input", _IN_RATES), ("output", _OUT_RATES)):
            try:
                form = SoundFormat.parse(audio[side].get("format"), rates)
            except ValueError as error:
                raise WireError(str(error), f"audio.{side}.format") from error
            audio[side]["format"] = form.told()
        output = {key: audio["output"].get(key) for key in ("format", "voice", "speed")}
        heard = {key: part for key, part in audio["input"].items() if key in _HEARD}
        value["audio"] = {"input": heard, "output": output}
        speed: Any = output.get("speed")
        if not _number(speed) or not 0.25 <= speed <= 1.5:
            raise WireError("speed must be from 0.25 to 1.5", "audio.output.speed")
        if output.get("voice") not in self._served.voices:
            output["voice"] = self.value["audio"]["output"]["voice"]
        transcription = heard.get("transcription")
        if transcription is not None:
            heard["transcription"] = {"model": self._served.transcriber}
        self._check_turns(heard)

    def _check_turns(self, heard: dict[str, Any]) -> None:
        asked, where = heard.get("turn_detection"), "audio.input.turn_detection"
        if asked is None or asked is False:
            heard["turn_detection"] = None
            return
        if not isinstance(asked, dict) or asked.get("type") not in ("server_vad", "semantic_vad"):
            raise WireError("the type must be server_vad or semantic_vad", f"{where}.type")
        limits = {"threshold": 1.0, "prefix_padding_ms": 5_000, "silence_duration_ms": 10_000}
        limits["idle_timeout_ms"] = 600_000
        for name, most in limits.items():
            number = asked.get(name, 0)
            if number is not None and not (_number(number) and 0 <= number <= most):
                raise WireError(f"{name} must be from 0 to {most}", f"{where}.{name}")
        if asked.get("eagerness", "auto") not in ("low", "medium", "high", "auto", None):
            raise WireError("eagerness must be low, medium, high or auto", f"{where}.eagerness")
        for name in ("create_response", "interrupt_response"):
            if not isinstance(asked.get(name, True), bool | None):
                raise WireError(f"{name} must be true or false", f"{where}.{name}")
            if asked.get(name) is None:  # Agents SDKs cancel by hand where it is missing
                asked[name] = True
        fields = _TURN_FIELDS[asked["type"]]
        given = {key: part for key, part in asked.items() if key in fields and part is not None}
        defaults = self._default_turns if asked["type"] == "server_vad" else {}
        heard["turn_detection"] = defaults | given


def _merge(value: dict[str, Any], change: dict[str, Any]) -> None:
    """Merge ``change`` into ``value`` deeply; a list or null replaces, and so does a turn
    detection of another type."""
    for key, part in change.items():
        old = value.get(key)
        other = key == "turn_detection" and _kind(part) not in (None, _kind(old))
        if isinstance(old, dict) and isinstance(part, dict) and not other:
            _merge(old, part)
        else:
            value[key] = copy.deepcopy(part)


def _without_nulls(change: Any) -> Any:
    """Return ``change`` without nulls, but for those in lists and those that switch something
    off."""
    if isinstance(change, dict):
        kept = {k: p for k, p in change.items() if p is not None or k in _SWITCHES}
        return {key: _without_nulls(part) for key, part in kept.items()}
    if isinstance(change, list):
        return [_without_nulls(part) for part in change]
    return change


def _check_types(value: dict[str, Any]) -> None:
    """Check that clients can read the session. Raises: WireError."""
    told = copy.deepcopy(value)
    told["audio"]["input"]["format"].pop("rate", None)  # 16000 is known to covo's clients alone
    try:
        RealtimeSessionCreateRequest.model_validate(told)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"] if str(part).islower())
        raise WireError(f"{where} has another type", where, "invalid_type") from error


def _kind(turn_detection: Any) -> Any:
    return turn_detection.get("type") if isinstance(turn_detection, dict) else None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def voices_told(names: Sequence[str], voice: str) -> tuple[str, ...]:
    """Return the voices that a client may choose, the present one among them."""
    return tuple(dict.fromkeys((*names, voice)))
