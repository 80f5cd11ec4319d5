/**
 * A terminal that is drawn on, and given back as it was: cursor, what stood on it, and how keys are read.
 *
 *     open ──► alternate screen, raw keys ──key, resize──► the owner draws again ──close, or the end of the process──► as before
 */
import type { ReadStream, WriteStream } from 'node:tty';

const enter = '\x1b[?1049h\x1b[?25l';
const leave = '\x1b[?25h\x1b[?1049l';
const clearLine = '\x1b[K';
const clearBelow = '\x1b[J';
const home = '\x1b[H';
const bold = '\x1b[7m';
const plain = '\x1b[0m';

export interface ScreenOptions {
  readonly input: ReadStream;
  readonly output: WriteStream;
  onKey(key: string): void;
  onResize(): void;
}

export class Screen {
  readonly #options: ScreenOptions;
  readonly #take = (chunk: Buffer): void => {
    for (const key of chunk.toString('latin1')) this.#options.onKey(key);
  };
  readonly #close = (): void => this.close();
  #isOpen = true;

  constructor(options: ScreenOptions) {
    const { input, output } = options;
    this.#options = options;
    output.write(enter);
    output.on('resize', options.onResize);
    if (input.isTTY) input.setRawMode(true);
    input.on('data', this.#take);
    input.resume();
    // Whatever ends the process.
    process.once('exit', this.#close);
  }

  get columns(): number {
    return this.#options.output.columns || 80;
  }

  get rows(): number {
    return this.#options.output.rows || 24;
  }

  draw(lines: readonly string[], head: number): void {
    if (!this.#isOpen) return;
    const text = lines.map(
      (line, at) => `${at === head ? bold + line.padEnd(this.columns) + plain : line}${clearLine}`,
    );
    this.#options.output.write(`${home}${text.join('\r\n')}${clearBelow}`);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const { input, output, onResize } = this.#options;
    process.off('exit', this.#close);
    output.off('resize', onResize);
    input.off('data', this.#take);
    if (input.isTTY) input.setRawMode(false);
    input.pause();
    output.write(leave);
  }
}
