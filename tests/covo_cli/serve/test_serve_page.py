"""The page in a real browser, against a server with a made-up engine."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
import soundfile
from websockets.sync.client import connect

from audio_io.files import read_audio
from audio_io.signal import Audio
from covo_cli.serve.page_routes import HEADERS, page_link
from tests import ROOT
from tests.covo_cli.serve.browser import Browser, browsing
from tests.covo_cli.serve.live_server import TOKEN, LiveServer, serving, until

PAGE = ROOT / "covo_cli" / "serve" / "page"
MICROPHONE_RATE = 48_000
WORDS = [f"word{n}" for n in range(20)]
STATE, DETAIL = "document.body.dataset.state", "document.getElementById('detail').innerText"
PHASE = "document.body.dataset.phase"


def microphone(path: Path, *parts: tuple[float, float]) -> Path:
    """A file with silence and speech in turn; ``parts``: seconds of each."""
    voice = read_audio(ROOT / "covo_cli" / "demo_audio" / "exercise.flac", MICROPHONE_RATE)
    loud = voice[np.abs(voice) > 0.01]  # without pauses, so that the times are known
    sound = [np.zeros(0)]
    for quiet, spoken in parts:
        silence = np.zeros(round(quiet * MICROPHONE_RATE))
        sound += [silence, loud[: round(spoken * MICROPHONE_RATE)]]
    soundfile.write(path, np.concatenate([*sound, np.zeros(MICROPHONE_RATE)]), MICROPHONE_RATE)
    return path


def by_length(audio: Audio) -> str:
    return "stop" if len(audio) < 16_000 else "what is it"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with serving(words=WORDS, word_seconds=0.25) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose microphone is silent."""
    with browsing(microphone(tmp_path_factory.mktemp("sound") / "nothing.wav")) as running:
        yield running


@pytest.fixture
def page(server: LiveServer, browser: Browser) -> Iterator[Browser]:
    """The page, before a conversation."""
    browser.look(1280, 800)
    browser.messages.clear()
    browser.open(page_link(f"http://127.0.0.1:{server.port}", TOKEN))
    yield browser
    browser.do("Page.navigate", url="about:blank")
    until(lambda: not server.places.busy, 60)
    assert not browser.messages


def press(page: Browser, name: str) -> None:
    page.run(f"document.getElementById('{name}').click()")


def text(page: Browser, selector: str) -> str:
    return str(page.run(f"document.querySelector('{selector}')?.innerText ?? ''"))


def begin(page: Browser) -> None:
    press(page, "start-button")
    page.until(f"{PHASE} === 'open' && document.activeElement.id === 'mute'")
    page.run("document.getElementById('text').focus()")


def write(page: Browser, words: str) -> None:
    page.run("document.getElementById('text').focus()")
    page.type(words)
    page.press("Enter")


def entries(page: Browser) -> list[dict[str, str]]:
    return page.run(
        """[...document.querySelectorAll('.entry')].map((e) => ({
             who: e.querySelector('.speaker').innerText,
             text: e.querySelector('.text').firstChild.textContent.trim(),
             rest: e.querySelector('.unheard')?.innerText.trim() ?? '',
             why: e.querySelector('.why')?.innerText ?? '',
           }))"""
    )


# Its files


def test_every_file_is_served_without_a_token_and_with_a_strict_policy(server):
    paths = ["", *(f"page/{path.name}" for path in PAGE.iterdir())]
    assert len(paths) > 8
    for path in paths:
        answer = httpx.get(f"http://127.0.0.1:{server.port}/{path}", trust_env=False)
        assert answer.status_code == 200, path
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy


def test_nothing_is_loaded_from_elsewhere():
    for path in PAGE.iterdir():
        outside = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", path.read_text())
        assert outside in ([], ["http://www.w3.org/2000/svg"]), path


def test_the_link_carries_the_token_where_no_server_sees_it():
    assert page_link("http://127.0.0.1:1", "a/b") == "http://127.0.0.1:1/#token=a%2Fb"
    assert page_link("http://127.0.0.1:1") == "http://127.0.0.1:1/"


# Conversations


def test_a_spoken_turn(tmp_path, server):
    sound = microphone(tmp_path / "said.wav", (1.0, 2.0))
    with browsing(sound) as page:
        page.open(page_link(f"http://127.0.0.1:{server.port}", TOKEN))
        assert page.run("location.hash") == ""
        assert page.run("sessionStorage.getItem('covo.token')") == TOKEN
        server.fakes[0].turns.clear()
        begin(page)
        page.until(f"{STATE} === 'user speaking'")
        assert text(page, "#state") == "Hearing you"
        page.until(f"{STATE} === 'speaking'")
        page.until(f"{STATE} === 'listening' && {DETAIL} === 'reply ended'")
        user, assistant = entries(page)
        assert (user["who"], user["text"]) == ("You", "hello")
        assert (assistant["who"], assistant["text"]) == ("covo", " ".join(WORDS))
        assert not assistant["rest"]
        assert 0.2 < float(text(page, "#latency-total").removesuffix(" s")) < 5
        assert not page.messages
    until(lambda: not server.places.busy)
    (turn,) = server.fakes[0].turns
    assert 1.4 < len(turn.audio) / 16_000 < 3.2  # the browser takes a little of it for noise


