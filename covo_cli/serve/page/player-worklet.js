/**
 * Plays replies and counts what was played, to the sample.
 *
 * In: {play: item, sound: Float32Array}, {gain: 0…1}, {hold: boolean}, {stop: true}.
 * Out, ten times a second while something is or was playing, and at each beginning and stop:
 * {item, rendered, idle, level, waiting, stopped}: samples of the item that were rendered, samples
 * since the last one, the level, samples in the queue.
 */

const FADE_S = 0.005;
const REPORT_S = 0.1;
const REPORTED_AFTER_S = 1.0; // reports go on, until the sound has left the loudspeaker

class Player extends AudioWorkletProcessor {
  #queue = []; // {item, sound}
  #at = 0; // in the first piece of the queue
  #item = null;
  #rendered = 0;
  #idle = Infinity;
  #gain = 1;
  #wanted = 1;
  #held = false;
  #stopping = false;
  #energy = 0;
  #unreported = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this.#obey(data);
  }

  #obey(message) {
    if (message.play) this.#queue.push({ item: message.play, sound: message.sound });
    if (message.gain !== undefined) this.#wanted = message.gain;
    if (message.hold !== undefined) this.#held = message.hold;
    if (message.stop) {
      this.#stopping = true;
      this.#held = false;
    }
  }

  process(_, [output]) {
    const wanted = this.#held || this.#stopping ? 0 : this.#wanted;
    const step = 1 / (FADE_S * sampleRate);
    for (let n = 0; n < output[0].length; n += 1) {
      const silent = this.#gain === 0 && wanted === 0;
      const sample = silent ? undefined : this.#next();
      if (sample === undefined) {
        this.#idle += 1;
        if (wanted > this.#gain) this.#gain = wanted;
        if (this.#stopping) this.#finish();
        continue;
      }
      this.#gain += Math.max(-step, Math.min(step, wanted - this.#gain));
      const played = sample * this.#gain;
      this.#energy += played * played;
      for (const channel of output) channel[n] = played;
    }
    this.#unreported += output[0].length;
    const due = this.#unreported >= REPORT_S * sampleRate;
    if (due && this.#idle < REPORTED_AFTER_S * sampleRate) this.#report();
    return true;
  }

  /** Return the next sample of the queue, undefined where it is empty. */
  #next() {
    const piece = this.#queue[0];
    if (piece === undefined) return undefined;
    const begins = piece.item !== this.#item;
    if (begins) {
      this.#item = piece.item;
      this.#rendered = 0;
    }
    const sample = piece.sound[this.#at];
    this.#at += 1;
    this.#rendered += 1;
    this.#idle = 0;
    if (this.#at === piece.sound.length) {
      this.#queue.shift();
      this.#at = 0;
    }
    if (begins) this.#report();
    return sample;
  }

  #finish() {
    this.#stopping = false;
    this.#queue = [];
    this.#at = 0;
    this.#wanted = this.#gain = 1;
    this.#report(true);
  }

  #report(stopped = false) {
    let waiting = -this.#at;
    for (const { sound } of this.#queue) waiting += sound.length;
    const level = Math.sqrt(this.#energy / Math.max(1, this.#unreported));
    const told = { item: this.#item, rendered: this.#rendered, idle: this.#idle };
    this.port.postMessage({ ...told, level, waiting, stopped });
    this.#unreported = this.#energy = 0;
  }
}

registerProcessor("player", Player);
