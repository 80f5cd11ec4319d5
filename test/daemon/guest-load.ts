/**
 * A guest's kernel as a client: it mounts a session, writes files, syncs them, forgets what it has cached, and reads them back. It stops
 * when it is told to over a connection, and says how many files it wrote.
 *
 *     guest ── mount ──► session          lines: WORK, DONE n, FILE name sha256 (the last of each name), ERROR ...
 *       └──── nc ──────► this process     a byte: stop
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { type Kernel, type MicroVmResult, mountCommand, runMicroVm } from '../kernel/microvm.ts';
import { sha256File } from '../support/programs.ts';
import { assertNoErrors } from '../write-back/guest-lines.ts';
import type { Load } from './load.ts';

const signalPort = 20_060;
const errors = /ERROR|I\/O error|Call Trace|BUG:|Stale|stale/;

function script(port: number): string {
  return `
${mountCommand(port, '/tmp/nfs')} || exit 91
cd /tmp/nfs
nc 10.0.2.2 ${signalPort} >/tmp/stop </dev/zero &
signal=$!
echo WORK
i=0
while [ ! -s /tmp/stop ]; do
  i=$((i + 1)); name=file-$((i % 7))
  dd if=/dev/urandom of=/tmp/own bs=4k count=$((1 + i % 40)) 2>/dev/null
  dd if=/tmp/own of=$name bs=16k conv=fsync 2>/dev/null || echo "ERROR write $name"
  sum=$(sha256sum </tmp/own | cut -c1-64)
  echo 3 >/proc/sys/vm/drop_caches
  [ "$(sha256sum <$name | cut -c1-64)" = "$sum" ] || echo "ERROR read $name"
  echo "FILE $name $sum"
  echo "DONE $i"
done
kill $signal
cd /
umount /tmp/nfs || exit 92
`;
}

export class GuestLoad implements Load {
  done = 0;
  longestMs = 0;
  /** It has mounted the session; rejects if it ended instead. */
  readonly begun: Promise<void>;
  readonly #running: Promise<MicroVmResult>;
  readonly #power = new AbortController();
  readonly #server: Server;
  #signal: Socket | undefined;
  #lastMs = 0;

  /** `address`: of the session, on this host's loopback. */
  static boot(kernel: Kernel, address: string): GuestLoad {
    return new GuestLoad(kernel, Number(address.split(':')[1]));
  }

  private constructor(kernel: Kernel, port: number) {
    const begun = Promise.withResolvers<void>();
    this.#server = createServer((socket) => {
      this.#signal = socket.on('error', () => {}).resume();
    }).listen(signalPort, '127.0.0.1');
    this.#running = runMicroVm(kernel, {
      ...{ memoryMiB: 160, node: false, script: script(port), wholeMs: 400_000, signal: this.#power.signal },
      onLine: (line) => {
        if (line === 'WORK') begun.resolve();
        if (line.startsWith('DONE ')) this.#hear(Number(line.slice(5)));
      },
    });
    this.begun = Promise.race([
      begun.promise,
      this.#running.then(({ lines }) => assert.fail(`the guest did not begin: ${lines.slice(-20).join('\n')}`)),
    ]);
    // Whoever waits for it hears of it.
    this.begun.catch(() => {});
  }

  #hear(done: number): void {
    const now = performance.now();
    if (this.done > 0) this.longestMs = Math.max(this.longestMs, now - this.#lastMs);
    this.#lastMs = now;
    this.done = done;
  }

  async stop(): Promise<void> {
    assert.ok(this.#signal !== undefined, 'the guest did not connect');
    this.#signal.end('stop');
    const { exitCode, lines } = await this.#running;
    this.#server.close();
    assertNoErrors(lines, errors);
    assert.equal(exitCode, 0, lines.slice(-20).join('\n'));
  }

  /** Throws unless what the guest said last of each file lies in that folder. */
  async assertIn(folder: string): Promise<void> {
    const last = new Map<string, string>();
    for (const line of (await this.#running).lines) {
      const match = /^FILE (\S+) ([0-9a-f]{64})$/.exec(line);
      if (match !== null) last.set(match[1]!, match[2]!);
    }
    assert.ok(last.size > 0, 'the guest wrote nothing');
    for (const [name, sum] of last) assert.equal(await sha256File(join(folder, name)), sum, name);
  }

  async kill(): Promise<void> {
    this.#power.abort();
    this.#signal?.destroy();
    if (this.#server.listening) {
      this.#server.close();
      await once(this.#server, 'close');
    }
    await this.#running.catch(() => {});
  }
}