def test_an_interruption_keeps_what_was_heard(tmp_path):
    sound = microphone(tmp_path / "said.wav", (1.0, 2.0), (3.0, 0.6))
    with (
        serving(words=WORDS, word_seconds=0.5, recognized=by_length) as server,
        browsing(sound) as page,
    ):
        page.open(page_link(f"http://127.0.0.1:{server.port}", TOKEN))
        begin(page)
        page.until("document.querySelector('.why')")
        history = server.fakes[0].history
        until(lambda: history)
        first = entries(page)[1]
        assert first["why"] == "Stopped: you said “stop”"
        assert 1 <= len(first["text"].split()) <= 10
        assert (
            f"{first['text']} {first['rest']}".split()
            == WORDS[: len((first["text"] + " " + first["rest"]).split())]
        )
        page.until("document.querySelectorAll('.entry.user').length === 2")
        assert first["text"] == history[0][1]
        assert not page.messages


def test_a_backchannel_leaves_no_trace(tmp_path):
    sound = microphone(tmp_path / "said.wav", (1.0, 2.0), (3.0, 0.6))

    def recognized(audio: Audio) -> str:
        return "yeah" if len(audio) < 16_000 else "what is it"

    with (
        serving(words=WORDS[:10], word_seconds=0.5, recognized=recognized) as server,
        browsing(sound) as page,
    ):
        page.open(page_link(f"http://127.0.0.1:{server.port}", TOKEN))
        begin(page)
        page.until(f"{STATE} === 'speaking'")
        page.until(f"{STATE} === 'listening' && {DETAIL} === 'reply ended'", 30)
        assert [e["text"] for e in entries(page)] == ["what is it", " ".join(WORDS[:10])]
        assert server.fakes[0].history == [("what is it", " ".join(WORDS[:10]))]


def test_typing_and_stopping_by_keyboard(page, server):
    begin(page)
    write(page, "tell me")
    page.until(f"{STATE} === 'speaking'")
    page.until("!document.getElementById('stop').disabled")
    page.run("new Promise((resolve) => setTimeout(resolve, 1000))")
    page.press("Escape")
    page.until("document.querySelector('.why')")
    page.until(f"{STATE} === 'listening'")
    user, assistant = entries(page)
    assert user["text"] == "tell me"
    assert assistant["why"] == "Stopped: you stopped it"
    assert 2 <= len(assistant["text"].split()) < 10
    until(lambda: server.fakes[0].history)
    assert server.fakes[0].history == [("tell me", assistant["text"])]
    write(page, "and now")
    page.until(f"{STATE} === 'speaking'")
    write(page, "something else")  # over the reply
    page.until("document.querySelectorAll('.entry.assistant').length === 3")
    page.until(f"{STATE} === 'listening'", 30)
    assert [e["text"] for e in entries(page) if e["who"] == "You"] == [
        *("tell me", "and now", "something else")
    ]
    assert entries(page)[-1]["text"] == " ".join(WORDS)


def test_the_voice_is_chosen(page, server):
    begin(page)
    page.until("document.getElementById('voice').options.length === 2")
    page.run(
        """(() => { const voice = document.getElementById('voice');
              voice.value = 'second'; voice.dispatchEvent(new Event('change')); })()"""
    )
    until(lambda: server.fakes[0].voice == "second")
    page.until("document.getElementById('voice').value === 'second'")


def test_a_muted_microphone_sends_nothing(page):
    sent = "globalThis.sent.filter((kind) => kind === 'input_audio_buffer.append').length"
    page.run(
        """globalThis.sent = []; const send = WebSocket.prototype.send;
           WebSocket.prototype.send = function (data) {
             globalThis.sent.push(JSON.parse(data).type); send.call(this, data); }; 0"""
    )
    begin(page)
    page.until(f"{sent} > 3")
    press(page, "mute")
    assert page.run("document.getElementById('mute').getAttribute('aria-pressed')") == "true"
    count = page.run(sent)
    page.run("new Promise((resolve) => setTimeout(resolve, 400))")
    assert page.run(sent) == count
    press(page, "mute")
    page.until(f"{sent} > {count}")


# When something is wrong


