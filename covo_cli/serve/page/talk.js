/**
 * One conversation on the wire: the server's events become a transcript and a state, and what the
 * user does becomes events. It knows neither the page nor how sound is played.
 */

import { ConnectionError, openSocket } from "./connection.js";
import { samplesOf } from "./sound.js";

const RETRY_S = [0.5, 1, 2, 4, 8];
const MOST_BUFFERED = 1_000_000; // bytes; sound is dropped beyond
const FINAL_CODES = [1000, 1008, 1009]; // closed on purpose: connecting again would not help

/** Errors of a race: a reply ended, or began, meanwhile. */
const NOTHING_TO_CANCEL = "response_cancel_not_active";
const ALREADY_ANSWERING = "conversation_already_has_active_response";

const newId = () => `item_${Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("")}`;

/** An entry of the transcript. `heard` null: all of it; `role` "note": from the server or the page. */
const entry = (id, role, text = "") => ({ id, role, text, heard: null, note: "", live: false, committed: false });

export class Talk {
  #token;
  #loudspeaker;
  #on;
  #socket = null;
  #speaks;
  #response = null; // {id, item} of the active one
  #why = ""; // why the reply was stopped
  #ask = false; // a typed message waits for the end of a response
  #silenced = new Set(); // items that were stopped here: no more of their sound
  #voice = "";
  #left = false;
  /** @type {ReturnType<typeof entry>[]} */
  entries = [];
  session = null;

  /**
   * @param {string} token
   * @param {import("./sound.js").Loudspeaker} loudspeaker
   * @param {boolean} speaks whether replies are wanted as sound
   * @param on what is called: phase(name, detail), state(name, reason), entry(entry), removed(entry),
   *   detail(text), latency(total, parts), trouble(message, kind), session(object)
   */
  constructor(token, loudspeaker, speaks, on) {
    this.#token = token;
    this.#loudspeaker = loudspeaker;
    this.#speaks = speaks;
    this.#on = on;
  }

  /** Connect. Throws: ConnectionError. */
  async open() {
    this.#on.phase("connecting");
    await this.#connect();
  }

  get ready() {
    return this.#socket?.readyState === WebSocket.OPEN && this.session !== null;
  }

  /** Whether there is something to stop. */
  get answering() {
    return this.#response !== null || this.#loudspeaker.sounding !== null;
  }

  /** Send sound of the microphone. @param {string} audio PCM16 in base64 */
  hear(audio) {
    if (this.ready && this.#socket.bufferedAmount < MOST_BUFFERED) this.#send("input_audio_buffer.append", { audio });
  }

  /** Tell the server how much of an item was heard. */
  played({ item, ms }) {
    if (this.ready && !this.#silenced.has(item)) this.#send("covo.played", { item_id: item, audio_ms: ms });
  }

  /** Answer a typed message, instead of what is being said. @param {string} text */
  async say(text) {
    if (!this.ready) return;
    const mine = entry(newId(), "user", text);
    mine.committed = true;
    await this.stop("you wrote something");
    this.#put(mine);
    this.#send("conversation.item.create", { item: this.#item(mine) });
    if (this.#response === null) this.#send("response.create");
    else this.#ask = true;
  }

  /** Stop the reply where it is heard. */
  async stop(why = "you stopped it") {
    if (!this.ready || !this.answering) return;
    this.#why = why;
    const item = this.#loudspeaker.sounding;
    await this.#fallSilent();
    const silent = this.#response !== null && (item === null || this.#response.item !== item);
    if (silent) this.#send("response.cancel");
  }

  /** @param {string} voice */
  speakWith(voice) {
    this.#voice = voice;
    if (this.ready) this.#send("session.update", { session: { type: "realtime", audio: { output: { voice } } } });
  }

  leave() {
    this.#left = true;
    this.#socket?.close(1000);
    this.#over();
  }

  async #connect() {
    const socket = await openSocket(this.#token);
    if (this.#left) {
      socket.close(1000);
      return;
    }
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
  }

  #closed(code, reason) {
    this.#over();
    if (this.#left) return;
    if (FINAL_CODES.includes(code)) {
      this.#on.phase("over", reason || "the server ended it");
      return;
    }
    this.#reconnect();
  }

  /** What is true of a lost connection: nothing is being said any more. */
  #over() {
    this.#socket = this.#response = this.session = null;
    this.#ask = false;
    this.#loudspeaker.stop();
    for (const one of this.entries.filter((e) => e.live || !e.committed)) {
      one.live = false;
      if (one.text === "") this.#remove(one);
      else this.#on.entry(one);
    }
  }

  async #reconnect() {
    for (const [n, wait] of RETRY_S.entries()) {
      this.#on.phase("reconnecting", `${n + 1} of ${RETRY_S.length}`);
      await new Promise((resolve) => setTimeout(resolve, wait * 1000));
      if (this.#left) return;
      try {
        await this.#connect();
        return;
      } catch (error) {
        if (!(error instanceof ConnectionError)) throw error;
        if (error.kind === "token" || n === RETRY_S.length - 1) this.#on.trouble(error.message, error.kind);
        if (error.kind === "token") break;
      }
    }
    this.#on.phase("over", "the connection was lost");
  }

  #send(type, fields = {}) {
    this.#socket.send(JSON.stringify({ type, ...fields }));
  }

  #item(one) {
    const kind = one.role === "user" ? "input_text" : "output_text";
    return { id: one.id, type: "message", role: one.role, content: [{ type: kind, text: (one.heard ?? one.text).trim() }] };
  }

