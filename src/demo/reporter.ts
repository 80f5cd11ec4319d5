/**
 * Progress for people: one line that is rewritten on a terminal, a line for each event elsewhere. Goes to stderr, so that the
 * result on stdout can be read by a program.
 */
import type { WriteStream } from 'node:tty';
import { type Clock, sleep } from '../base/mod.ts';
import type { StageEvent } from './stages.ts';
import { stageTitle } from './table.ts';
import type { BuildProgress } from './workshop.ts';

export interface Reporter extends BuildProgress {
  stage(event: StageEvent): void;
  /** A line that stays. */
  note(text: string): void;
  close(): void;
}

export function createReporter(output: NodeJS.WriteStream | WriteStream, clock: Clock): Reporter {
  return output.isTTY ? new LiveReporter(output, clock) : new PlainReporter(output);
}

class PlainReporter implements Reporter {
  readonly #output: NodeJS.WriteStream;

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
  }

  step(index: number, count: number, text: string): void {
    this.note(`guest: step ${index + 1} of ${count}: ${text}`);
  }

  detail(): void {}

  stage(event: StageEvent): void {
    const text = describeLasting(event);
    if (text !== undefined) this.note(text);
  }

  note(text: string): void {
    this.#output.write(`${text}\n`);
  }

  close(): void {}
}

const frameMs = 100;
const wheel = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏';

class LiveReporter implements Reporter {
  readonly #output: NodeJS.WriteStream;
  readonly #clock: Clock;
  #line = '';
  #since: number;
  #frame = 0;
  #open = true;

  constructor(output: NodeJS.WriteStream, clock: Clock) {
    this.#output = output;
    this.#clock = clock;
    this.#since = clock.now();
    void this.#turn();
  }

  step(index: number, count: number, text: string): void {
    this.#show(`guest: step ${index + 1} of ${count}: ${text}`);
  }

  detail(text: string): void {
    this.#line = `${this.#line.split(' — ')[0]} — ${text}`;
  }

  stage(event: StageEvent): void {
    if (event.kind === 'start') this.#show(`${stageTitle(event.stage)}: start`);
    else if (event.kind === 'step') this.#line = `${stageTitle(event.stage)}: ${event.step}`;
    else this.note(describeLasting(event)!);
  }

  note(text: string): void {
    this.#output.write(`\r\x1b[K${text}\n`);
    this.#line = '';
  }

  close(): void {
    this.#open = false;
    this.#output.write('\r\x1b[K');
  }

  #show(line: string): void {
    this.#line = line;
    this.#since = this.#clock.now();
  }

  async #turn(): Promise<void> {
    while (this.#open) {
      if (this.#line !== '') {
        const seconds = ((this.#clock.now() - this.#since) / 1000).toFixed(1);
        const text = `${wheel[this.#frame++ % wheel.length]} ${seconds.padStart(5)} s  ${this.#line}`;
        this.#output.write(`\r\x1b[K${text.slice(0, (this.#output.columns ?? 80) - 1)}`);
      }
      await sleep(this.#clock, frameMs);
    }
  }
}

/** The line of an event that is worth keeping. */
function describeLasting(event: StageEvent): string | undefined {
  if (event.kind === 'accelerator')
    return event.accelerator === 'kvm' ? 'QEMU uses KVM' : 'KVM does not work here: QEMU emulates the CPU (TCG)';
  if (event.kind === 'start') return `${stageTitle(event.stage)}: booting`;
  if (event.kind === 'step') return undefined;
  const { stage, elapsedMs, reads, readBytes, downBytes } = event.result;
  const link = stage === 'local' ? '' : `, ${(downBytes / 1e6).toFixed(1)} MB over the link`;
  return (
    `${stageTitle(stage)}: ready after ${(elapsedMs / 1000).toFixed(1)} s ` +
    `(${reads} reads, ${(readBytes / 1e6).toFixed(1)} MB${link})`
  );
}
