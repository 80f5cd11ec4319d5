/**
 * The workload in one guest twice at once: on the kernel's NFS mount of a proxy, and on a local ext4. What the two runs say must be the
 * same, and what the guest wrote must lie in the origin's directory.
 *
 *     guest    node workload.ts /tmp/scratch   ext4                                        lines `EXT4 STEP name result`
 *              node workload.ts /tmp/nfs       NFS ──► proxy ──► serve ──► `exported`      lines `NFS STEP name result`
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { proxy, serve } from '../support/viaduct.ts';
import { type Kernel, type MicroVmResult, mountCommand, runMicroVm } from './microvm.ts';

export interface ComparisonOptions {
  /** An empty folder. */
  readonly scratch: string;
  readonly smallFiles: number;
  readonly wholeMs: number;
  readonly onLine?: (line: string) => void;
}

const proxyPort = 20_049;
const stepCount = 14;

export class Comparison {
  readonly result: MicroVmResult;
  readonly #exported: string;
  readonly #smallFiles: number;

  static async run(kernel: Kernel, options: ComparisonOptions): Promise<Comparison> {
    const { scratch, smallFiles, wholeMs, onLine } = options;
    const exported = join(scratch, 'exported');
    await mkdir(exported);
    const server = await serve(exported, '127.0.0.2:20049');
    try {
      const cache = join(scratch, 'cache');
      const through = await proxy({ origin: 'nfs://127.0.0.2:20049/', listen: `127.0.0.1:${proxyPort}`, cache });
      try {
        const result = await runMicroVm(kernel, {
          memoryMiB: 640,
          scratchMiB: 256,
          wholeMs,
          ...(onLine && { onLine }),
          files: { '/app/workload.ts': join(import.meta.dirname, 'workload.ts') },
          script: `${mountCommand(proxyPort, '/tmp/nfs')} || exit 91
node /app/workload.ts /tmp/scratch ${smallFiles} 2>&1 | sed 's/^/EXT4 /' &
node /app/workload.ts /tmp/nfs ${smallFiles} 2>&1 | sed 's/^/NFS /'
wait
umount /tmp/nfs || exit 92`,
        });
        return new Comparison(result, exported, smallFiles);
      } finally {
        await through.stop();
      }
    } finally {
      await server.stop();
    }
  }

  private constructor(result: MicroVmResult, exported: string, smallFiles: number) {
    this.result = result;
    this.#exported = exported;
    this.#smallFiles = smallFiles;
  }

  /** It mounted the proxy, ran the script and unmounted. */
  assertEnded(): void {
    assert.equal(this.result.exitCode, 0, this.#lastLines());
  }

  assertSame(): void {
    const local = this.#steps('EXT4');
    const remote = this.#steps('NFS');
    assert.equal(local.size, stepCount, this.#lastLines());
    for (const [name, value] of local) {
      assert.doesNotMatch(value, /FAILED/, name);
      assert.equal(remote.get(name), value, name);
    }
  }

  assertNoComplaints(): void {
    const complaint = /nfs: server|not responding|Call Trace|BUG:|hung_task|I\/O error/;
    assert.deepEqual(
      this.result.lines.filter((line) => complaint.test(line)),
      [],
    );
  }

  /** What the guest wrote is what lies in the origin's directory. */
  async assertAtOrigin(): Promise<void> {
    const digest = (data: Buffer): string => createHash('sha256').update(data).digest('hex').slice(0, 16);
    const steps = this.#steps('NFS');
    const work = join(this.#exported, 'work');
    const written = await readFile(join(work, 'shared'));
    assert.equal(steps.get('concurrentWriters'), `${written.length} ${digest(written)}`);
    const large = await readFile(join(work, 'large'));
    assert.equal(steps.get('largeFile'), `${large.length} ${digest(large)}`);
    // Every third was removed.
    const left = this.#smallFiles - Math.ceil(this.#smallFiles / 3);
    assert.equal((await readdir(join(work, 'small'))).length, left);
    assert.equal(
      (await readdir(work)).some((name) => name.startsWith('.nfs')),
      false,
    );
  }

  /** How long each step took on NFS, in milliseconds. */
  times(): Record<string, number> {
    const matches = this.result.lines.map((line) => /NFS TIME (\w+) (\d+) ms$/.exec(line));
    return Object.fromEntries(matches.flatMap((match) => (match === null ? [] : [[match[1]!, Number(match[2])]])));
  }

  /** `STEP name result` of one of the two runs, by name. */
  #steps(prefix: 'EXT4' | 'NFS'): Map<string, string> {
    const found = new Map<string, string>();
    for (const line of this.result.lines) {
      const match = new RegExp(`${prefix} STEP (\\w+) (.*)$`).exec(line);
      if (match !== null) found.set(match[1]!, match[2]!);
    }
    return found;
  }

  #lastLines(): string {
    return this.result.lines.slice(-30).join('\n');
  }
}
