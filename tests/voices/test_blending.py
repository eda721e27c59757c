"""Blends of voices, packs written and read again, and what happens to a store meanwhile."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.voices import COVO, LITE, TOP, make_pack
from voices.blending import Share, blend, check_blend, parse_share
from voices.errors import VoiceError
from voices.pack import VOICEPRINT, VoiceFigures, read_pack
from voices.store import VoiceStore
from voices.writing import export_pack, write_pack


@pytest.fixture
def store(tmp_path: Path) -> VoiceStore:
    return VoiceStore(tmp_path / "user")


def style(path: Path | None) -> np.ndarray:
    assert path is not None
    return np.fromfile(path, "<f4").reshape(510, 1, 256)


def test_a_blend_is_the_weighted_mean_of_the_styles(store: VoiceStore, tmp_path: Path) -> None:
    heart, george = store.get("heart"), store.get("george")
    shares = [Share(heart, 1.4), Share(george, 0.6)]
    made = blend(shares, "mine", tmp_path)
    assert made.lite is not None
    assert heart.lite is not None
    assert george.lite is not None
    assert made.lite.synthesizer == "kokoro"
    wanted = 0.7 * style(heart.lite.data) + 0.3 * style(george.lite.data)
    np.testing.assert_allclose(style(made.lite.data), wanted, atol=1e-6)
    assert (made.name, made.language, made.gender) == ("mine", "en-US", "")
    assert made.licence == "Apache-2.0"
    assert made.source.startswith("blend of heart 70%, george 30%: Kokoro-82M by hexgrad")
    turned = blend([Share(heart, 1), Share(george, 2)], "mine", tmp_path)
    assert turned.language == "en-GB"
    assert blend(shares, "mine", tmp_path, "en-GB").language == "en-GB"
    women = [Share(heart), Share(store.get("bella"))]
    assert blend(women, "mine", tmp_path).gender == "female"


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
        (("george", "anna"), "", "anna cannot be blended: it has no part for the engine lite"),
        (("george", "hib"), "", "hib cannot be blended: hibari speaks it"),
    ):
        with pytest.raises(VoiceError, match=message):
            check_blend([Share(store.get(name)) for name in names], language)


def test_a_share_as_it_is_typed() -> None:
    assert parse_share("heart:0.7") == ("heart", 0.7)
    assert parse_share("heart") == ("heart", 1.0)
    for text in ("heart:", "heart:much", "heart:0", "heart:-1", "heart:nan", "heart:inf", ":1", ""):
        with pytest.raises(VoiceError, match="is no part of a blend: write NAME:WEIGHT"):
            parse_share(text)


def test_a_written_pack_is_read_as_it_was(store: VoiceStore, tmp_path: Path) -> None:
    voiceprint = np.arange(1, 193, dtype=np.float32)
    with store.new("mine") as folder:
        made = blend([Share(store.get("heart")), Share(store.get("george"))], "mine", folder)
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
    assert len(store.likeness("george")) == 37

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
    with pytest.raises(VoiceError, match=r"cannot write .*nowhere.george"):
        export_pack(store.get("george"), None, tmp_path / "nowhere")
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