  #begin(session) {
    this.session = session;
    const audio = this.#voice ? { audio: { output: { voice: this.#voice } } } : {};
    const modalities = this.#speaks ? {} : { output_modalities: ["text"] };
    if (this.#voice || !this.#speaks) this.#send("session.update", { session: { type: "realtime", ...audio, ...modalities } });
    for (const one of this.entries) {
      const said = one.heard ?? one.text;
      if (one.role === "note" || !said.trim()) continue;
      one.id = newId(); // the new session has not seen the old one's
      one.committed = true;
      this.#send("conversation.item.create", { item: this.#item(one) });
    }
    this.#on.phase("open");
    this.#on.state("listening", "");
    this.#on.session(session);
  }

  // The server's events

  #take(event) {
    switch (event.type) {
      case "session.created":
        this.#begin(event.session);
        break;
      case "session.updated":
        this.session = event.session;
        this.#on.session(event.session);
        break;
      case "error":
        if (event.error.code === ALREADY_ANSWERING) this.#ask = true;
        else if (event.error.code !== NOTHING_TO_CANCEL) this.note(event.error.message);
        break;
      case "response.created":
        this.#response = { id: event.response.id, item: null };
        this.#why = "";
        break;
      case "response.output_item.added":
        if (this.#response !== null) this.#response.item = event.item.id;
        break;
      case "response.output_audio.delta":
        if (!this.#silenced.has(event.item_id)) this.#loudspeaker.play(event.item_id, samplesOf(event.delta));
        break;
      case "response.output_audio_transcript.delta":
      case "response.output_text.delta":
        this.#write(event.item_id, "assistant", event.delta);
        break;
      case "response.done":
        this.#done(event.response);
        break;
      default:
        if (event.type.startsWith("covo.")) this.#takeOurs(event);
        else this.#takeOfUser(event);
    }
  }

  #takeOfUser(event) {
    switch (event.type) {
      case "input_audio_buffer.speech_started":
        this.#fallSilent();
        this.#put({ ...entry(event.item_id, "user"), live: true });
        break;
      case "input_audio_buffer.committed":
        this.#got(event.item_id, "user").committed = true;
        break;
      case "conversation.item.input_audio_transcription.delta":
        this.#write(event.item_id, "user", event.delta);
        break;
      case "conversation.item.input_audio_transcription.completed": {
        const one = this.#got(event.item_id, "user");
        one.live = false;
        one.text = event.transcript.trim();
        if (one.text) this.#on.entry(one);
        else this.#remove(one);
        break;
      }
      case "conversation.item.truncated":
        if (this.#response?.item !== event.item_id) this.#send("conversation.item.retrieve", { item_id: event.item_id });
        break;
      case "conversation.item.retrieved":
        this.#cut(event.item);
        break;
    }
  }

  /** What only covo's own clients are told. */
  #takeOurs(event) {
    switch (event.type) {
      case "covo.queue":
        this.#on.phase("queued", String(event.position));
        break;
      case "covo.state":
        if (event.state === "listening") this.#forgetNoise();
        this.#on.state(event.state, event.reason);
        break;
      case "covo.endpoint":
        this.#on.detail(event.reason);
        break;
      case "covo.latency":
        this.#on.latency(event.total, event.parts);
        break;
      case "covo.notice":
        this.note(event.text);
        break;
      case "covo.playback":
        if (event.action !== "stop") this.#loudspeaker.control(event.action);
        else {
          this.#why ||= event.reason;
          this.#fallSilent();
        }
        break;
    }
  }

  #done(response) {
    this.#response = null;
    const [item] = response.output;
    const one = item && this.#find(item.id);
    if (response.status === "failed") this.note(`No answer: ${response.status_details?.error?.message ?? "the engine failed"}`);
    if (one) {
      one.live = false;
      one.committed = true;
      if (response.status === "cancelled") this.#cut(item);
      this.#on.entry(one);
    }
    if (this.#ask) {
      this.#ask = false;
      this.#send("response.create");
    }
  }

  /** Stop the sound, and tell how much of it was heard; this ends its response, too. */
  async #fallSilent() {
    const item = this.#loudspeaker.sounding;
    if (item === null || this.#silenced.has(item)) return;
    this.#silenced.add(item);
    const heard = await this.#loudspeaker.stop();
    if (heard !== null && this.ready) {
      this.#send("conversation.item.truncate", { item_id: item, content_index: 0, audio_end_ms: heard.ms });
    }
  }

  /** Show an item of the assistant's as it was heard. */
  #cut(item) {
    const one = this.#find(item.id);
    if (!one || item.role !== "assistant") return;
    const [content] = item.content;
    const heard = content?.transcript ?? content?.text ?? "";
    one.heard = one.text.trimEnd() === heard.trimEnd() ? null : heard;
    one.note = this.#why;
    one.live = false;
    this.#on.entry(one);
  }

  /** Remove the speech that turned out to be no turn. */
  #forgetNoise() {
    for (const one of this.entries.filter((e) => e.role === "user" && !e.committed)) this.#remove(one);
  }

  #write(id, role, delta) {
    const one = this.#got(id, role);
    one.live = true;
    one.text += delta;
    this.#on.entry(one);
  }

  /** Put a line of the server's or the page's own into the transcript. @param {string} text */
  note(text) {
    this.#put({ ...entry(newId(), "note", text), committed: true });
  }

  #find(id) {
    return this.entries.find((one) => one.id === id);
  }

  #got(id, role) {
    return this.#find(id) ?? this.#put(entry(id, role));
  }

  #put(one) {
    this.entries.push(one);
    this.#on.entry(one);
    return one;
  }

  #remove(one) {
    this.entries.splice(this.entries.indexOf(one), 1);
    this.#on.removed(one);
  }
}
