/** A directory origin does not lead out of its directory, and says what it cannot serve. */
import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import * as nodeFs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ok, refused } from '../../testing/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { call, canMount, create, page, text, walk, workplace } from './fixture.test.ts';

const { Status, FileType } = vfs;
const place = workplace();

describe('the boundary of the export', () => {
  it('is not left by symbolic links, dots or slashes', async () => {
    nodeFs.writeFileSync(join(place.top, 'secret'), 'secret');
    nodeFs.symlinkSync('..', join(place.exported, 'up'));
    nodeFs.symlinkSync(join(place.top, 'secret'), join(place.exported, 'link'));
    const filesystem = await place.start();
    const { root } = filesystem;
    const up = ok(await filesystem.lookup(call, { directory: root, name: 'up' }));
    assert.equal(up.attributes?.type, FileType.SYMLINK);
    refused(await filesystem.lookup(call, { directory: up.object, name: 'secret' }), Status.NOTDIR);
    const link = await walk(filesystem, 'link');
    refused(await filesystem.read(call, { object: link, offset: 0, count: 10 }), Status.INVAL);
    refused(await filesystem.setattr(call, { object: link, set: { size: 0 } }), Status.INVAL);
    assert.equal(ok(await filesystem.lookup(call, { directory: root, name: '..' })).object, root);
    for (const name of ['../secret', 'up/secret', '/etc/passwd', 'a\0b', '', '..\u012fsecret']) {
      refused(await filesystem.lookup(call, { directory: root, name }), Status.ACCES);
      refused(await filesystem.mkdir(call, { where: { directory: root, name }, set: {} }), Status.ACCES);
      refused(await filesystem.remove(call, { directory: root, name }), Status.ACCES);
    }
    const how = { mode: 'unchecked', set: { size: 0 } } as const;
    refused(await filesystem.create(call, { where: { directory: root, name: 'link' }, how }), Status.EXIST);
    const listed = ok(await filesystem.readdir(call, page(root, 0n)));
    const above = listed.entries.find((entry) => entry.name === '..');
    assert.equal(above?.fileid, ok(await filesystem.getattr(call, { object: root })).attributes.fileid);
    assert.equal(nodeFs.readFileSync(join(place.top, 'secret'), 'utf8'), 'secret');
  });

  it('is not left through a directory that became a symbolic link, or was moved out', async () => {
    place.put('a/b/c', 'inside');
    nodeFs.mkdirSync(join(place.top, 'outside/b'), { recursive: true });
    nodeFs.writeFileSync(join(place.top, 'outside/b/c'), 'outside');
    const filesystem = await place.start();
    const folder = await walk(filesystem, 'a/b');
    nodeFs.renameSync(join(place.exported, 'a'), join(place.exported, 'moved'));
    nodeFs.symlinkSync(join(place.top, 'outside'), join(place.exported, 'a'));
    const file = ok(await filesystem.lookup(call, { directory: folder, name: 'c' })).object;
    assert.equal(await text(filesystem, file), 'inside');
    nodeFs.renameSync(join(place.exported, 'moved/b'), join(place.top, 'b'));
    refused(await filesystem.lookup(call, { directory: folder, name: '..' }), Status.STALE, Status.ACCES);
  });

  it('is the mount: another file system below is listed and not entered', { skip: !canMount() }, async () => {
    nodeFs.mkdirSync(join(place.exported, 'mounted'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', join(place.exported, 'mounted')]);
    try {
      nodeFs.writeFileSync(join(place.exported, 'mounted/x'), '');
      const filesystem = await place.start();
      refused(await filesystem.lookup(call, { directory: filesystem.root, name: 'mounted' }), Status.ACCES);
      const entries = ok(await filesystem.readdirplus(call, page(filesystem.root, 0n))).entries;
      const entry = entries.find((one) => one.name === 'mounted');
      assert.ok(entry !== undefined && entry.object === undefined && entry.attributes === undefined);
    } finally {
      execFileSync('umount', [join(place.exported, 'mounted')]);
    }
  });

  it('refuses what is no directory, with a remedy', async () => {
    place.put('file');
    for (const path of [join(place.exported, 'file'), join(place.exported, 'missing')]) {
      await assert.rejects(place.start({ path }), { code: 'ORIGIN_INVALID', remedy: /directory/ });
    }
    nodeFs.mkdirSync(join(place.top, 'state'), { recursive: true });
    nodeFs.writeFileSync(join(place.top, 'state/handle-key'), 'short');
    await assert.rejects(place.start(), { code: 'CONFIGURATION_INVALID' });
  });

  it('answers STALE when the directory is removed while it is served', async () => {
    const filesystem = await place.start();
    nodeFs.rmdirSync(place.exported);
    refused(await filesystem.getattr(call, { object: filesystem.root }), Status.STALE);
    refused(await create(filesystem, 'a'), Status.STALE);
    refused(await filesystem.readdir(call, page(filesystem.root, 0n)), Status.STALE);
  });
});
