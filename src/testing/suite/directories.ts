/** Cases on READDIR and READDIRPLUS (RFC 1813 3.3.16, 3.3.17). */
import { strict as assert } from 'node:assert';
import { Status, type Verifier } from '../../vfs/mod.ts';
import { type Define, ok, refused, type Workbench } from './workbench.ts';

const start = { cookie: 0n, cookieVerifier: '\0'.repeat(8) as Verifier };

async function fill(bench: Workbench, count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, index) => `entry-${String(index).padStart(5, '0')}`);
  for (let i = 0; i < count; i += 100) await Promise.all(names.slice(i, i + 100).map((name) => bench.file(name)));
  return names;
}

export function directoryCases(define: Define): void {
  define('READDIR of an empty directory ends at once', async (bench) => {
    assert.deepEqual(await bench.entries(bench.directory), []);
    assert.deepEqual(await bench.entries(bench.directory, { plus: true }), []);
  });

  define('READDIR gives each of many entries once, in pages of any size, with cookies that differ', async (bench) => {
    const names = await fill(bench, bench.capabilities.entries);
    for (const options of [
      { directoryBytes: 1024 },
      { directoryBytes: 8192 },
      { plus: true, directoryBytes: 4096, replyBytes: 8192 },
      { plus: true, directoryBytes: 32768, replyBytes: 65536 },
    ]) {
      const entries = await bench.entries(bench.directory, options);
      assert.deepEqual(entries.map((entry) => entry.name).sort(), names, JSON.stringify(options));
      assert.equal(new Set(entries.map((entry) => entry.cookie)).size, names.length, 'cookies differ');
      assert.equal(new Set(entries.map((entry) => entry.fileid)).size, names.length, 'fileids differ');
    }
  });

  define('READDIRPLUS gives attributes and handles as LOOKUP does, where it gives them', async (bench) => {
    await fill(bench, 20);
    await bench.folder('folder');
    for (const entry of await bench.entries(bench.directory, { plus: true })) {
      const found = ok(await bench.filesystem.lookup(bench.call, bench.at(entry.name)));
      const attributes = await bench.attributes(found.object);
      assert.equal(entry.fileid, attributes.fileid);
      if (entry.object !== undefined) assert.equal(entry.object, found.object);
      if (entry.attributes !== undefined) assert.deepEqual(entry.attributes, attributes);
    }
  });

  define('a page can be read again from any cookie', async (bench) => {
    await fill(bench, 100);
    const all = await bench.entries(bench.directory, { directoryBytes: 512 });
    const { filesystem, call, directory } = bench;
    const args = { directory, ...start, directoryBytes: 512, replyBytes: 4096 };
    const first = ok(await filesystem.readdir(call, args));
    for (const index of [0, 10, 50, 98]) {
      const { cookie } = all[index]!;
      const reply = await filesystem.readdir(call, { ...args, cookie, cookieVerifier: first.cookieVerifier });
      const next = ok(reply).entries.find((entry) => entry.name !== '.' && entry.name !== '..');
      assert.equal(next?.name, all[index + 1]!.name, `after entry ${index}`);
    }
  });

  define('entries that stay are seen once while others come and go', async (bench) => {
    const names = await fill(bench, 300);
    const { filesystem, call, directory } = bench;
    const seen: string[] = [];
    let { cookie, cookieVerifier } = start;
    for (let page = 0; ; page++) {
      const args = { directory, cookie, cookieVerifier, directoryBytes: 1024, replyBytes: 4096 };
      const reply = ok(await filesystem.readdir(call, args));
      seen.push(...reply.entries.map((entry) => entry.name).filter((name) => name.startsWith('entry-')));
      if (reply.eof) break;
      cookie = reply.entries.at(-1)!.cookie;
      cookieVerifier = reply.cookieVerifier;
      if (page < 5) {
        const gone = seen.at(-1)!;
        ok(await filesystem.remove(call, bench.at(gone)));
        await bench.file(`new-${page}`);
      }
    }
    assert.deepEqual(seen.sort(), names);
  });

  define('the byte limits are kept, and one too small for any entry is TOOSMALL', async (bench) => {
    const { filesystem, call, directory } = bench;
    for (let i = 0; i < 20; i++) await bench.file(`${'n'.repeat(200)}${i}`);
    for (const directoryBytes of [512, 1024, 4096]) {
      const args = { directory, ...start, directoryBytes, replyBytes: directoryBytes };
      const reply = ok(await filesystem.readdir(call, args));
      const bytes = reply.entries.reduce((sum, { name }) => sum + 24 + ((name.length + 3) & ~3), 16);
      assert.ok(bytes <= directoryBytes, `${bytes} of ${directoryBytes} bytes`);
    }
    const args = { directory, ...start, directoryBytes: 16, replyBytes: 16 };
    refused(await filesystem.readdir(call, args), Status.TOOSMALL);
    refused(await filesystem.readdirplus(call, args), Status.TOOSMALL);
  });

  define('READDIR of a file is NOTDIR', async (bench) => {
    const directory = await bench.file('a');
    const args = { directory, ...start, directoryBytes: 4096, replyBytes: 4096 };
    refused(await bench.filesystem.readdir(bench.call, args), Status.NOTDIR);
    refused(await bench.filesystem.readdirplus(bench.call, args), Status.NOTDIR);
  });

  define('a cookie that was never given does not break anything', async (bench) => {
    await fill(bench, 10);
    const { filesystem, call, directory } = bench;
    const first = ok(await filesystem.readdir(call, { directory, ...start, directoryBytes: 4096, replyBytes: 4096 }));
    for (const cookie of [12345n, 0x7fff_ffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn]) {
      const args = { directory, cookie, cookieVerifier: first.cookieVerifier, directoryBytes: 4096, replyBytes: 4096 };
      const reply = await filesystem.readdir(call, args);
      if (reply.status !== 0) refused(reply, Status.BAD_COOKIE, Status.INVAL);
    }
    assert.equal((await bench.names()).length, 10);
  });
}
