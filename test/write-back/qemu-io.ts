/** One `qemu-io` on an image, kept open: a command at a time, each answered by the next prompt. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';

const prompt = 'qemu-io> ';

export class QemuIo {
  readonly #child: ChildProcess;
  #said = '';
  #errors = '';
  #wake: () => void = () => {};

  static async open(url: string, { isReadOnly = false } = {}): Promise<QemuIo> {
    const args = [...(isReadOnly ? ['-r'] : []), '-f', 'raw', url];
    const io = new QemuIo(spawn('qemu-io', args, { stdio: ['pipe', 'pipe', 'pipe'] }));
    await io.#answer();
    return io;
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
      this.#wake();
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    child.stdin!.on('error', () => {});
    child.once('close', () => this.#wake());
  }

  /** Sends commands one by one; rejects if one fails, or if what was read is not the pattern. */
  async run(...commands: readonly string[]): Promise<void> {
    for (const command of commands) {
      this.#child.stdin!.write(`${command}\n`);
      const answer = await this.#answer();
      if (/failed|error|invalid/i.test(answer) || this.#errors !== '')
        throw new Error(`qemu-io: ${command}: ${answer}${this.#errors}`);
    }
  }

  /** Any bytes: qemu-io takes them from a file. */
  async writeBytes(offset: number, data: Buffer, file: string): Promise<void> {
    await writeFile(file, data);
    await this.run(`write -s ${file} ${offset} ${data.length}`);
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }

  async close(): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.stdin!.end('quit\n');
    const [code] = await gone;
    if (code !== 0) throw new Error(`qemu-io ended with ${code}: ${this.#errors}`);
  }

  async #answer(): Promise<string> {
    for (;;) {
      const end = this.#said.indexOf(prompt);
      if (end >= 0) {
        const answer = this.#said.slice(0, end);
        this.#said = this.#said.slice(end + prompt.length);
        return answer;
      }
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        throw new QemuIoGone(`qemu-io is gone: ${this.#said}${this.#errors}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** It ended, or was killed, before it answered. */
export class QemuIoGone extends Error {}
