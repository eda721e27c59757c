"""Blends of voices, packs written and read again, and what happens to a store meanwhile."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.voices import COVO, LITE, TOP, make_pack, save_prompt
from voices.blending import Blend, VoiceShare, parse_share
from voices.covo_prompt import CovoPrompt
from voices.errors import VoiceError
from voices.pack import VOICEPRINT, VoiceFigures, read_pack
from voices.store import VoiceStore
from voices.tuning import AS_IT_IS, VoiceTuning
from voices.writing import export_pack, write_pack


@pytest.fixture
def store(tmp_path: Path) -> VoiceStore:
    return VoiceStore(tmp_path / "user")


def style(path: Path | None) -> np.ndarray:
    assert path is not None
    return np.fromfile(path, "<f4").reshape(510, 1, 256)


def test_a_blend_is_the_weighted_mean_of_the_styles(store: VoiceStore, tmp_path: Path) -> None:
    heart, george = store.get("heart"), store.get("george")
    shares = (VoiceShare(heart, 1.4), VoiceShare(george, 0.6))
    made = Blend(shares).write("mine", tmp_path)
    assert made.lite is not None
    assert heart.lite is not None
    assert george.lite is not None
    assert made.lite.synthesizer == "kokoro"
    wanted = 0.7 * style(heart.lite.data) + 0.3 * style(george.lite.data)
    np.testing.assert_allclose(style(made.lite.data), wanted, atol=1e-6)
    assert (made.name, made.language, made.gender) == ("mine", "en-US", "")
    assert made.licence == "Apache-2.0"
    assert made.source.startswith("blend of heart 70%, george 30%: Kokoro-82M by hexgrad")
    turned = Blend((VoiceShare(heart, 1), VoiceShare(george, 2)))
    assert turned.write("mine", tmp_path).language == "en-GB"
    assert Blend(shares, "en-GB").write("mine", tmp_path).language == "en-GB"
    women = Blend((VoiceShare(heart), VoiceShare(store.get("bella"))))
    assert women.write("mine", tmp_path).gender == "female"
    assert women.left_out == ()


def test_the_tuning_of_a_blend_is_the_weighted_mean(store: VoiceStore, tmp_path: Path) -> None:
    george = store.get("george")
    assert george.lite is not None
    slow = dataclasses.replace(george.lite, tuning=VoiceTuning(0.8, -2, 3))
    shares = VoiceShare(dataclasses.replace(george, lite=slow), 3), VoiceShare(store.get("emma"))
    made = Blend(shares).write("mine", tmp_path)
    assert made.lite is not None
    assert made.lite.tuning == VoiceTuning(0.85, -1.5, 2.25)
    write_pack(made, tmp_path)
    read = read_pack(tmp_path)
    assert read.lite is not None
    assert read.lite.tuning == made.lite.tuning


def test_tunings_follow_each_other_within_their_ranges() -> None:
    slow = VoiceTuning(0.6, -4, 3)
    assert slow.then(VoiceTuning(1.5, 1, -1)) == VoiceTuning(0.6 * 1.5, -3, 2)
    assert slow.then(slow) == VoiceTuning(0.5, -6, 6)
    assert str(slow) == "speed 0.6, pitch -4 semitones, loudness +3 dB"
    assert str(VoiceTuning(pitch=1.5)) == "pitch +1.5 semitones"
    assert str(AS_IT_IS) == ""
    assert VoiceTuning(pitch=-6).pitch_factor == pytest.approx(0.7071, abs=1e-4)
    for values in ({"speed": 0.4}, {"pitch": 7}, {"loudness": float("nan")}):
        with pytest.raises(ValueError, match="must be from"):
            VoiceTuning(**values)


def test_what_cannot_be_blended(store: VoiceStore, tmp_path: Path) -> None:
    make_pack(tmp_path / "user", "anna", parts=COVO)
    folder = make_pack(tmp_path / "user", "hib", parts=COVO)
    (folder / "voice.toml").write_text(
        TOP.format(name="hib") + '[lite]\nsynthesizer = "hibari"\n', encoding="utf-8"
    )
    for names, language, message in (
        (("heart",), "", "a blend needs two voices or more"),
        (("heart", "george", "heart"), "", "heart is in the blend twice"),
        (("george", "xiaoxiao"), "", "george speaks en-GB and xiaoxiao zh-CN: only voices of one"),
        (("george", "heart"), "zh-CN", "the blend cannot speak zh-CN: its voices speak en"),
        (("george", "anna"), "", "anna has no part for the engine lite; george has no arrays for"),
        (("george", "hib"), "", "hib is spoken by hibari, which has no styles"),
    ):
        shares = tuple(VoiceShare(store.get(name)) for name in names)
        with pytest.raises(VoiceError, match=message):
            Blend(shares, language)
    anna, george = store.get("anna"), store.get("george")
    for share, prompt_of in ((anna, george), (george, anna)):
        with pytest.raises(VoiceError, match="--prompt-of is for Covo-Audio: george has no arrays"):
            Blend((VoiceShare(share),), prompt_of=prompt_of)


def prompt(embedding: list[float], first_token: int) -> dict[str, np.ndarray]:
    tokens = first_token + np.arange(50, dtype=np.int64)[None]
    latents = np.repeat(np.arange(203, dtype=np.float32)[None, :, None], 64, axis=2)
    return {"token": tokens, "latent": latents, "embedding": np.array([embedding], np.float32)}


def test_of_covos_arrays_the_embeddings_are_blended(store: VoiceStore, tmp_path: Path) -> None:
    for name, embedding, token in (("anna", [2.0, 0, 0], 0), ("otto", [0, 4.0, 0], 100)):
        save_prompt(make_pack(tmp_path / "user", name, parts=COVO), **prompt(embedding, token))
    anna, otto = store.get("anna"), store.get("otto")
    with store.new("mine") as folder:
        made = Blend((VoiceShare(anna, 1), VoiceShare(otto, 3))).write("mine", folder)
        write_pack(made, folder)
    mine = store.get("mine")
    assert mine.covo is not None
    arrays = mine.covo.prompt()
    assert arrays.token[0, 0] == 100
    direction = np.array([0.25 * 2, 0.75 * 4, 0])
    length = 0.25 * 2 + 0.75 * 4
    wanted = direction * length / np.linalg.norm(direction)
    np.testing.assert_allclose(arrays.embedding[0], wanted, rtol=1e-5)
    assert mine.engines == ("covo",)

    swapped = Blend((VoiceShare(otto),), prompt_of=anna).write("mine", tmp_path)
    assert swapped.covo is not None
    arrays = swapped.covo.prompt()
    assert (arrays.token[0, 0], arrays.embedding[0].tolist()) == (0, [0, 4, 0])
    assert swapped.source.startswith("blend of otto 100%, prompt of anna")
    save_prompt(tmp_path / "user" / "otto", **prompt([1.0, 0, 0, 0], 100))
    with pytest.raises(VoiceError, match="networks of different sizes"):
        Blend((VoiceShare(anna), VoiceShare(otto))).write("mine", tmp_path)


def test_what_only_some_voices_serve_is_left_out(store: VoiceStore, tmp_path: Path) -> None:
    for name, parts in (("anna", LITE + COVO), ("otto", COVO), ("uta", LITE)):
        make_pack(tmp_path / "user", name, parts=parts)
    anna, otto, uta = (VoiceShare(store.get(name)) for name in ("anna", "otto", "uta"))
    for shares, engines, reason in (
        ((anna, otto), ("covo",), "otto has no part for the engine lite"),
        ((anna, uta), ("lite",), "uta has no arrays for Covo-Audio"),
    ):
        made = Blend(shares)
        assert made.left_out == (reason,)
        assert made.write("mine", tmp_path).engines == engines


def test_the_end_of_a_prompt_is_kept() -> None:
    arrays = CovoPrompt(**prompt([1.0], 0))
    assert arrays.seconds == 2.0
    short = arrays.crop(0.8)
    assert (short.seconds, short.token[0, 0], short.token[0, -1]) == (0.8, 30, 49)
    assert short.latent.shape == (1, 4 * 20 + 3, 64)
    assert (short.latent[0, 0, 0], short.latent[0, -1, 0]) == (120, 202)
    assert arrays.crop(0.04).token.shape == (1, 1)
    for seconds in (0.0, -1, 2, 3, float("nan")):
        with pytest.raises(VoiceError, match="a prompt of 2 s cannot be cropped to"):
            arrays.crop(seconds)


def test_a_share_as_it_is_typed() -> None:
    assert parse_share("heart:0.7") == ("heart", 0.7)
    assert parse_share("heart") == ("heart", 1.0)
    for text in ("heart:", "heart:much", "heart:0", "heart:-1", "heart:nan", "heart:1e9", ":1", ""):
        with pytest.raises(VoiceError, match="is no part of a blend: write NAME:WEIGHT"):
            parse_share(text)


def test_a_written_pack_is_read_as_it_was(store: VoiceStore, tmp_path: Path) -> None:
    voiceprint = np.arange(1, 193, dtype=np.float32)
    with store.new("mine") as folder:
        shares = VoiceShare(store.get("heart")), VoiceShare(store.get("george"))
        made = Blend(shares).write("mine", folder)
        assert made.lite is not None
        lite = dataclasses.replace(made.lite, level=-21.5)
        figures = VoiceFigures(151.2, 2210.0, 11.4)
        made = dataclasses.replace(made, description="so so", lite=lite, figures=figures)
        write_pack(made, folder, voiceprint)
    pack = store.get("mine")
    assert pack.lite is not None
    assert (pack.lite.level, pack.figures) == (-21.5, figures)
    assert pack.source == made.source
    found = store.voiceprint(pack)
    assert found is not None
    np.testing.assert_allclose(found, voiceprint / np.linalg.norm(voiceprint), atol=1e-6)
    assert store.likeness("mine")["mine"] == pytest.approx(1.0)
    assert len(store.likeness("george")) == 40

    written = export_pack(pack, found, tmp_path)
    other = VoiceStore(tmp_path / "other")
    again = other.add(written)
    assert again.lite is not None
    assert (again.lite.level, again.figures) == (-21.5, figures)
    assert (again.folder / VOICEPRINT).exists()
    with pytest.raises(VoiceError, match="mine is there already"):
        export_pack(pack, found, tmp_path)


def test_a_built_in_voice_can_be_exported_renamed_and_added(
    store: VoiceStore, tmp_path: Path
) -> None:
    for name in ("heart", "george"):
        pack = store.get(name)
        own = export_pack(
            dataclasses.replace(pack, name=f"{name}-2"), store.voiceprint(pack), tmp_path
        )
        assert (own / "NOTICE").exists()
        added = store.add(own)
        assert store.likeness(name)[added.name] == pytest.approx(1.0, abs=1e-3)
    made = export_pack(store.get("george"), None, tmp_path / "new" / "packs")
    assert (made / "voice.toml").exists()
    (tmp_path / "file").touch()
    with pytest.raises(VoiceError, match=r"cannot write .*file.george"):
        export_pack(store.get("george"), None, tmp_path / "file")
    assert not list(tmp_path.glob(".*"))


def test_a_voice_that_is_not_finished_leaves_the_old_one(store: VoiceStore, tmp_path: Path) -> None:
    store.add(make_pack(tmp_path / "new", "anna", parts=LITE))

    def names() -> list[str]:
        return [path.name for path in (tmp_path / "user").iterdir()]

    with pytest.raises(RuntimeError), store.new("anna", replace=True):
        raise RuntimeError("in the middle")
    with pytest.raises(VoiceError, match=r"it has no voice\.toml"), store.new("otto"):
        pass
    with pytest.raises(VoiceError, match="exists already"), store.new("anna"):
        pass
    assert (names(), store.get("anna").engines) == (["anna"], ("lite",))
    with store.new("anna", replace=True) as folder:
        write_pack(read_pack(make_pack(tmp_path / "newer", "anna", parts=COVO)), folder)
    assert (names(), store.get("anna").engines) == (["anna"], ("covo",))
    for name, message in (("emma", "built-in voice"), ("An na", "cannot be called 'An na'")):
        with pytest.raises(VoiceError, match=message):
            store.check_new(name, replace=True)


def test_a_damaged_voiceprint_is_noticed(store: VoiceStore, tmp_path: Path) -> None:
    folder = make_pack(tmp_path / "user", "anna", parts=LITE)
    for values, message in (
        (np.ones(191, np.float32), r"must be float32 \(192,\)"),
        (np.zeros(192, np.float32), "holds only zeros"),
    ):
        np.save(folder / VOICEPRINT, values)
        with pytest.raises(VoiceError, match=message):
            store.get("anna")
