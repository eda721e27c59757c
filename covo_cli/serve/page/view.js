/** What is on the page. */

const STATES = {
  listening: "Listening",
  "user speaking": "Hearing you",
  thinking: "Thinking",
  speaking: "Speaking",
  interrupted: "Interrupted",
  muted: "Muted",
};
const SPEAKERS = { user: "You", assistant: "covo", note: "Message" };
const PARTS = { wait: "pause", recognize: "words", think: "thinking", speak: "voice", decide: "end of turn", play: "playback" };
const NEAR_END = 120; // pixels: whoever has scrolled up reads on undisturbed

export const part = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

export class View {
  #items = new Map();
  #log = part("log");
  #follows = true;

  constructor() {
    const log = this.#log;
    log.addEventListener("scroll", () => {
      this.#follows = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END;
    });
    new ResizeObserver(() => this.#follow()).observe(log); // a phone is turned, a keyboard opens
  }

  #follow() {
    if (this.#follows) this.#log.scrollTop = this.#log.scrollHeight;
  }

  /** @param {"idle" | "connecting" | "queued" | "open" | "reconnecting" | "over"} name */
  phase(name, detail = "") {
    document.body.dataset.phase = name;
    const told = {
      idle: "Not connected",
      connecting: "Connecting …",
      queued: `Waiting for a place: number ${detail} in the queue`,
      open: "Connected",
      reconnecting: `Connection lost. Connecting again (${detail}) …`,
      over: `The conversation is over: ${detail}`,
    };
    part("status").textContent = told[name];
    const ready = name === "open";
    part("text").disabled = !ready;
    document.querySelector(".send").disabled = !ready;
    if (!ready) this.state("", told[name]);
  }

  /** Show one of the two sections. @param {boolean} talking */
  talking(talking) {
    part("welcome").hidden = talking;
    part("talk").hidden = !talking;
    part(talking ? "mute" : "start-button").focus();
  }

  state(name, reason) {
    document.body.dataset.state = name;
    part("state").textContent = STATES[name] ?? (document.body.dataset.phase === "over" ? "Over" : "Please wait");
    this.detail(reason);
  }

  detail(text) {
    part("detail").textContent = text;
  }

  /** @param {number} level root mean square of the sound, from 0 to 1 */
  level(level) {
    const shown = Math.max(0, Math.min(1, 1 + Math.log10(level + 1e-9) / 2.5));
    part("orb").style.setProperty("--level", shown.toFixed(2));
  }

  latency(total, parts) {
    part("latency").hidden = false;
    part("latency-total").textContent = `${total.toFixed(2)} s`;
    const told = Object.entries(parts).filter(([, s]) => s >= 0.005);
    part("latency-parts").textContent = told.map(([name, s]) => `${PARTS[name] ?? name} ${s.toFixed(2)}`).join(" · ");
  }

  microphone(on, muted) {
    document.body.dataset.microphone = !on ? "off" : muted ? "muted" : "on";
    part("mute").setAttribute("aria-pressed", String(on && muted));
    part("mute-text").textContent = on ? "Mute" : "Microphone";
    part("mute-icon").setAttribute("href", on && !muted ? "#icon-microphone" : "#icon-muted");
  }

  session(session, voices) {
    part("model").textContent = session.model;
    const { voice } = session.audio.output;
    const select = part("voice");
    const names = voices.includes(voice) ? voices : [voice, ...voices];
    select.replaceChildren(...names.map((name) => new Option(name, name, false, name === voice)));
    select.disabled = names.length < 2;
  }

  /** Show, or change, an entry of the transcript. */
  entry(one) {
    let item = this.#items.get(one);
    if (!item) {
      item = element("li", `entry ${one.role}`, "");
      this.#items.set(one, item);
      this.#log.append(item);
    }
    item.classList.toggle("live", one.live);
    const text = element("p", "text", (one.heard ?? one.text).trim());
    const rest = one.heard === null ? "" : one.text.slice(one.heard.trimEnd().length);
    if (rest.trim()) text.append(" ", element("span", "hidden", "(not heard:) "), element("s", "unheard", rest.trim()));
    if (one.text === "") text.append(element("span", "dots", "…"));
    const note = one.note ? [element("p", "why", `Stopped: ${one.note}`)] : [];
    item.replaceChildren(element("span", "speaker", SPEAKERS[one.role]), text, ...note);
    this.#follow();
  }

  removed(one) {
    this.#items.get(one)?.remove();
    this.#items.delete(one);
  }

  clear() {
    this.#items.clear();
    this.#log.replaceChildren();
    part("latency").hidden = true;
  }

  /** Tell of trouble, with a button where `retry` can help; "" takes it away. */
  trouble(message, retry = null) {
    const button = part("alert-button");
    part("alert").hidden = message === "";
    part("alert-text").textContent = message;
    button.hidden = retry === null;
    button.onclick = retry;
    if (retry !== null) button.focus();
  }
}
