/** The origin is killed in the middle of write-back, and started again: nothing is lost, though its write verifier changed. */
import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { seededRandom } from '../../src/base/mod.ts';
import { type Ganesha, startGanesha } from '../support/ganesha.ts';
import { until } from '../support/programs.ts';
import { Bed } from './bed.ts';
import { Client } from './client.ts';
import { assertVersions, blockBytes, blockContent, fileContent } from './content.ts';
import type { Round } from './round.ts';

const blocks = 4096;
const writes = 500;

export type OriginKind = 'nfs-ganesha' | 'viaduct serve';

export async function originRestart(
  round: number,
  options: { readonly kind: OriginKind; readonly restarts: number },
): Promise<Round> {
  const random = seededRandom(round);
  // Two seconds of write-back, so that the restart falls into it.
  const more = ['--write-back-rate', '1M'];
  const listen = '127.0.0.3:20493';
  return await Bed.use({ name: 'origin', after: '1h', listen, more }, async (bed) => {
    const image = join(bed.exported, 'image');
    const expected = new Array<number>(blocks).fill(1);
    await writeFile(image, fileContent(blocks, 1));
    const ganesha = options.kind === 'nfs-ganesha' ? await start(bed) : undefined;
    if (ganesha === undefined) await bed.startOrigin();
    await bed.startProxy();
    const client = await Client.open('nfs://127.0.0.3:20493/?mountport=20493');
    bed.atEnd(() => client.close());
    const file = await client.file('image');
    const write = async (): Promise<void> => {
      for (let i = 0; i < writes; i++) {
        const block = random.uint32() % blocks;
        expected[block]!++;
        await file.write(block * blockBytes, blockContent(block, expected[block]!));
        // Several epochs, which have blocks in common.
        if (i % 100 === 99) await file.commit();
      }
      await file.commit();
    };
    for (let restart = 1; restart <= options.restarts; restart++) {
      await write();
      const before = await stat(image, { bigint: true });
      let isOver = false;
      const ended = bed.writeBack().finally(() => {
        isOver = true;
      });
      await until('a part is written back', async () => (await stat(image, { bigint: true })).mtimeNs > before.mtimeNs);
      await new Promise((resolve) => setTimeout(resolve, random.uint32() % 400));
      assert.equal(isOver, false, 'write-back was over before the origin was killed');
      if (ganesha !== undefined) await ganesha.restart();
      else {
        await bed.killOrigin();
        await bed.startOrigin();
      }
      const outcome = await ended;
      assert.equal(outcome.code, 0, `${outcome.stdout}${outcome.stderr}`);
      assertVersions(await readFile(image), expected);
    }
    await bed.assertOnly(['image']);
    await bed.stopProxy();
    return { origin: options.kind, writes: writes * options.restarts };
  });
}

async function start(bed: Bed): Promise<Ganesha> {
  const ganesha = await startGanesha({ exported: bed.exported, scratch: bed.scratch });
  bed.atEnd(() => ganesha.stop());
  bed.origin = ganesha.origin;
  return ganesha;
}
