/** Bytes of a large simulated file of which little is written; what is missing reads as zeros. */
const pageBytes = 4096;

export class SparseBytes {
  readonly #pages = new Map<number, Uint8Array>();

  copy(): SparseBytes {
    const copy = new SparseBytes();
    for (const [index, page] of this.#pages) copy.#pages.set(index, page.slice());
    return copy;
  }

  isPresent(position: number): boolean {
    return this.#pages.has(Math.floor(position / pageBytes));
  }

  read(position: number, length: number): Uint8Array {
    const target = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const index = Math.floor((position + done) / pageBytes);
      const within = position + done - index * pageBytes;
      const step = Math.min(pageBytes - within, length - done);
      const page = this.#pages.get(index);
      if (page !== undefined) target.set(step === pageBytes ? page : page.subarray(within, within + step), done);
      done += step;
    }
    return target;
  }

  write(position: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const index = Math.floor((position + done) / pageBytes);
      const within = position + done - index * pageBytes;
      const step = Math.min(pageBytes - within, bytes.length - done);
      let page = this.#pages.get(index);
      if (page === undefined) this.#pages.set(index, (page = new Uint8Array(pageBytes)));
      page.set(bytes.subarray(done, done + step), within);
      done += step;
    }
  }
}
