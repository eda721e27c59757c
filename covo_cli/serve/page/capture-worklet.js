/** The microphone's sound as pieces of PCM16 at 24 kHz, each with its level. */

import { Resampler } from "./resampler.js";

const RATE = 24_000;
const PIECE = RATE * 0.04;

class Capture extends AudioWorkletProcessor {
  #resampler = new Resampler(sampleRate, RATE);
  #piece = new Int16Array(PIECE);
  #filled = 0;
  #energy = 0;

  process([input]) {
    if (!input.length) return true;
    for (const sample of this.#resampler.push(input[0])) {
      const limited = Math.max(-1, Math.min(1, sample));
      this.#energy += limited * limited;
      this.#piece[this.#filled] = Math.round(limited * 32_767);
      this.#filled += 1;
      if (this.#filled === PIECE) this.#pass();
    }
    return true;
  }

  #pass() {
    const sound = this.#piece.buffer;
    this.port.postMessage({ sound, level: Math.sqrt(this.#energy / PIECE) }, [sound]);
    this.#piece = new Int16Array(PIECE);
    this.#filled = this.#energy = 0;
  }
}

registerProcessor("capture", Capture);
