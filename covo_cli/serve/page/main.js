/** The page: its buttons, and what connects sound, conversation and view. */

import { ConnectionError, keepToken, takeToken, whatIsServed } from "./connection.js";
import { Loudspeaker, Microphone, MicrophoneError, soundAllowed } from "./sound.js";
import { Talk } from "./talk.js";
import { View, part } from "./view.js";

const NO_SOUND =
  "Browsers allow sound only over https and at localhost. Typing works; to speak, use a tunnel (ssh -L 8765:127.0.0.1:8765 HOST) or --tls-cert.";

const view = new View();
let talk = null;
let served = { voices: [], lacks: [] };
let token = takeToken();

const microphone = new Microphone(
  (audio, level) => {
    talk?.hear(audio);
    if (document.body.dataset.state !== "speaking") view.level(level);
  },
  (why) => {
    view.microphone(false, false);
    view.trouble(why);
  },
);
const loudspeaker = new Loudspeaker((heard, level) => {
  talk?.played(heard);
  if (document.body.dataset.state === "speaking") view.level(level);
  showStop();
});

function showStop() {
  part("stop").disabled = !talk?.answering;
}

function askForToken() {
  part("token-row").hidden = token !== null;
  part("token").required = token === null;
}

async function openMicrophone() {
  try {
    await microphone.open();
    view.trouble("");
  } catch (error) {
    if (!(error instanceof MicrophoneError)) throw error;
    view.trouble(error.message);
  }
  view.microphone(microphone.on, microphone.muted);
}

/** What the conversation calls. */
const shown = {
  phase: (name, detail) => {
    view.phase(name, detail);
    showStop();
    if (name === "over") view.trouble(part("status").textContent, start);
  },
  state: (name, reason) => {
    view.state(name, reason);
    showStop();
  },
  detail: (text) => view.detail(text),
  entry: (one) => {
    view.entry(one);
    showStop();
  },
  removed: (one) => view.removed(one),
  latency: (total, parts) => view.latency(total, parts),
  session: (session) => view.session(session, served.voices),
  trouble: (message, kind) => failed(new ConnectionError(kind, message)),
};

/** Begin a conversation, or go on with the one that was lost. */
async function start() {
  view.trouble("");
  const before = talk?.entries ?? [];
  talk?.leave();
  const sound = soundAllowed();
  const opened = sound ? loudspeaker.open() : null; // while the press of the button counts
  talk = new Talk(token, loudspeaker, sound, shown);
  talk.entries = before;
  part("start-button").disabled = true;
  try {
    await opened;
    await talk.open();
  } catch (error) {
    end();
    if (!(error instanceof ConnectionError)) throw error;
    failed(error);
    return;
  } finally {
    part("start-button").disabled = false;
  }
  view.talking(true);
  if (sound && !microphone.on) await openMicrophone();
  if (!sound) {
    view.microphone(false, false);
    view.trouble(NO_SOUND);
  }
  part("mute").hidden = !sound;
  served = await whatIsServed(token);
  if (talk?.session) view.session(talk.session, served.voices);
  const typing = !served.lacks.includes("AnswerNow");
  part("typing").hidden = !typing;
}

function failed(error) {
  if (error.kind === "token") {
    keepToken(null);
    token = null;
    askForToken();
    end();
    view.trouble(error.message);
    part("token").focus();
    return;
  }
  view.trouble(error.message, start);
}

function end() {
  talk?.leave();
  talk = null;
  microphone.close();
  loudspeaker.close();
  view.clear();
  view.phase("idle");
  view.talking(false);
}

part("start").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = part("token").value.trim();
  if (token === null) {
    if (!given) return;
    token = given;
    keepToken(token);
    part("token").value = "";
    askForToken();
  }
  start();
});
part("mute").addEventListener("click", () => {
  if (!microphone.on) {
    openMicrophone();
    return;
  }
  microphone.muted = !microphone.muted;
  view.microphone(true, microphone.muted);
  view.level(0);
});
part("stop").addEventListener("click", () => talk?.stop());
part("leave").addEventListener("click", () => {
  end();
  view.trouble("");
});
part("voice").addEventListener("change", ({ target }) => talk?.speakWith(target.value));
part("typing").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = part("text").value.trim();
  if (text) talk?.say(text);
  part("text").value = "";
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") talk?.stop();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) loudspeaker.resume(); // phones suspend the sound of hidden pages
});
window.addEventListener("pagehide", end); // a page kept for going back would keep its place

part("host").textContent = location.host;
askForToken();
view.phase("idle");
