/**
 * What a user does with a file system, as a script that runs inside a guest: once on the kernel's NFS mount, once on a local ext4.
 * Each step prints one line `STEP name result`, where the result depends only on what POSIX promises, so that the two runs must print
 * the same lines; lines that begin otherwise tell how far it is. Runs on Node alone (and koffi for mmap); it imports nothing of the project.
 *
 *     node workload.ts DIRECTORY [SMALL-FILES]
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';

const [directory = '', smallFiles = '10000'] = process.argv.slice(2);
const root = path.join(directory, 'work');

/** By words: the guest's processor is an emulated one, and this is most of what it computes. */
function bytes(seed: number, length: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = seed >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[i] = state;
  }
  return Buffer.from(words.buffer, 0, length);
}

function digest(...parts: (string | Buffer)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex').slice(0, 16);
}

function errorCode(action: () => unknown): string {
  try {
    action();
    return 'OK';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

/** Names, types, modes, link counts, sizes and contents below `top`, as one digest. */
function treeDigest(top: string): string {
  const lines: string[] = [];
  const walk = (folder: Buffer): void => {
    for (const name of fs.readdirSync(folder, { encoding: 'buffer' }).sort(Buffer.compare)) {
      const full = Buffer.concat([folder, Buffer.from('/'), name]);
      const stat = fs.lstatSync(full);
      const shown = `${full.toString('latin1').slice(top.length)} ${stat.mode.toString(8)}`;
      if (stat.isDirectory()) lines.push(shown);
      else if (stat.isSymbolicLink()) lines.push(`${shown} ${stat.nlink} ${fs.readlinkSync(full)}`);
      else lines.push(`${shown} ${stat.nlink} ${stat.size} ${digest(fs.readFileSync(full))}`);
      if (stat.isDirectory()) walk(full);
    }
  };
  walk(Buffer.from(top));
  return `${lines.length} ${digest(lines.join('\n'))}`;
}

const at = (name: string): string => path.join(root, name);

/** Of small files: every thousandth says that the work goes on. */
function tellProgress(what: string, index: number): void {
  if (index % 999 === 0) console.log(`PROGRESS ${what} ${index}`);
}

const steps: Record<string, () => string | Promise<string>> = {
  copyTree() {
    for (let d = 0; d < 8; d++) {
      fs.mkdirSync(at(`tree/d${d}/sub`), { recursive: true });
      for (let f = 0; f < 12; f++) fs.writeFileSync(at(`tree/d${d}/sub/f${f}`), bytes(d * 100 + f, f * 9973));
      fs.symlinkSync(`sub/f${d}`, at(`tree/d${d}/link`));
    }
    fs.chmodSync(at('tree/d1/sub/f1'), 0o4750);
    fs.cpSync(at('tree'), at('copy'), { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
    return `${treeDigest(at('tree'))} ${treeDigest(at('copy'))}`;
  },

  largeFile() {
    const descriptor = fs.openSync(at('large'), 'w+');
    for (let i = 0; i < 24; i++) fs.writeSync(descriptor, bytes(i, 1 << 20), 0, 1 << 20, i << 20);
    fs.fsyncSync(descriptor);
    for (let i = 0; i < 200; i++) fs.writeSync(descriptor, bytes(1000 + i, 4096), 0, 4096, ((i * 7919) % 6000) * 4096);
    fs.closeSync(descriptor);
    return `${fs.statSync(at('large')).size} ${digest(fs.readFileSync(at('large')))}`;
  },

  memoryMap() {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    const libc = koffi.load('libc.so.6');
    const mmap = libc.func('void *mmap(void *, size_t, int, int, int, int64_t)');
    const munmap = libc.func('int munmap(void *, size_t)');
    const msync = libc.func('int msync(void *, size_t, int)');
    const memset = libc.func('void *memset(void *, int, size_t)');
    const length = 4 << 20;
    fs.writeFileSync(at('mapped'), bytes(5, length));
    const descriptor = fs.openSync(at('mapped'), 'r+');
    const address = mmap(null, length, 3, 1, descriptor, 0) as unknown;
    const view = Buffer.from(koffi.view(address, length));
    const before = digest(view);
    for (let offset = 100; offset < length; offset += 65_537) view[offset] = (view[offset] ?? 0) ^ 0xff;
    memset(address, 0x5a, 5000);
    const synced = msync(address, length, 4) as number;
    munmap(address, length);
    fs.closeSync(descriptor);
    return `${before} ${synced} ${digest(fs.readFileSync(at('mapped')))}`;
  },

  rename() {
    fs.mkdirSync(at('r1/inner'), { recursive: true });
    fs.mkdirSync(at('r2'));
    fs.writeFileSync(at('r1/a'), 'a');
    fs.writeFileSync(at('r1/b'), 'bb');
    fs.renameSync(at('r1/a'), at('r2/a'));
    fs.renameSync(at('r1/b'), at('r2/a'));
    const errors = [
      errorCode(() => fs.renameSync(at('r1'), at('r1/inner/x'))),
      errorCode(() => fs.renameSync(at('r2/a'), at('r1/inner'))),
      errorCode(() => fs.renameSync(at('r1/inner'), at('r2/a'))),
      errorCode(() => fs.renameSync(at('r2'), at('r1'))),
      errorCode(() => fs.renameSync(at('missing'), at('r1/x'))),
    ];
    const descriptor = fs.openSync(at('r2/a'), 'r');
    fs.writeFileSync(at('r2/new'), 'replacement');
    fs.renameSync(at('r2/new'), at('r2/a'));
    const old = fs.readFileSync(descriptor, 'utf8');
    fs.closeSync(descriptor);
    return `${errors.join(',')} ${old} ${fs.readFileSync(at('r2/a'), 'utf8')} ${treeDigest(at('r1'))}`;
  },

  truncate() {
    fs.writeFileSync(at('t'), bytes(9, 100_000));
    fs.truncateSync(at('t'), 12_345);
    fs.truncateSync(at('t'), 300_000);
    const descriptor = fs.openSync(at('t'), 'r+');
    fs.writeSync(descriptor, Buffer.from('end'), 0, 3, 5_000_000);
    fs.closeSync(descriptor);
    const stat = fs.statSync(at('t'));
    return `${stat.size} ${stat.blocks * 512 < stat.size} ${digest(fs.readFileSync(at('t')))}`;
  },

  append() {
    const descriptor = fs.openSync(at('log'), 'a');
    for (let i = 0; i < 500; i++) fs.writeSync(descriptor, `line ${i}\n`);
    fs.closeSync(descriptor);
    return digest(fs.readFileSync(at('log')));
  },

  hardLinks() {
    fs.writeFileSync(at('h0'), 'linked');
    for (let i = 1; i <= 20; i++) fs.linkSync(at('h0'), at(`h${i}`));
    const most = fs.statSync(at('h7')).nlink;
    for (let i = 0; i < 10; i++) fs.unlinkSync(at(`h${i}`));
    fs.appendFileSync(at('h15'), '!');
    const errors = [
      errorCode(() => fs.linkSync(at('tree'), at('hx'))),
      errorCode(() => fs.linkSync(at('h15'), at('h16'))),
    ];
    return `${most} ${fs.statSync(at('h20')).nlink} ${fs.readFileSync(at('h20'), 'utf8')} ${errors.join(',')}`;
  },

  oddNames() {
    const names = [
      '.hidden',
      ' ',
      '-rf',
      'a\nb',
      '\\',
      'Ä ö 日本',
      '😀',
      'x'.repeat(255),
      '*?[',
      '~',
      '..a',
      '...',
    ].map((name) => Buffer.from(name));
    names.push(Buffer.from([0xff, 0xfe, 0x80, 0x41]), Buffer.from([0x01, 0x7f]));
    fs.mkdirSync(at('odd'));
    for (const name of names) fs.writeFileSync(Buffer.concat([Buffer.from(`${at('odd')}/`), name]), name);
    const errors = [
      errorCode(() => fs.writeFileSync(at(`odd/${'y'.repeat(256)}`), '')),
      errorCode(() => fs.mkdirSync(at('odd/.'))),
      errorCode(() => fs.rmdirSync(at('odd'))),
      errorCode(() => fs.readdirSync(at('h20'))),
      errorCode(() => fs.unlinkSync(at('missing'))),
      errorCode(() => fs.readlinkSync(at('h20'))),
    ];
    const listed = fs.readdirSync(at('odd'), { encoding: 'buffer' }).sort(Buffer.compare);
    const right = listed.every((name) =>
      fs.readFileSync(Buffer.concat([Buffer.from(`${at('odd')}/`), name])).equals(name),
    );
    return `${listed.length} ${digest(Buffer.concat(listed))} ${right} ${errors.join(',')}`;
  },

  attributes() {
    fs.writeFileSync(at('m'), 'm');
    fs.chmodSync(at('m'), 0o640);
    fs.chownSync(at('m'), 1234, 4321);
    fs.utimesSync(at('m'), 1_000_000_000, 1_234_567_890);
    fs.symlinkSync('nowhere', at('dangling'));
    fs.lutimesSync(at('dangling'), 1_000_000_001, 1_234_567_891);
    const stat = fs.statSync(at('m'));
    const link = fs.lstatSync(at('dangling'));
    return `${stat.mode.toString(8)} ${stat.uid} ${stat.gid} ${stat.atimeMs} ${stat.mtimeMs} ${link.mtimeMs} ${link.isSymbolicLink()}`;
  },

  removedWhileOpen() {
    fs.writeFileSync(at('gone'), 'still readable');
    const descriptor = fs.openSync(at('gone'), 'r+');
    fs.unlinkSync(at('gone'));
    fs.writeSync(descriptor, 'STILL', 0);
    const content = Buffer.alloc(14);
    fs.readSync(descriptor, content, 0, 14, 0);
    fs.closeSync(descriptor);
    return `${content.toString()} ${fs.existsSync(at('gone'))}`;
  },

  exclusive() {
    const first = errorCode(() => fs.closeSync(fs.openSync(at('only'), 'wx')));
    const second = errorCode(() => fs.closeSync(fs.openSync(at('only'), 'wx')));
    return `${first} ${second}`;
  },

  async concurrentWriters() {
    const size = 4 << 20;
    const writers = 8;
    fs.writeFileSync(at('shared'), Buffer.alloc(0));
    await Promise.all(
      Array.from({ length: writers }, async (_, writer) => {
        const handle = await fs.promises.open(at('shared'), 'r+');
        for (let block = writer; block < size / 8192; block += writers) {
          await handle.write(bytes(block, 8192), 0, 8192, block * 8192);
        }
        await handle.sync();
        await handle.close();
      }),
    );
    return `${fs.statSync(at('shared')).size} ${digest(fs.readFileSync(at('shared')))}`;
  },

  async smallFiles() {
    const count = Number(smallFiles);
    fs.mkdirSync(at('small'));
    const lanes = 32;
    await Promise.all(
      Array.from({ length: lanes }, async (_, lane) => {
        for (let i = lane; i < count; i += lanes) {
          await fs.promises.writeFile(at(`small/${i}`), `content of ${i}`);
          tellProgress('written', i);
        }
      }),
    );
    const names = fs.readdirSync(at('small')).sort();
    tellProgress('listed', 0);
    const hash = createHash('sha256');
    for (let i = 0; i < count; i += 37) hash.update(fs.readFileSync(at(`small/${i}`)));
    for (let i = 0; i < count; i += 3) {
      fs.unlinkSync(at(`small/${i}`));
      tellProgress('removed', i);
    }
    return `${names.length} ${digest(names.join())} ${hash.digest('hex').slice(0, 16)} ${fs.readdirSync(at('small')).length}`;
  },

  finally() {
    return treeDigest(root);
  },
};

fs.rmSync(root, { recursive: true, force: true });
fs.mkdirSync(root);
process.umask(0o022);
for (const [name, step] of Object.entries(steps)) {
  console.log(`BEGIN ${name}`);
  const startedAt = process.hrtime.bigint();
  let result: string;
  try {
    result = await step();
  } catch (error) {
    result = `FAILED ${(error as Error).stack?.replaceAll('\n', ' | ')}`;
  }
  console.log(`STEP ${name} ${result}`);
  console.log(`TIME ${name} ${Number((process.hrtime.bigint() - startedAt) / 1_000_000n)} ms`);
}