def test_a_wrong_token_is_asked_for_again(page, server):
    page.open(page_link(f"http://127.0.0.1:{server.port}/?1", "ek_wrong"))
    press(page, "start-button")
    page.until("!document.getElementById('alert').hidden")
    assert text(page, "#alert-text") == "The server does not know this token."
    page.until("document.activeElement.id === 'token'")
    page.type(TOKEN)
    page.press("Enter")
    page.until(f"{PHASE} === 'open'")
    assert page.run("document.getElementById('alert').hidden")
    page.messages[:] = [
        m for m in page.messages if "HTTP Authentication" not in m and "401" not in m
    ]


def test_a_refused_microphone_leaves_typing():
    with (
        serving(words=["one"], word_seconds=0.1) as server,
        browsing(allows=False) as page,
    ):
        page.open(page_link(f"http://127.0.0.1:{server.port}", TOKEN))
        press(page, "start-button")
        page.until("!document.getElementById('alert').hidden")
        assert text(page, "#alert-text").startswith("The microphone was refused.")
        assert text(page, "#mute") == "Microphone"
        write(page, "hello")
        page.until("document.querySelector('.entry.assistant')")
        assert entries(page)[-1]["text"] == "one"


def test_a_full_server_and_its_queue(page, server):
    sockets = []
    try:
        for _ in range(2):
            address = f"ws://127.0.0.1:{server.port}/v1/realtime"
            headers = {"Authorization": f"Bearer {TOKEN}"}
            sockets.append(connect(address, additional_headers=headers, proxy=None))
        until(lambda: server.places.queued == 1)
        press(page, "start-button")
        page.until(f"{PHASE} === 'queued'")
        assert text(page, "#status") == "Waiting for a place: number 2 in the queue"
        for _ in range(2):
            sockets.append(connect(address, additional_headers=headers, proxy=None))
        until(
            lambda: (
                (server.places.full is False and server.places.queued == 4) or server.places.full
            )
        )
        page.open(f"http://127.0.0.1:{server.port}/?2")  # it leaves the queue
        until(lambda: server.places.queued == 3)
        sockets.append(connect(address, additional_headers=headers, proxy=None))
        until(lambda: server.places.full)
        press(page, "start-button")
        page.until("!document.getElementById('alert').hidden")
        assert text(page, "#alert-text").startswith("All places are taken")
        page.until("document.activeElement.id === 'alert-button'")
    finally:
        for socket in sockets:
            socket.close()
    until(lambda: not server.places.busy)
    press(page, "alert-button")
    page.until(f"{PHASE} === 'open'")
    page.messages[:] = [m for m in page.messages if "503" not in m]


def test_a_lost_connection_is_made_again_with_its_history(page, server):
    fake = server.fakes[0]
    page.run(
        """globalThis.sockets = []; const Real = WebSocket;
           globalThis.WebSocket = class extends Real {
             constructor(...given) { super(...given); globalThis.sockets.push(this); } }; 0"""
    )
    begin(page)
    write(page, "remember this")
    page.until(f"{STATE} === 'listening' && document.querySelector('.entry.assistant')", 30)
    page.run("globalThis.sockets[0].close(3000)")
    page.until(f"{PHASE} === 'reconnecting'")
    page.until(f"{PHASE} === 'open'")
    until(lambda: fake.history)
    assert fake.history == [("remember this", " ".join(WORDS))]
    write(page, "go on")
    page.until("document.querySelectorAll('.entry.assistant').length === 2")


# How it looks, and how it is used without looking


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800), (844, 390), (320, 568)])
def test_it_fits_and_can_be_read(page, scheme, width, height):
    page.look(width, height, scheme, still=True)
    begin(page)
    write(page, "a" * 200)
    page.until(f"{STATE} === 'speaking'")
    assert page.run("document.documentElement.scrollWidth") <= width
    for name in ("mute", "stop", "leave", "text"):
        box = page.run(f"document.getElementById('{name}').getBoundingClientRect().toJSON()")
        assert box["height"] >= 40, name
        assert 0 <= box["left"] < box["right"] <= width, name
        assert 0 <= box["top"] < box["bottom"] <= height, name
    assert page.run("getComputedStyle(document.getElementById('orb')).animationName") == "none"
    for pair, ratio in page.run(CONTRASTS).items():
        assert ratio >= 4.5, pair


def test_everything_is_in_reach_on_a_short_screen(page):
    begin(page)
    write(page, "hello")
    page.until(f"{STATE} === 'speaking'")
    for width, height in ((844, 390), (320, 480), (390, 420), (915, 412)):
        page.look(width, height)
        for name in ("voice", "mute", "stop", "leave", "text"):
            box = page.run(f"document.getElementById('{name}').getBoundingClientRect().toJSON()")
            assert box["height"] >= 40, (name, width)
            assert box["width"] >= 50, (name, width)
            assert 0 <= box["left"] < box["right"] <= width, (name, width)
            assert 0 <= box["top"] < box["bottom"] <= height, (name, width)
        log = page.run("document.getElementById('log').getBoundingClientRect().height")
        assert log > 60, width


