/** The microphone and the loudspeaker. */

const RATE = 24_000;
const DUCKED = 10 ** (-12 / 20);

/** Why there is no microphone, as a sentence for the user. */
const NO_MICROPHONE = {
  NotAllowedError: "The microphone was refused. Allow it in the browser’s site settings, then press Microphone.",
  NotFoundError: "No microphone was found. Connect one, then press Microphone.",
  NotReadableError: "The microphone is in use by another program. Close that, then press Microphone.",
};

export class MicrophoneError extends Error {}

/** Whether this page may use sound at all: browsers allow it over https, and at localhost. */
export const soundAllowed = () => window.isSecureContext && "AudioWorkletNode" in window;

/** @param {Blob | ArrayBuffer} buffer */
function base64(buffer) {
  let text = "";
  for (const byte of new Uint8Array(buffer)) text += String.fromCharCode(byte);
  return btoa(text);
}

/** Return PCM16 in base64 as samples from -1 to 1. @param {string} text */
export function samplesOf(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer), (value) => value / 32_768);
}

export class Microphone {
  #onSound;
  #onLost;
  #context;
  #stream = null;
  #muted = false;

  /**
   * @param {(audio: string, level: number) => void} onSound 40 ms of PCM16 at 24 kHz, in base64
   * @param {(why: string) => void} onLost
   */
  constructor(onSound, onLost) {
    this.#onSound = onSound;
    this.#onLost = onLost;
  }

  get on() {
    return this.#stream !== null;
  }

  get muted() {
    return this.#muted;
  }

  set muted(muted) {
    this.#muted = muted;
    this.#stream?.getTracks().forEach((track) => (track.enabled = !muted));
  }

  /** Ask for the microphone and begin. Throws: MicrophoneError. */
  async open() {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true } });
    } catch (error) {
      throw new MicrophoneError(NO_MICROPHONE[error.name] ?? `The microphone does not work: ${error.message}`);
    }
    this.close();
    this.#stream = stream;
    this.muted = this.#muted;
    stream.getAudioTracks()[0].addEventListener("ended", () => {
      this.close();
      this.#onLost("The microphone is gone. Connect it, then press Microphone.");
    });
    // At the device's own rate: not every browser connects a microphone to another.
    this.#context = new AudioContext({ latencyHint: "interactive" });
    await this.#context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url));
    const capture = new AudioWorkletNode(this.#context, "capture", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    capture.port.onmessage = ({ data }) => {
      if (!this.#muted) this.#onSound(base64(data.sound), data.level);
    };
    this.#context.createMediaStreamSource(stream).connect(capture);
    await this.#context.resume();
  }

  close() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    this.#context?.close();
    this.#context = null;
  }
}

export class Loudspeaker {
  #onPlayed;
  #context = null;
  #node = null;
  #heard = { item: null, ms: 0, over: true };
  #stops = []; // resolve functions of those who wait for a stop

  /** @param {(heard: {item: string, ms: number, over: boolean}, level: number) => void} onPlayed */
  constructor(onPlayed) {
    this.#onPlayed = onPlayed;
  }

  /** Begin; browsers want a press of a button before. */
  async open() {
    this.#context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    const resumed = this.#context.resume();
    await this.#context.audioWorklet.addModule(new URL("player-worklet.js", import.meta.url));
    this.#node = new AudioWorkletNode(this.#context, "player", { numberOfInputs: 0, outputChannelCount: [1] });
    this.#node.port.onmessage = ({ data }) => this.#report(data);
    this.#node.connect(this.#context.destination);
    await resumed;
  }

  /** The item that sounds, null where none does. */
  get sounding() {
    return this.#heard.over ? null : this.#heard.item;
  }

  /** @param {string} item  @param {Float32Array} sound */
  play(item, sound) {
    if (sound.length === 0 || this.#node === null) return;
    if (this.sounding === null) this.#heard = { item, ms: 0, over: false };
    this.#node.port.postMessage({ play: item, sound }, [sound.buffer]);
  }

  /** @param {"duck" | "hold" | "resume"} action */
  control(action) {
    const told = { duck: { gain: DUCKED }, hold: { hold: true }, resume: { gain: 1, hold: false } };
    this.#node?.port.postMessage(told[action]);
  }

  /** Stop at once; return what was heard of the item, null where none sounded. */
  async stop() {
    if (this.#node === null || this.sounding === null) return null;
    this.#node.port.postMessage({ stop: true });
    await new Promise((resolve) => this.#stops.push(resolve));
    return this.#heard;
  }

  async resume() {
    await this.#context?.resume();
  }

  close() {
    this.#context?.close();
    this.#context = this.#node = null;
    this.#heard = { item: null, ms: 0, over: true };
    this.#stops.splice(0).forEach((resolve) => resolve());
  }

  /** Count as heard what has left the loudspeaker, not what was rendered. */
  #report({ item, rendered, idle, level, waiting, stopped }) {
    if (this.#context === null) return;
    const delay = (this.#context.outputLatency || this.#context.baseLatency || 0) * RATE;
    const heard = Math.max(0, Math.min(rendered, rendered + idle - delay));
    const over = stopped || (waiting <= 0 && heard >= rendered);
    if (item !== null) {
      // The last part of a millisecond counts, or the end would never be reached.
      const ms = (over && !stopped ? Math.ceil : Math.floor)((heard * 1000) / RATE);
      this.#heard = { item, ms, over };
      this.#onPlayed(this.#heard, idle === 0 ? level : 0);
    }
    if (stopped) {
      this.#heard.over = true;
      this.#stops.splice(0).forEach((resolve) => resolve());
    }
  }
}
