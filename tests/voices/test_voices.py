"""Voice packs and their store: what is accepted, what is refused, and that nothing falls back."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from covo_cli.settings.settings import Settings
from tests.fakes.voices import COVO, LITE, TOP, make_pack, save_prompt
from voices.errors import VoiceError
from voices.folders import MOST_BYTES
from voices.library import library_middle, library_voiceprints
from voices.lite_data import STATISTICS_SIZE, Statistics
from voices.pack import read_pack
from voices.store import BUILTIN, VoiceStore
from voices.writing import write_pack


@pytest.fixture
def store(tmp_path: Path) -> VoiceStore:
    return VoiceStore(tmp_path / "user")


def test_the_builtin_voices_are_whole() -> None:
    store = VoiceStore()
    packs = {pack.name: pack for pack in store.list()}
    of = {
        language: {p.name for p in packs.values() if p.language[:2] == language}
        for language in ("en", "es", "zh")
    }
    assert len(of["en"]) == 28
    assert {"heart", "bella", "michael", "emma", "george"} < of["en"]
    assert of["es"] == {"dora", "alex", "santa-es"}
    assert of["zh"] == {
        *("xiaobei", "xiaoni", "xiaoxiao", "xiaoyi"),
        *("yunjian", "yunxi", "yunxia", "yunyang"),
    }
    assert set(packs) == of["en"] | of["es"] | of["zh"]
    assert store.broken() == ()
    assert Settings().voice.name in packs
    for pack in packs.values():
        assert pack.builtin
        assert pack.engines == ("lite",)
        assert pack.licence == "Apache-2.0"
        assert pack.lite is not None
        assert (pack.lite.synthesizer == "hibari") == (pack.name == "heart")
        assert pack.lite.level is not None
        assert pack.figures is not None
        assert str(pack.figures) in pack.description
    assert packs["heart"].lite is not None
    assert packs["heart"].lite.cost == "fast: 0.01x real time"
    assert "hexgrad" in (BUILTIN / "NOTICE").read_text(encoding="utf-8")


def test_a_changed_byte_of_a_builtin_voice_is_noticed(tmp_path: Path) -> None:
    builtin = tmp_path / "builtin"
    shutil.copytree(BUILTIN, builtin)
    data = builtin / "bf_emma.bin"
    content = bytearray(data.read_bytes())
    content[1000] ^= 1
    data.write_bytes(content)
    store = VoiceStore(builtin=builtin)
    with pytest.raises(VoiceError, match=r"the voice emma is broken: .*bf_emma.bin is damaged"):
        store.get("emma")
    assert [pack.name for pack in store.broken()] == ["emma"]
    assert "emma" not in [pack.name for pack in store.list()]


def test_voices_of_a_language_are_named_without_reading_them(tmp_path: Path) -> None:
    builtin, user = tmp_path / "builtin", tmp_path / "user"
    builtin.mkdir()
    shutil.copy(BUILTIN / "library.toml", builtin)
    make_pack(user, "anna", parts=COVO)
    packs = VoiceStore(user, builtin).in_language("en")
    assert len(packs) == 29
    assert packs[-1].name == "anna"
    assert len(VoiceStore(user, builtin).in_language("zh")) == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("format = 1", "format = 2"), "library.toml has format 2"),
        (("pitch = ", "pitch = -"), r"voices\[0\].pitch must be a number > 0"),
    ],
)
def test_a_damaged_library_is_an_error(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    text = (BUILTIN / "library.toml").read_text(encoding="utf-8")
    (tmp_path / "library.toml").write_text(text.replace(*change, 1), encoding="utf-8")
    with pytest.raises(VoiceError, match=message):
        VoiceStore(builtin=tmp_path).names()


def test_a_pack_for_both_engines(tmp_path: Path) -> None:
    folder = make_pack(tmp_path)
    pack = read_pack(folder)
    assert pack.engines == ("lite", "covo")
    assert pack.lite is not None
    assert pack.lite.data == folder / "style.bin"
    assert pack.lite.cost == "not measured"
    assert pack.covo is not None
    prompt = pack.covo.prompt()
    assert prompt.token.shape == (1, 5)
    assert prompt.latent.shape == (1, 4 * 5 + 3, 64)
    assert prompt.embedding.shape == (1, 1024)
    assert not pack.builtin


@pytest.mark.parametrize("parts", [LITE, COVO])
def test_a_pack_for_one_engine(tmp_path: Path, parts: str) -> None:
    pack = read_pack(make_pack(tmp_path, parts=parts))
    assert pack.engines == (("lite",) if parts == LITE else ("covo",))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"token": np.zeros((1, 5), np.int32)}, r"int32 \(1, 5\); it must be int64 \(1, N\)"),
        ({"token": np.zeros(5, np.int64)}, r"it must be int64 \(1, N\)"),
        ({"token": np.zeros((1, 0), np.int64)}, "at least one token, none negative"),
        ({"token": np.full((1, 5), -1)}, "at least one token, none negative"),
        ({"latent": np.ones((1, 20, 64), np.float32)}, r"it must be float32 \(1, 23, N\)"),
        ({"latent": np.ones((1, 23, 64))}, "float64"),
        ({"latent": np.full((1, 23, 64), np.nan, np.float32)}, "not finite"),
        ({"embedding": np.ones((1, 4, 2), np.float32)}, r"it must be float32 \(1, N\)"),
        ({"embedding": np.full((1, 1024), np.inf, np.float32)}, "not finite"),
        ({"embedding": np.array([{}], dtype=object)}, "not a numpy array file"),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, arrays: dict[str, object], message: str) -> None:
    folder = make_pack(tmp_path)
    save_prompt(folder, **arrays)
    with pytest.raises(VoiceError, match=message):
        read_pack(folder)


def test_missing_and_garbled_arrays(tmp_path: Path) -> None:
    folder = make_pack(tmp_path)
    (folder / "prompt_latent.npy").write_bytes(b"no array")
    with pytest.raises(VoiceError, match="not a numpy array file"):
        read_pack(folder)
    np.savez(folder / "archive.npz", a=np.ones(3))
    (folder / "archive.npz").rename(folder / "prompt_latent.npy")
    with pytest.raises(VoiceError, match="not a numpy array file"):
        read_pack(folder)
    (folder / "prompt_latent.npy").unlink()
    with pytest.raises(VoiceError, match=r"prompt_latent\.npy is missing"):
        read_pack(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format = 1\nname = 'an", "not valid TOML"),
        (
            TOP.format(name="anna").replace("= 1", "= 2") + COVO,
            "has format 2; this covo reads format = 1",
        ),
        (TOP.format(name="anna").replace("format = 1", "") + COVO, "this covo reads format = 1"),
        (TOP.format(name="../anna") + COVO, "name must be 1 to 40 of"),
        (
            TOP.format(name="anna").replace("licence", "license") + COVO,
            "license is not a known key; did you mean licence",
        ),
        (TOP.format(name="anna") + "mood = 'gay'\n" + COVO, "mood is not a known key"),
        (TOP.format(name="anna"), r"needs a table \[lite\], \[covo\] or both"),
        (TOP.format(name="anna") + "lite = 3\n", "lite must be a table"),
        (
            TOP.format(name="anna") + LITE.replace("kokoro", "espeak"),
            "lite.synthesizer must be hibari or kokoro",
        ),
        (
            TOP.format(name="anna") + LITE.replace("style.bin", "../style.bin"),
            "lite: file must lie beside voice.toml",
        ),
        (TOP.format(name="anna") + LITE.replace("style.bin", "other.bin"), "cannot read"),
        (TOP.format(name="anna") + LITE.replace('file = "style.bin"', ""), "needs a data file"),
        (TOP.format(name="anna") + LITE.replace("kokoro", "hibari"), "only its bundled voice"),
        (TOP.format(name="anna") + LITE + "sha256 = 'ab12'\n", "is damaged: its sha256"),
        (
            TOP.format(name="anna") + LITE + "real_time_factor = 'low'\n",
            "lite.real_time_factor must be a number, not text",
        ),
        (
            TOP.format(name="anna") + LITE + "real_time_factor = 0\n",
            "lite.real_time_factor must be a number > 0",
        ),
        (
            TOP.format(name="anna") + LITE + "[lite.tuning]\nspeed = 3\n",
            "lite.tuning: speed must be from 0.5 to 2, not 3",
        ),
        (TOP.format(name="anna") + LITE + "speed = 2\n", "lite.speed is not a known key"),
        (TOP.format(name="anna") + "[covo]\n", "covo.speaker is missing"),
    ],
)
def test_a_bad_description_is_refused(tmp_path: Path, text: str, message: str) -> None:
    folder = make_pack(tmp_path)
    (folder / "voice.toml").write_text(text, encoding="utf-8")
    with pytest.raises(VoiceError, match=message):
        read_pack(folder)


def test_kokoro_data_is_checked(tmp_path: Path) -> None:
    folder = make_pack(tmp_path)
    data = folder / "style.bin"
    good = data.read_bytes()
    data.write_bytes(good[:-4])
    with pytest.raises(VoiceError, match="522236 bytes; a Kokoro voice is"):
        read_pack(folder)
    data.write_bytes(np.float32(np.nan).tobytes() + good[4:])
    with pytest.raises(VoiceError, match="not finite"):
        read_pack(folder)
    data.write_bytes(good)
    digest = hashlib.sha256(good).hexdigest()
    text = (folder / "voice.toml").read_text(encoding="utf-8")
    (folder / "voice.toml").write_text(
        text.replace('file = "style.bin"', f'file = "style.bin"\nsha256 = "{digest}"')
    )
    assert read_pack(folder).lite is not None


def rows(*lengths: float) -> np.ndarray:
    return np.array([[length, *[10.0 * length] * STATISTICS_SIZE] for length in lengths], "<f2")


def test_statistics_between_those_that_were_measured() -> None:
    statistics = Statistics(rows(6, 20, 66.5))
    for phonemes, length in {1: 6, 6: 6, 13: 13, 20: 20, 43: 43, 66: 66, 400: 66}.items():
        assert statistics.nearest(phonemes) == length
        held = statistics.at(phonemes)
        assert held.shape == (STATISTICS_SIZE,)
        assert held[[0, -1]] == pytest.approx([10 * length] * 2, rel=1e-3)


@pytest.mark.parametrize(
    "values",
    [rows(20, 6), rows(6, 6), rows(6, float("nan")), rows(6, 7)[:, :-1], rows(6)[0], rows(6)],
)
def test_what_is_no_statistics(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"its (shape is|values are) not"):
        Statistics(values)


def test_statistics_are_checked_with_the_pack(store: VoiceStore, tmp_path: Path) -> None:
    folder = make_pack(tmp_path / "new")
    file = folder / "style.statistics.npy"
    np.save(file, rows(6, 20))
    assert (store.add(folder).folder / file.name).exists()
    store.remove("anna")
    for values, message in (
        (rows(6, 20)[:, :-1], r"is float16 \(2, 16896\); it must be float16 \(N, 16897\)"),
        (rows(6), r"its shape is not \(2 or more, 16897\)"),
        (rows(20, 6), "not in the order of their lengths"),
        (rows(6, 520), "its lengths are not from 1 to 510"),
    ):
        np.save(file, values)
        with pytest.raises(VoiceError, match=rf"style\.statistics\.npy .*{message}") as raised:
            store.add(folder)
        assert "\n" not in str(raised.value)
        assert list((tmp_path / "user").iterdir()) == []


def test_adding_copies_only_what_belongs_to_the_pack(store: VoiceStore, tmp_path: Path) -> None:
    folder = make_pack(tmp_path / "new")
    (folder / "NOTICE").write_text("by nobody")
    (folder / "holiday.mp4").write_bytes(b"x")
    pack = store.add(folder)
    assert pack.folder == tmp_path / "user" / "anna"
    assert {p.name for p in pack.folder.iterdir()} == {
        *("voice.toml", "style.bin", "NOTICE"),
        *("prompt_token.npy", "prompt_latent.npy", "speaker_embed.npy"),
    }
    shutil.rmtree(folder)
    assert store.get("anna").engines == ("lite", "covo")
    assert [p.name for p in (tmp_path / "user").iterdir()] == ["anna"]


def test_a_pack_is_added_under_another_name(store: VoiceStore, tmp_path: Path) -> None:
    folder = make_pack(tmp_path / "new", "emma")
    description = (folder / "voice.toml").read_text(encoding="utf-8") + "# a comment\n"
    (folder / "voice.toml").write_text(description, encoding="utf-8")
    pack = store.add(folder, "anna")
    assert (pack.name, pack.engines) == ("anna", ("lite", "covo"))
    written = (pack.folder / "voice.toml").read_text(encoding="utf-8")
    assert written == description.replace('"emma"', '"anna"')
    assert read_pack(folder).name == "emma"
    with pytest.raises(VoiceError, match="cannot be called 'a/b'"):
        store.add(folder, "a/b")


def test_what_cannot_be_added_leaves_no_trace(store: VoiceStore, tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=r"not a voice pack: it has no voice\.toml"):
        store.add(tmp_path)
    with pytest.raises(VoiceError, match="not a voice pack"):
        store.add(tmp_path / "nowhere")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(VoiceError, match="not a folder"):
        store.add(file)
    with pytest.raises(VoiceError, match="emma is a built-in voice; give the new one another"):
        store.add(make_pack(tmp_path / "new", "emma"))
    assert not (tmp_path / "user").exists()
    store.add(make_pack(tmp_path / "new", "anna"))
    with pytest.raises(VoiceError, match="a voice anna exists already"):
        store.add(tmp_path / "new" / "anna")


def test_a_voice_without_likeness_says_what_can_be_done(store: VoiceStore, tmp_path: Path) -> None:
    for name, parts, remedy in (("anna", LITE, "tune anna"), ("otto", COVO, "compare otto OTHER")):
        store.add(make_pack(tmp_path / "new", name, parts=parts))
        with pytest.raises(VoiceError, match=f"not been measured; `covo voices {remedy}"):
            store.likeness(name)


def test_what_never_ends_is_not_read(store: VoiceStore, tmp_path: Path) -> None:
    for file in ("voice.toml", "style.bin", "prompt_token.npy", "voiceprint.npy"):
        for kind in ("pipe", "endless", "huge"):
            folder = make_pack(tmp_path / file / kind)
            (folder / file).unlink(missing_ok=True)
            if kind == "pipe":
                os.mkfifo(folder / file)
            elif kind == "endless":
                (folder / file).symlink_to("/dev/zero")
            else:
                with (folder / file).open("wb") as sparse:
                    sparse.truncate(MOST_BYTES + 1)
            why = "too many" if kind == "huge" else "a device or a pipe"
            with pytest.raises(VoiceError, match=rf"cannot read .*{file}: .*{why}"):
                store.add(folder)
    folder = make_pack(tmp_path / "new")
    (folder / "README").mkdir()
    os.mkfifo(folder / "LICENSE")
    assert store.add(folder).name == "anna"


def test_of_two_voices_made_at_once_the_first_stays(store: VoiceStore, tmp_path: Path) -> None:
    first = make_pack(tmp_path / "one", parts=LITE)
    second = make_pack(tmp_path / "other", parts=COVO)
    slower = store.new("anna")
    write_pack(read_pack(second), slower.__enter__())
    store.add(first)
    with pytest.raises(VoiceError, match="a voice anna exists already"):
        slower.__exit__(None, None, None)
    assert store.get("anna").engines == ("lite",)
    assert [path.name for path in (tmp_path / "user").iterdir()] == ["anna"]


def test_a_full_disk_leaves_the_store_as_it_was(
    store: VoiceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_pack(tmp_path / "new")

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(VoiceError, match="No space left on device"):
        store.add(folder)
    assert list((tmp_path / "user").iterdir()) == []


def test_an_unknown_voice_is_an_error_that_says_how_to_find_one(store: VoiceStore) -> None:
    with pytest.raises(VoiceError) as caught:
        store.get("gorge")
    assert str(caught.value) == "no voice 'gorge'; did you mean george?"
    with pytest.raises(VoiceError, match=r"no voice '\.\./q'; `covo voices list` shows them"):
        store.get("../q")


def test_a_users_pack_does_not_stand_in_for_a_builtin_voice(
    store: VoiceStore, tmp_path: Path
) -> None:
    make_pack(tmp_path / "user", "emma")
    with pytest.raises(VoiceError, match="has the name of the built-in voice emma"):
        store.get("emma")
    assert [(b.name, b.folder) for b in store.broken()] == [("emma", tmp_path / "user" / "emma")]
    store.remove("emma")
    assert store.get("emma").builtin


def test_a_folder_must_be_called_as_its_voice(store: VoiceStore, tmp_path: Path) -> None:
    make_pack(tmp_path / "user", "anna").rename(tmp_path / "user" / "Anna 2")
    with pytest.raises(VoiceError, match=r"the voice Anna 2 is broken: its voice\.toml calls it"):
        store.get("Anna 2")
    assert len(store.broken()) == 1


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4',", b"no array"]
)
def test_figures_of_the_library_that_are_damaged_are_told(tmp_path: Path, content: bytes) -> None:
    shutil.copy(BUILTIN / "library.toml", tmp_path)
    for name, read in (("middle", library_middle), ("embeddings", library_voiceprints)):
        (tmp_path / f"{name}.npy").write_bytes(content)
        with pytest.raises(VoiceError, match=rf"{name}\.npy is damaged: install covo again"):
            read(tmp_path)


def test_removing(store: VoiceStore, tmp_path: Path) -> None:
    store.add(make_pack(tmp_path / "new", "anna"))
    store.remove("anna")
    assert "anna" not in store.names()
    (tmp_path / "user" / "wreck").mkdir()
    store.remove("wreck")
    assert list((tmp_path / "user").iterdir()) == []
    with pytest.raises(VoiceError, match="emma is a built-in voice"):
        store.remove("emma")
    with pytest.raises(VoiceError, match="no voice 'anna'"):
        store.remove("anna")


def test_removing_a_link_leaves_what_it_points_to(store: VoiceStore, tmp_path: Path) -> None:
    real = make_pack(tmp_path / "elsewhere", "anna")
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "anna").symlink_to(real)
    assert store.get("anna").name == "anna"
    store.remove("anna")
    assert (real / "voice.toml").exists()
