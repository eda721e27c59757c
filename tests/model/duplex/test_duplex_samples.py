"""What is learnt of a dialogue: kinds and weights of its tokens, cuts, a teacher's opinion."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the covo extra)")
pytest.importorskip("transformers", reason="needs transformers (the covo extra)")

import soundfile
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from model.covo.language.network import CovoNetwork
from model.duplex.network.network import DuplexNetwork
from model.duplex.protocol.grammar import Grammar, Place
from model.duplex.protocol.profile import Slot, TextTiming
from model.duplex.protocol.sequence import (
    SILENCE,
    TimedDialogue,
    TimedReply,
    TimedToken,
    cut_in_slots,
    encode,
)
from model.duplex.training.batch import collate, hidden_states
from model.duplex.training.chat import ChatFolder
from model.duplex.training.dataset import Codec, DialogueFolder
from model.duplex.training.hard_places import EventKind, UserEvent, weigh_places
from model.duplex.training.loss import LossWeights, loss
from model.duplex.training.sample import (
    ANY_TOKEN,
    NO_PLACE,
    TokenKind,
    beginning,
    dialogue_sample,
    section,
    teaching_of,
)
from model.duplex.training.stream import SampleStream
from model.duplex.training.training_config import (
    ChatSection,
    DataSection,
    NetworkSection,
    TrainingConfig,
    TrainingSection,
)
from model.errors import DialogueError, TrainingError
from tests.model.duplex.duplex_profiles import config, profile

CHUNK_S = 0.16
WHICH = Grammar(profile(lead=1), config())


def chunked(replies: tuple[TimedReply, ...], chunks: int = 20):
    user = np.zeros(2560 * chunks, np.float32)
    return encode(TimedDialogue(user, replies), WHICH)


def reply(shift: int, codes: int, text: int = 0) -> TimedReply:
    """SHIFT in chunk ``shift``, speech from the next one on."""
    start = 4 * (shift + 1)
    return TimedReply(start, (1,) * codes, tuple(TimedToken(n, start) for n in range(text)))


def by_chunk(values, dialogue, places) -> list:
    """The values at ``places``, of which a chunk has one."""
    return values[np.isin(dialogue.places, places)].tolist()


def weighed(dialogue, *events: tuple[EventKind, float, float]):
    made = [UserEvent(k, CHUNK_S * a, CHUNK_S * b) for k, a, b in events]
    return weigh_places(dialogue, made, WHICH, overlap=2.0)


def test_kinds():
    sample = dialogue_sample(chunked((reply(1, 12, text=2),), 7), WHICH)
    shown = "".join("." if k < 0 else "tHSBxeFcs"[k] for k in sample.kinds.tolist())
    # the prompt, then: a feature, and THINK; SHIFT; two words, the end of the text; BREAK
    assert shown == "...." + "t" + ".S...." + ".xcccc" + ".xcccc" + ".ecccc" + ".B" + ".t"
    assert shown.count("F") == 0
    longer = dialogue_sample(chunked((reply(1, 20, text=2),), 8), WHICH)
    assert (longer.kinds == TokenKind.TEXT_FILLER).sum() == 2
    assert (longer.kinds == TokenKind.TEXT_END).sum() == 1


def test_a_filler_between_aligned_words_is_no_end():
    aligned = Grammar(replace(WHICH.profile, text_timing=TextTiming.ALIGNED), config())
    words = (TimedToken(1, 8), TimedToken(2, 16))
    dialogue = encode(
        TimedDialogue(np.zeros(0, np.float32), (TimedReply(8, (1,) * 16, words),)), aligned
    )
    kinds = dialogue_sample(dialogue, aligned).kinds.tolist()
    assert kinds.count(TokenKind.TEXT_END) == 0
    assert kinds.count(TokenKind.TEXT_FILLER) == 2


def test_a_pause_is_hard_and_so_is_what_follows_a_false_end():
    dialogue = chunked(())
    pause, long = (
        weighed(dialogue, (EventKind.PAUSE, 2.5, 3.5)),
        weighed(dialogue, (EventKind.PAUSE, 2.5, 9.5)),
    )
    hard = by_chunk(pause.hard, dialogue, Place.LISTEN)
    assert [n for n, value in enumerate(hard) if value] == [2, 3, 4, 5]
    hard = by_chunk(long.hard, dialogue, Place.LISTEN)
    assert [n for n, value in enumerate(hard) if value] == list(range(2, 10))
    sample = dialogue_sample(dialogue, WHICH, pause.weights, pause.hard)
    assert (sample.kinds == TokenKind.HARD_THINK).sum() == 4
    assert (sample.kinds == TokenKind.THINK).sum() == 16


@pytest.mark.parametrize(
    "kind", [EventKind.NOISE, EventKind.SIDE_TALK, EventKind.BACKCHANNEL, EventKind.FALSE_START]
)
def test_what_is_harmless_counts_twice_in_a_reply(kind):
    dialogue = chunked((reply(2, 40, text=4),))
    found = weighed(dialogue, (kind, 5.2, 6.8))
    expected = [2.0 if 5 <= n <= 9 else 1.0 for n in range(3, 14)]  # BREAK is in chunk 13
    assert by_chunk(found.weights, dialogue, Place.SPEAK) == expected
    codes = by_chunk(found.weights, dialogue, Place.CODE)
    assert codes == [weight for weight in expected[:-1] for _ in range(4)]
    at_break = weighed(dialogue, (kind, 12.2, 12.8))
    assert by_chunk(at_break.weights, dialogue, Place.SPEAK)[-1] == 1.0


def test_between_the_end_of_a_turn_and_shift_either_is_right():
    dialogue = chunked((reply(7, 8),))
    at_once = weighed(dialogue, (EventKind.TURN, 1.0, 6.3))
    assert by_chunk(at_once.weights, dialogue, Place.LISTEN)[:8] == [1] * 8
    later = weighed(dialogue, (EventKind.TURN, 1.0, 5.3))
    assert by_chunk(later.weights, dialogue, Place.LISTEN)[:8] == [1] * 6 + [0, 1]
    same = weighed(dialogue, (EventKind.TURN, 1.0, 7.2))
    assert by_chunk(same.weights, dialogue, Place.LISTEN)[:8] == [1] * 8
    too_late = weighed(dialogue, (EventKind.TURN, 1.0, 2.0))
    assert (too_late.weights == 1).all()


def test_between_an_interruption_and_break_either_is_right():
    said = cut_in_slots(reply(2, 60, text=30), 10, WHICH)
    dialogue = chunked((said,))
    found = weighed(dialogue, (EventKind.INTERRUPTION, 7.5, 12.0))
    weights = by_chunk(found.weights, dialogue, Place.SPEAK)
    assert weights == [1] * 5 + [0, 0] + [1]  # chunks 3 to 10
    assert set(by_chunk(found.weights, dialogue, Place.CODE)) == {1.0}
    hard = [12 <= n <= 15 for n in range(20) if n < 3 or n > 10]  # after it, nobody answers
    assert by_chunk(found.hard, dialogue, Place.LISTEN) == hard
    before = weighed(dialogue, (EventKind.INTERRUPTION, 1.0, 1.5))  # no reply to interrupt
    assert (before.weights == 1).all()


# Cuts


def test_a_reply_is_cut_in_slots():
    whole = reply(2, 60, text=30)  # one token and four codes a chunk, from chunk 3 on
    cut = cut_in_slots(whole, 10, WHICH)
    assert cut.codes == whole.codes[:28]
    assert cut.text == whole.text[:7]
    dialogue = chunked((cut,))
    assert dialogue.ids.tolist() == [
        *chunked((whole,), 50).ids.tolist()[: 2 * 2 + 6 * 8],
        *(-1, WHICH.profile.tokens.stop.id),
        *(-1, WHICH.profile.tokens.think.id) * 9,
    ]
    assert cut_in_slots(whole, 99, WHICH) == whole


def test_a_cut_in_a_silence_ends_with_speech():
    paused = TimedReply(8, (1, 2, *[SILENCE] * 9, 3))
    assert cut_in_slots(paused, 4, WHICH) == TimedReply(8, (1, 2))


def test_a_cut_before_the_speech_is_refused():
    with pytest.raises(DialogueError, match=r"is cut in chunk 3, before its first"):
        cut_in_slots(reply(2, 60), 3, WHICH)


# From the files


@pytest.fixture
def written(tmp_path):
    """Write a dialogue and return its sample."""
    tokenizer = Tokenizer(WordLevel({"a": 0, "b": 1}, unk_token="a"))

    def write(replies: list, events: list):
        soundfile.write(tmp_path / "a.flac", np.zeros(2560 * 20), 16_000)
        values = {"replies": replies, "events": events, "made by": "somebody"}
        (tmp_path / "a.json").write_text(json.dumps(values))
        return DialogueFolder(tmp_path, WHICH, tokenizer, Codec.NONE, 2.0)[0]

    return write


def test_events_and_cuts_are_read(written):
    spoken = {"start": CHUNK_S * 3, "codes": [1] * 60, "text": [{"token": 5, "at": 0.5}] * 30}
    cut = {**spoken, "cut": CHUNK_S * 10}
    sample = written([cut], [{"kind": "interruption", "start": CHUNK_S * 7.5, "end": 1.9}])
    dialogue = chunked((cut_in_slots(reply(2, 60, text=30), 10, WHICH),))
    assert sample.places.tolist() == [-1] * 3 + dialogue.places.tolist()
    assert (sample.kinds == TokenKind.TEXT).sum() == 7
    assert (sample.weights == 0).sum() == 2
    with pytest.raises(TrainingError, match=r"events\[0\]\.kind must be turn or pause.*sneeze"):
        written([cut], [{"kind": "sneeze", "start": 1.0, "end": 1.9}])


def test_what_a_teacher_found_likely_is_read(written):
    text = [{"token": token, "at": 0.5} for token in (5, 6, 7)]
    likely = [[[5, -0.1], [8, -2.5]], [[6, -1.0], [90, -1.1], [9, -1.0]], [[90, 0.0]]]
    spoken = {"start": CHUNK_S * 3, "codes": [1] * 12, "text": text, "logprobs": likely}
    sample = written([spoken], [])
    taught = sample.teaching
    assert sample.ids[taught.at].tolist() == [5, 6]  # 90 is a code, so there is nothing for 7
    assert taught.ids.tolist() == [[5, 8], [6, 9]]
    first = np.exp([-0.1, -2.5]) / np.exp([-0.1, -2.5]).sum()
    assert taught.probabilities == pytest.approx(np.array([first, [0.5, 0.5]]), rel=1e-5)
    cut = written([{**spoken, "cut": CHUNK_S * 4}], [])
    assert cut.ids[cut.teaching.at].tolist() == [5]
    with pytest.raises(TrainingError, match="has 3 text tokens, but log-probabilities of 2"):
        written([{**spoken, "logprobs": likely[:2]}], [])


def test_a_section_begins_behind_the_prompt_and_ends_with_a_chunk():
    words = tuple(TimedToken(n, 12, ((n, 0.0),)) for n in range(6))
    dialogue = chunked((TimedReply(12, (1,) * 40, words),))
    timed = TimedDialogue(np.zeros(0, np.float32), (TimedReply(12, (1,) * 40, words),))
    whole = dialogue_sample(dialogue, WHICH, teaching=teaching_of(dialogue, timed, WHICH))
    assert section(whole, WHICH, 0, None) is whole
    part = section(whole, WHICH, 3, 3 + 6 + 6 + 5)
    assert part.ids.tolist() == [*whole.ids[:3], *whole.ids[13:25]]  # two chunks of six
    assert part.audio.shape == (2, 2560)
    assert part.ids[part.teaching.at].tolist() == [0, 1]
    assert part.teaching.ids.tolist() == [[0], [1]]
    assert len(section(whole, WHICH, 4, 1).audio) == 1


# Half duplex


@pytest.fixture
def chat(tmp_path):
    """Write a half-duplex sample and return the folder."""

    def write(ids: list[int], learn: list[list[int]], chunks: float = 0) -> ChatFolder:
        (tmp_path / "a.json").write_text(json.dumps({"ids": ids, "learn": learn}))
        if chunks:
            sound = np.full(round(2560 * chunks), 0.5, np.float32)
            soundfile.write(tmp_path / "a.wav", sound, 16_000)
        return ChatFolder(tmp_path, WHICH, config())

    return write


@pytest.fixture
def mixed(written, tmp_path):
    """Mix half-duplex samples with a dialogue."""

    def mix(chats: list[dict[str, list]], share: float, **training: int) -> SampleStream:
        folder = tmp_path / "chat"
        folder.mkdir(exist_ok=True)
        for number, value in enumerate(chats):
            (folder / f"{number}.json").write_text(json.dumps(value))
        written([{"start": CHUNK_S * 3, "codes": [1] * 12}], [])
        tokenizer = Tokenizer(WordLevel({"a": 0}, unk_token="a"))
        asked = TrainingConfig(
            NetworkSection(tmp_path, tmp_path),
            DataSection(tmp_path),
            TrainingSection(steps=1, **training),
            ChatSection(folder, share=share),
        )
        dialogues = DialogueFolder(tmp_path, WHICH, tokenizer, Codec.NONE)
        return SampleStream(asked, WHICH, dialogues, ChatFolder(folder, WHICH, config()))

    return mix


HEARD = config().placeholder


def test_a_half_duplex_sample(chat):
    sample = chat([1, 2, HEARD, HEARD, 3, 4, 70, 5], [[5, 8]], chunks=1.5)[0]
    assert sample.ids.tolist() == [1, 2, -1, -1, 3, 4, 70, 5]
    assert sample.places.tolist() == [-1, -1, Place.USER, Place.USER, -1, *[ANY_TOKEN] * 3]
    assert sample.kinds.tolist()[5:] == [TokenKind.TEXT, TokenKind.SPEECH, TokenKind.TEXT]
    assert sample.audio.shape == (2, 2560)
    assert not sample.audio[1, 1280:].any()
    typed = chat([1, 2], [[1, 2]])
    (typed._paths[0].with_suffix(".wav")).unlink()
    assert typed[0].audio.shape == (0, 2560)


@pytest.mark.parametrize(
    ("ids", "learn", "message"),
    [
        ([1, HEARD], [[1, 2]], r"has 1 placeholders, but its sound 2 chunks"),
        ([1, HEARD, HEARD], [[2, 4]], "learn has 2 to 4, of 3 tokens"),
        ([1, HEARD, HEARD], [[0, 1]], "learn has 0 to 1"),
        ([1, 96], [[1, 2]], "must be tokens of the network's vocabulary"),
    ],
)
def test_a_broken_half_duplex_sample_is_named(ids, learn, message, chat):
    with pytest.raises(TrainingError, match=message) as error:
        chat(ids, learn, chunks=2)[0]
    assert "a.json" in str(error.value)


def test_no_half_duplex_samples(tmp_path):
    with pytest.raises(TrainingError, match="no half-duplex samples in"):
        ChatFolder(tmp_path, WHICH, config())


def test_of_a_long_half_duplex_sample_the_beginning_is_learnt(chat):
    """Its audio ends where its placeholders do; a reply that does not fit is cut."""
    whole = chat([1, HEARD, HEARD, 2, 3, HEARD, 4, 5], [[3, 5], [6, 8]], chunks=3)[0]
    assert beginning(whole, WHICH, 8) is whole
    for longest, chunks in ((7, 3), (6, 3), (5, 2), (4, 2), (3, 2), (2, 1), (1, 0)):
        part = beginning(whole, WHICH, longest)
        assert part.ids.tolist() == whole.ids[:longest].tolist()
        assert len(part.audio) == chunks
        assert part.kinds.tolist() == whole.kinds[:longest].tolist()
        assert len(part.places) == len(part.weights) == longest
    # Where a chunk has two features, it is heard whole or not at all.
    wider = profile(chunk_ms=320, layout=(Slot.USER, Slot.USER, Slot.TEXT, *(Slot.SPEECH,) * 8))
    two = Grammar(wider, config())
    wide = replace(whole, audio=np.zeros((1, 5120), np.float32))
    wide = replace(wide, places=np.where(wide.ids == 3, NO_PLACE, wide.places))
    assert beginning(wide, two, 2).ids.tolist() == [1]
    assert len(beginning(wide, two, 2).audio) == 0
    assert len(beginning(wide, two, 4).audio) == 1


def test_a_sample_that_ends_before_its_first_reply_is_told(mixed):
    stream = mixed([{"ids": [1, 2, 3, 4], "learn": [[3, 4]]}], 1.0, positions=3)
    with pytest.raises(TrainingError, match=r"begins behind 3 tokens; raise training\.positions"):
        stream.draw()


@torch.inference_mode()
def test_half_duplex_is_learnt_over_the_whole_vocabulary(chat):
    """Beside a dialogue, as alone; and as transformers computes it."""
    torch.manual_seed(0)
    net = DuplexNetwork(CovoNetwork(config()).eval(), WHICH.profile)
    sample = chat([1, 2, HEARD, 3, 4, 70, 5], [[4, 7]], chunks=1)[0]
    alone = loss(net, collate([sample]), LossWeights(text=1.0, speech=1.0))
    state = net.encoder.start()
    features, _ = net.encoder(state, torch.from_numpy(sample.audio))
    rows = net.covo.llm.model.embed_tokens(torch.tensor([1, 2, 0, 3, 4, 70, 5]))
    rows[2] = features[0, 0]
    logits = net.covo.llm(inputs_embeds=rows[None]).logits[0]
    expected = torch.nn.functional.cross_entropy(logits[3:6], torch.tensor([4, 70, 5]))
    assert float(alone.total) == pytest.approx(float(expected), rel=1e-5)
    dialogue = dialogue_sample(chunked((reply(1, 12, text=2),), 7), WHICH)
    both = loss(net, collate([dialogue, sample]), LossWeights())
    assert both.parts["speech"] != alone.parts["speech"]
    hidden = hidden_states(net, collate([dialogue, sample]))[len(dialogue.ids) :]
    assert float((hidden - hidden_states(net, collate([sample]))).abs().max()) < 1e-5
    typed = replace(sample, audio=sample.audio[:0], ids=sample.ids.clip(min=0))
    typed = replace(typed, places=np.where(typed.places == Place.USER, -1, typed.places))
    assert np.isfinite(float(loss(net, collate([typed]), LossWeights()).total))


def test_half_duplex_is_mixed_in_evenly(mixed):
    chats = [{"ids": [1, 2, 3 + number], "learn": [[1, 3]]} for number in range(3)]
    stream = mixed(chats, 0.25, batch=12)
    drawn = [stream.draw() for _ in range(2)]
    for batch in drawn:
        typed = [int(s.ids[-1]) for s in batch if not len(s.audio)]
        assert sorted(typed) == [3, 4, 5]
    assert [n for n, s in enumerate(drawn[0]) if not len(s.audio)] == [3, 7, 11]
    stream = mixed(chats, 0.25, positions=2)
    drawn = [stream.draw() for _ in range(4)]
    assert [len(pack) for pack in drawn] == [1, 1, 1, 1]
    assert drawn[3][0].ids.tolist() == [1, 2]  # as much of it as fits
