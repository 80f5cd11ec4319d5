/** A directory of 100,000 entries. */
import { strict as assert } from 'node:assert';
import * as nodeFs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ok } from '../../testing/mod.ts';
import { call, page, workplace } from './fixture.test.ts';

const place = workplace();

describe('a directory of 100,000 entries', () => {
  it('is listed whole in bounded steps while entries are removed behind the reader', async () => {
    // Names of four files: quicker than so many files, and the same to a directory.
    const sources = [0, 1, 2, 3].map((index) => join(place.top, `source-${index}`));
    for (const source of sources) nodeFs.writeFileSync(source, '');
    for (let i = 0; i < 100_000; i++) nodeFs.linkSync(sources[i % 4]!, join(place.exported, `entry-${i}`));
    const filesystem = await place.start();
    const seen = new Set<string>();
    let cookie = 0n;
    let pages = 0;
    for (;;) {
      const list = pages % 8 === 7 ? filesystem.readdirplus : filesystem.readdir;
      const reply = ok(await list.call(filesystem, call, page(filesystem.root, cookie)));
      assert.ok(reply.entries.length > 0 || reply.eof);
      for (const entry of reply.entries) {
        assert.ok(!seen.has(entry.name), `${entry.name} twice`);
        seen.add(entry.name);
      }
      if (reply.eof) break;
      cookie = reply.entries.at(-1)!.cookie;
      if (pages++ % 4 === 0) nodeFs.unlinkSync(join(place.exported, reply.entries.at(-1)!.name));
    }
    assert.equal(seen.size, 100_002);
  });
});
