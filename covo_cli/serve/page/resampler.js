/** Resampling of a stream by a windowed sinc, from any rate of a sound card to the server's. */

const ZERO_CROSSINGS = 16;
const STEPS = 256; // values of the filter between two zero crossings

/** Hann-windowed sinc, one side, at STEPS values for each zero crossing. */
const SINC = Float32Array.from({ length: ZERO_CROSSINGS * STEPS + 2 }, (_, n) => {
  const x = n / STEPS;
  if (x === 0) return 1;
  if (x >= ZERO_CROSSINGS) return 0;
  return (Math.sin(Math.PI * x) / (Math.PI * x)) * Math.cos((Math.PI * x) / (2 * ZERO_CROSSINGS)) ** 2;
});

export class Resampler {
  #step; // input samples for each output sample
  #cutoff; // below 1 where the rate falls, so that nothing is folded back
  #reach; // input samples on each side of an output sample
  #kept; // input that is still needed
  #at; // place of the next output sample in #kept

  /** @param {number} from samples a second that come  @param {number} to and that are wanted */
  constructor(from, to) {
    this.#step = from / to;
    this.#cutoff = Math.min(1, to / from) * 0.95;
    this.#reach = Math.ceil(ZERO_CROSSINGS / this.#cutoff);
    this.#kept = new Float32Array(this.#reach);
    this.#at = this.#reach;
  }

  /** Return the samples that are ready after `input`. @param {Float32Array} input */
  push(input) {
    const sound = new Float32Array(this.#kept.length + input.length);
    sound.set(this.#kept);
    sound.set(input, this.#kept.length);
    const ready = [];
    while (this.#at + this.#reach < sound.length) {
      ready.push(this.#value(sound, this.#at));
      this.#at += this.#step;
    }
    const start = Math.max(0, Math.floor(this.#at) - this.#reach);
    this.#kept = sound.slice(start);
    this.#at -= start;
    return Float32Array.from(ready);
  }

  #value(sound, at) {
    let sum = 0;
    const first = Math.max(0, Math.ceil(at - this.#reach));
    const last = Math.floor(at + this.#reach);
    for (let n = first; n <= last; n += 1) {
      const x = Math.abs(n - at) * this.#cutoff * STEPS;
      if (x >= ZERO_CROSSINGS * STEPS) continue;
      const whole = Math.floor(x);
      sum += sound[n] * (SINC[whole] + (SINC[whole + 1] - SINC[whole]) * (x - whole));
    }
    return sum * this.#cutoff;
  }
}
