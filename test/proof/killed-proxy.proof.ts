/**
 * A proxy that is killed in the middle of reads and writes, and started again on its cache, shows exactly what the origin has, and
 * the origin has every write that was answered as stable.
 *
 * Each block of the file has at most one write in flight, so after the kill a block holds what was last acknowledged or what was
 * under way, and nothing else.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Random, seededRandom, silentLog, systemClock, systemRandom } from '../../src/base/mod.ts';
import { openNfsOrigin, parseOrigin } from '../../src/origins/mod.ts';
import { type Call, credential, type Filesystem, Stability } from '../../src/vfs/mod.ts';
import { run } from '../support/programs.ts';
import { proxy, serve } from '../support/viaduct.ts';
import type { Proof } from './proof.ts';

const blockBytes = 4096;
const blocks = 4096;
const lanes = 16;
const call: Call = { credential: credential(0, 0), peer: 'proof', priority: 'demand' };

interface Model {
  /** What each block may hold: the last acknowledged content first. */
  readonly allowed: Buffer[][];
  reads: number;
  writes: number;
  wrongReads: number;
}

async function openFile(port: number): Promise<{ filesystem: Filesystem; object: string }> {
  const address = parseOrigin(`nfs://127.0.0.1:${port}/`);
  assert.ok(address.kind === 'nfs');
  const options = { clock: systemClock, log: silentLog, random: systemRandom, credential: call.credential };
  const filesystem = await openNfsOrigin({ ...options, address, connections: 2 });
  const found = await filesystem.lookup(call, { directory: filesystem.root, name: 'image' });
  assert.ok(found.status === 0);
  return { filesystem, object: found.object };
}

/** Reads and writes at random until the proxy is gone. */
async function work(filesystem: Filesystem, object: string, random: Random, model: Model, lane: number): Promise<void> {
  for (;;) {
    const block = ((random.uint32() % (blocks / lanes)) * lanes + lane) % blocks;
    const offset = block * blockBytes;
    if (random.uint32() % 3 === 0) {
      const data = Buffer.from(random.bytes(Buffer.alloc(blockBytes)));
      model.allowed[block]!.push(data);
      const stable = Stability.FILE_SYNC;
      const reply = await filesystem.write(call, { object, offset, count: blockBytes, stable, data: [data] });
      assert.ok(reply.status === 0 && reply.count === blockBytes);
      model.allowed[block] = [data];
      model.writes++;
    } else {
      const reply = await filesystem.read(call, { object, offset, count: blockBytes });
      assert.ok(reply.status === 0);
      if (!Buffer.concat(reply.data as Uint8Array[]).equals(model.allowed[block]![0]!)) model.wrongReads++;
      reply.release?.();
      model.reads++;
    }
  }
}

async function readAll(filesystem: Filesystem, object: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let offset = 0; offset < blocks * blockBytes; ) {
    const reply = await filesystem.read(call, { object, offset, count: 65_536 });
    assert.ok(reply.status === 0 && reply.count > 0);
    parts.push(Buffer.concat(reply.data as Uint8Array[]));
    reply.release?.();
    offset += reply.count;
  }
  return Buffer.concat(parts);
}

export const proof: Proof = {
  claim: 'a proxy killed amid reads and writes serves the origin’s bytes afterwards, and no stable write is lost',
  rounds: 50,
  async run(round) {
    const random = seededRandom(round);
    const scratch = await mkdtemp(join(tmpdir(), 'viaduct-proof-'));
    const exported = join(scratch, 'exported');
    const cache = join(scratch, 'cache');
    await mkdir(exported);
    const image = Buffer.from(random.bytes(Buffer.alloc(blocks * blockBytes)));
    await writeFile(join(exported, 'image'), image);
    const model: Model = { allowed: [], reads: 0, writes: 0, wrongReads: 0 };
    for (let i = 0; i < blocks; i++) model.allowed.push([image.subarray(i * blockBytes, (i + 1) * blockBytes)]);
    const server = await serve(exported, '127.0.0.1:20060');
    const options = { origin: 'nfs://127.0.0.1:20060/', listen: '127.0.0.1:20061', cache };
    try {
      for (let life = 0; life < 3; life++) {
        const near = await proxy(options);
        const client = await openFile(20_061);
        const working = Array.from({ length: lanes }, (_, lane) =>
          work(client.filesystem, client.object, random, model, lane).catch((error) => {
            if (error instanceof assert.AssertionError && !(near.child.killed || near.child.exitCode !== null))
              throw error;
          }),
        );
        await new Promise((resolve) => setTimeout(resolve, 100 + (random.uint32() % 900)));
        near.child.kill('SIGKILL');
        await once(near.child, 'exit');
        await client.filesystem.close();
        await Promise.all(working);
        const again = await proxy(options);
        const reader = await openFile(20_061);
        try {
          const seen = await readAll(reader.filesystem, reader.object);
          const stored = await readFile(join(exported, 'image'));
          assert.ok(seen.equals(stored), `life ${life}: the proxy shows other bytes than the origin has`);
          for (let i = 0; i < blocks; i++) {
            const content = stored.subarray(i * blockBytes, (i + 1) * blockBytes);
            assert.ok(
              model.allowed[i]!.some((data) => data.equals(content)),
              `life ${life}: block ${i} lost a stable write`,
            );
            model.allowed[i] = [Buffer.from(content)];
          }
        } finally {
          await reader.filesystem.close();
          await again.stop();
        }
      }
      assert.equal(model.wrongReads, 0);
      const said = await run('bin/viaduct', ['cache', 'verify', cache, '--json']);
      const verified = JSON.parse(said.toString()) as { goodSectors: number; badSectors: number };
      assert.equal(verified.badSectors, 0);
      return { reads: model.reads, writes: model.writes, 'good sectors': verified.goodSectors };
    } finally {
      await server.stop();
      await rm(scratch, { recursive: true, force: true });
    }
  },
};