CONTRASTS = """(() => {
  const shade = (name) => {
    const probe = document.body.appendChild(document.createElement('i'));
    probe.style.color = `var(--${name})`;
    const light = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map((c) => {
      const x = c / 255;
      return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
    });
    probe.remove();
    return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2];
  };
  const pairs = [['ink', 'ground'], ['ink', 'surface'], ['ink', 'mine'], ['soft', 'ground'],
    ['soft', 'surface'], ['on-accent', 'accent'], ['alert-ink', 'alert'], ['hearing', 'ground']];
  return Object.fromEntries(pairs.map(([a, b]) => {
    const [low, high] = [shade(a), shade(b)].sort((x, y) => x - y);
    return [`${a} on ${b}`, (high + 0.05) / (low + 0.05)];
  }));
})()"""


def test_a_screen_reader_finds_everything(page):
    begin(page)
    nodes = page.do("Accessibility.getFullAXTree")["nodes"]
    found = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    }
    wanted = {
        *(("button", name) for name in ("Mute", "Stop", "End", "Send")),
        *(("textbox", "Message"), ("combobox", "Voice"), ("log", "Transcript")),
        *(("heading", "covo"), ("group", "Controls"), ("region", "Conversation")),
    }
    assert wanted <= found
    live = page.run(
        "[...document.querySelectorAll('[role=status], [role=alert]')].map((e) => e.id)"
    )
    assert live == ["status", "alert"]


def test_the_keyboard_reaches_every_control(page):
    page.run("document.activeElement.blur()")
    page.press("Tab")
    assert page.run("document.activeElement.id") == "start-button"
    page.press("Enter")
    page.until(f"{PHASE} === 'open' && document.activeElement.id === 'mute'")
    page.until("!document.getElementById('voice').disabled")
    reached = []
    for _ in range(4):
        page.press("Tab")
        reached.append(page.run("document.activeElement.id || document.activeElement.ariaLabel"))
    assert reached == ["leave", "voice", "text", "Send"]  # there is nothing to stop
    page.run("document.getElementById('leave').focus()")
    page.press("Space")
    page.until("document.activeElement.id === 'start-button'")


# Its parts

RESAMPLED = """async (rate, hertz) => {
  const { Resampler } = await import('/page/resampler.js');
  const resampler = new Resampler(rate, 24000);
  const out = [];
  for (let at = 0; at < rate; at += 128) {
    const sine = (_, n) => Math.sin((2 * Math.PI * hertz * (at + n)) / rate);
    out.push(...resampler.push(Float32Array.from({ length: 128 }, sine)));
  }
  const bytes = new Uint8Array(Float32Array.from(out.slice(2000, 12000)).buffer);
  return btoa(String.fromCharCode(...bytes));
}"""


@pytest.mark.parametrize("rate", [48_000, 44_100, 16_000])
def test_the_resampler_keeps_what_it_should(page, rate):
    def resampled(hertz: float) -> Audio:
        told = page.run(f"({RESAMPLED})({rate}, {hertz})")
        return np.frombuffer(base64.b64decode(told), np.float32)

    times = np.arange(2000, 12_000) / 24_000
    assert np.abs(resampled(1000) - np.sin(2 * np.pi * 1000 * times)).max() < 0.01
    if rate > 40_000:
        assert np.abs(resampled(15_000)).max() < 0.003


def test_the_loudspeaker_counts_what_was_played(page):
    told: Any = page.run(
        """import('/page/sound.js').then(async ({ Loudspeaker }) => {
             const heard = [];
             const speaker = new Loudspeaker((one) => heard.push(one));
             await speaker.open();
             const wait = (s) => new Promise((resolve) => setTimeout(resolve, s * 1000));
             speaker.play('a', new Float32Array(12001).fill(0.1));
             await wait(1.2);
             const whole = heard.at(-1);
             speaker.play('b', new Float32Array(48000).fill(0.1));
             await wait(0.5);
             speaker.control('hold');
             await wait(0.3);
             const held = heard.at(-1).ms;
             await wait(0.5);
             const still = heard.at(-1).ms;
             speaker.control('resume');
             await wait(0.4);
             const stopped = await speaker.stop();
             const sounding = speaker.sounding;
             speaker.close();
             return { whole, held, still, stopped, sounding };
           })"""
    )
    assert told["whole"] == {"item": "a", "ms": 501, "over": True}
    assert 250 <= told["held"] <= 800
    assert told["still"] - told["held"] <= 60  # what the device still had
    assert told["stopped"]["item"] == "b"
    assert told["still"] + 200 <= told["stopped"]["ms"] < 2000
    assert told["sounding"] is None
