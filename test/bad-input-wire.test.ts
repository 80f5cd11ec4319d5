/**
 * Bad input on the wire, against live `serve` and `proxy` commands: bytes that are no ONC RPC, calls that make no sense, handles
 * that were forged, clients that misbehave. Each gets the protocol's own error or loses its own connection; the process goes on
 * with its memory bounded and its worker never restarted, and a client beside it reads right bytes all the time.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { seededRandom } from '../src/base/mod.ts';
import { nfsProgram, procedures } from '../src/nfs3/mod.ts';
import { framed, numberArgument, RawPeer, rawCall, sysBody } from '../src/testing/mod.ts';
import { type FileHandle, Status, statusName } from '../src/vfs/mod.ts';
import { argumentsOfAll, encoded, nfsCall, spoken, type Targets } from './bad-input/calls.ts';
import {
  type Client,
  call,
  handleOf,
  type Live,
  Place,
  peakResidentBytes,
  readFile,
  statusOf,
  within,
} from './bad-input/live.ts';
import { enterPrivateNetwork, isRealRoot } from './support/namespace.ts';

enterPrivateNetwork(import.meta.filename);

const seed = Number(process.env.VIADUCT_SEED ?? 1);
const mebibyte = 1024 * 1024;
/** A session of its own, with a cache of 64 MiB, and the little that bad input may cost. */
const residentLimitBytes = 450 * mebibyte;
const place = new Place('bad-wire');
const exported = place.directory('exported');
const content = randomBytes(300_000);
const secret = 'outside of the export';
let serve: Live;
let proxy: Live;

before(async () => {
  writeFileSync(place.at('secret'), secret);
  mkdirSync(place.at('exported/playground'));
  writeFileSync(place.at('exported/steady'), content);
  writeFileSync(place.at('exported/playground/file'), 'x'.repeat(100));
  symlinkSync('file', place.at('exported/playground/link'));
  serve = await place.serve(exported);
  proxy = await place.proxy(serve);
});
after(() => place.remove());

const sides: [name: string, live: () => Live][] = [
  ['serve', () => serve],
  ['proxy', () => proxy],
];

async function targetsOf(client: Client): Promise<Targets> {
  const directory = await handleOf(client, 'playground');
  const at = async (name: string): Promise<FileHandle> => {
    const reply = await client.filesystem.lookup(call, { directory, name });
    assert.equal(reply.status, 0, name);
    return reply.object;
  };
  return { directory, file: await at('file'), link: await at('link') };
}

/** Runs `attack` while a well-behaved client reads; then all must be as before. */
async function besideReader(live: Live, attack: (client: Client) => Promise<void>): Promise<void> {
  const client = await place.mount(live);
  const reader = await place.mount(live);
  try {
    const steady = await handleOf(reader, 'steady');
    let attacking = true;
    let reads = 0;
    const reading = (async () => {
      while (attacking) {
        const bytes = await within(5_000, 'a read beside the attack', readFile(reader, steady));
        assert.ok(bytes.equals(content), 'the reader beside the attack got other bytes');
        reads++;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    reading.catch(() => undefined);
    try {
      await attack(client);
    } finally {
      attacking = false;
      await reading.catch((error: unknown) => assert.fail(`${String(error)}: ${live.command.stderr}`));
    }
    assert.ok(reads > 0);
    assert.ok((await readFile(reader, steady)).equals(content));
  } finally {
    await client.close();
    await reader.close();
  }
  for (const each of [serve, proxy]) {
    assert.ok(each.command.isRunning(), each.command.stderr);
    const peak = peakResidentBytes(each);
    assert.ok(peak < residentLimitBytes, `${Math.round(peak / mebibyte)} MiB`);
    const { state, restarts } = await statusOf(place, each);
    assert.deepEqual({ state, restarts }, { state: 'running', restarts: 0 }, each.command.stderr);
    assert.doesNotMatch(each.command.stderr, /UNEXPECTED|AssertionError|TypeError|RangeError/);
  }
}

/** Sends bytes on a connection of their own, waits for what comes back or a moment, and hangs up. */
async function shoot(live: Live, bytes: Buffer, waitMs = 0): Promise<void> {
  const peer = await RawPeer.connect(live.port);
  peer.socket.write(bytes);
  if (waitMs > 0) await Promise.race([peer.reply(), new Promise((resolve) => setTimeout(resolve, waitMs))]);
  else await new Promise((resolve) => setImmediate(resolve));
  await peer.close();
}

/** The reply to one message on a connection of its own. */
async function ask(live: Live, message: Buffer): Promise<number[]> {
  const peer = await RawPeer.connect(live.port);
  peer.send(message);
  const words = await within(5_000, 'a reply', peer.words());
  await peer.close();
  assert.ok(words !== undefined, 'the connection was closed without a reply');
  return words;
}

for (const [name, live] of sides) {
  describe(`${name}: records`, () => {
    it('that are truncated, oversized, in nested or endless fragments, or random end their own connection only', async () => {
      await besideReader(live(), async (client) => {
        const random = seededRandom(seed);
        const { file } = await targetsOf(client);
        const read = framed(nfsCall(7, 6, encoded(procedures.read, { object: file, offset: 0, count: 4096 })));
        for (let length = 1; length < read.length; length += 7) await shoot(live(), read.subarray(0, length));
        // Sizes at and beyond the limit, in one fragment and over several.
        for (const mark of [0xffff_ffff, 0x7fff_ffff, 0x8010_ffff, 0x8011_0001, 0x0011_0001])
          await shoot(live(), Buffer.concat([numberArgument(mark), Buffer.alloc(1000, 0x41)]), 50);
        const half = Buffer.concat([numberArgument(600_000), Buffer.alloc(600_000)]);
        await shoot(live(), Buffer.concat([half, half, half]), 200);
        // Fragments without bytes for ever, single bytes, marks inside of fragments.
        await shoot(live(), Buffer.alloc(4 * 100_000), 200);
        await shoot(live(), framed(Buffer.alloc(3000, 0x80), new Array(2999).fill(1)), 200);
        await shoot(live(), framed(framed(framed(read.subarray(4)))), 50);
        for (let i = 0; i < 150; i++) {
          const bytes = Buffer.from(Uint8Array.from({ length: 4 + (random.uint32() % 400) }, () => random.uint32()));
          await shoot(live(), i % 2 === 0 ? bytes : framed(bytes), i % 10 === 0 ? 20 : 0);
        }
      });
    });

    it(`of calls with any bytes changed are answered or refused (seed ${seed})`, async () => {
      await besideReader(live(), async (client) => {
        const random = seededRandom(seed + 1);
        const all = argumentsOfAll(await targetsOf(client));
        let peer = await RawPeer.connect(live().port);
        for (let i = 0; i < 800; i++) {
          const [procedure, body] = all[i % all.length]!;
          const message = nfsCall(1000 + i, procedure, body);
          const cut = random.uint32() % 4 === 0 ? message.subarray(0, random.uint32() % message.length) : message;
          for (let n = random.uint32() % 4; n >= 0 && cut.length > 0; n--) {
            // A word at its ends is worth more than another random one.
            const at = random.uint32() % cut.length;
            if (random.uint32() % 2 === 0) cut[at] = random.uint32();
            else cut.subarray(at & ~3, (at & ~3) + 4).fill(random.uint32() % 2 === 0 ? 0xff : 0);
          }
          peer.send(cut);
          if (i % 40 === 39 || peer.socket.destroyed) {
            // What was answered is no matter here; that something still is, the reader sees.
            await Promise.race([peer.closed, new Promise((resolve) => setTimeout(resolve, 10))]);
            await peer.close();
            peer = await RawPeer.connect(live().port);
          }
        }
        await peer.close();
      });
      rmSync(place.at('exported/playground/victim'), { recursive: true, force: true });
    });
  });

  describe(`${name}: calls`, () => {
    it('of unknown programs, versions, procedures, RPC versions and flavors get the reject arm of RFC 5531', async () => {
      const root = { flavor: 1, credential: sysBody(0, 0) };
      const answer = async (fields: Parameters<typeof rawCall>[0]) =>
        spoken(await ask(live(), rawCall({ ...root, ...fields })));
      const unknownProgram = await answer({ program: 100_227, version: 3 });
      assert.deepEqual([unknownProgram.accepted, unknownProgram.outcome], [true, 1]);
      for (const version of [0, 2, 4, 0xffff_ffff]) {
        const reply = await answer({ program: 100_003, version });
        assert.deepEqual([reply.outcome, ...reply.result], [2, 3, 3]);
      }
      for (const [program, procedure] of [
        [100_003, 22],
        [100_003, 0xffff_ffff],
        [100_005, 6],
      ] as const) {
        const reply = await answer({ program, version: 3, procedure });
        assert.deepEqual([reply.accepted, reply.outcome], [true, 3]);
      }
      const garbage = await answer({ ...nfsProgram, procedure: 6, arguments: Buffer.alloc(6) });
      assert.deepEqual([garbage.accepted, garbage.outcome], [true, 4]);
      const rpcVersion = await answer({ ...nfsProgram, rpcVersion: 3 });
      assert.deepEqual([rpcVersion.accepted, rpcVersion.outcome, ...rpcVersion.result], [false, 0, 2, 2]);
      const kerberos = await answer({ ...nfsProgram, procedure: 1, flavor: 6 });
      assert.deepEqual([kerberos.accepted, kerberos.outcome], [false, 1]);
    });

    it('with handles that were forged are BADHANDLE or STALE in every procedure, and never reach a file', async () => {
      await besideReader(live(), async (client) => {
        const random = seededRandom(seed + 2);
        const real = await targetsOf(client);
        const peer = await RawPeer.connect(live().port);
        for (let i = 0; i < 300; i++) {
          const handle =
            i % 3 === 0
              ? randomHandle(random.uint32)
              : damaged(i % 3 === 1 ? real.file : real.directory, random.uint32);
          const forged = { directory: handle, file: handle, link: handle };
          const [procedure, body] = argumentsOfAll(forged)[i % 21]!;
          peer.send(nfsCall(i, procedure, body));
          const reply = spoken((await within(5_000, 'a reply', peer.words()))!);
          assert.deepEqual([reply.accepted, reply.outcome], [true, 0], `procedure ${procedure}`);
          const status = reply.result[0]!;
          assert.ok(
            status === Status.BADHANDLE || status === Status.STALE,
            `procedure ${procedure}: ${statusName(status)}`,
          );
        }
        await peer.close();
      });
      assert.equal(readFileSync(place.at('exported/playground/file')).length, 100);
    });

    it('with the handle of a file that is gone are STALE, also when a new file has its name', async () => {
      const client = await place.mount(live());
      const path = place.at('exported', `goes-${name}`);
      writeFileSync(path, 'first');
      const object = await handleOf(client, `goes-${name}`);
      const removed = await client.filesystem.remove(call, { directory: client.root, name: `goes-${name}` });
      assert.equal(removed.status, 0);
      writeFileSync(path, 'second');
      for (const reply of [
        await client.filesystem.getattr(call, { object }),
        await client.filesystem.read(call, { object, offset: 0, count: 100 }),
        await client.filesystem.write(call, { object, offset: 0, count: 1, stable: 2, data: [Buffer.from('!')] }),
        await client.filesystem.setattr(call, { object, set: { size: 0 } }),
      ]) {
        assert.equal(statusName(reply.status), 'NFS3ERR_STALE');
      }
      assert.equal(readFileSync(path, 'utf8'), 'second');
      await client.close();
    });

    it('with names of "/", "..", NUL and 256 bytes never leave the directory', async () => {
      const client = await place.mount(live());
      const { filesystem, root: directory } = client;
      const set = { mode: 0o600 };
      for (const name of ['../secret', '/etc/passwd', 'playground/file', 'a\0b', '', 'n'.repeat(256), '..', '.']) {
        const where = { directory, name };
        const replies = {
          create: await filesystem.create(call, { where, how: { mode: 'unchecked', set: { ...set, size: 0 } } }),
          mkdir: await filesystem.mkdir(call, { where, set }),
          symlink: await filesystem.symlink(call, { where, set, target: 'x' }),
          remove: await filesystem.remove(call, where),
          rmdir: await filesystem.rmdir(call, where),
          rename: await filesystem.rename(call, { from: { directory, name: 'steady' }, to: where }),
        };
        for (const [procedure, { status }] of Object.entries(replies))
          assert.notEqual(status, 0, `${procedure} ${JSON.stringify(name.slice(0, 20))}`);
        if (name.length === 256) assert.ok(Object.values(replies).every(({ status }) => status === Status.NAMETOOLONG));
        const looked = await filesystem.lookup(call, where);
        // `.` and `..` of the root are the root.
        if (name === '.' || name === '..') assert.ok(looked.status === 0 && looked.object === directory);
        else assert.notEqual(looked.status, 0);
      }
      assert.equal(readFileSync(place.at('secret'), 'utf8'), secret);
      // 255 bytes are a name.
      const longest = { directory, name: 'm'.repeat(255) };
      assert.equal((await filesystem.mkdir(call, { where: longest, set })).status, 0);
      assert.equal((await filesystem.rmdir(call, longest)).status, 0);
      await client.close();
    });

    it('with offsets and sizes near 2^63 are the end of the file or FBIG, and change nothing', async () => {
      const client = await place.mount(live());
      const { file } = await targetsOf(client);
      const before = readFileSync(place.at('exported/playground/file'));
      for (const offset of [2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]) {
        const u64 = Buffer.alloc(8);
        u64.writeBigUInt64BE(offset);
        const at = (procedure: number, rest: number[]): Promise<number[]> => {
          const handle = encoded(procedures.getattr, { object: file });
          return ask(live(), nfsCall(9, procedure, Buffer.concat([handle, u64, ...rest.map(numberArgument)])));
        };
        const read = spoken(await at(6, [4096]));
        // status, attributes follow (21 words), count, eof.
        assert.deepEqual(
          [read.result[0], read.result[1], read.result[23], read.result[24]],
          [0, 1, 0, 1],
          `READ at ${offset}`,
        );
        const write = spoken(await at(7, [4, 0, 4, 0x21212121]));
        assert.equal(statusName(write.result[0]!), 'NFS3ERR_FBIG', `WRITE at ${offset}`);
        const commit = spoken(await at(21, [4096]));
        assert.ok(
          [0, Status.INVAL].includes(commit.result[0] as 0),
          `COMMIT at ${offset}: ${statusName(commit.result[0]!)}`,
        );
        // sattr3 with nothing but the size; no guard.
        const handle = encoded(procedures.getattr, { object: file });
        const head = [0, 0, 0, 1].map(numberArgument);
        const tail = [0, 0, 0].map(numberArgument);
        const setattr = spoken(await ask(live(), nfsCall(9, 2, Buffer.concat([handle, ...head, u64, ...tail]))));
        assert.ok(
          [Status.FBIG, Status.INVAL].includes(setattr.result[0] as 27),
          `SETATTR: ${statusName(setattr.result[0]!)}`,
        );
      }
      assert.ok(readFileSync(place.at('exported/playground/file')).equals(before));
      await client.close();
    });
  });

  describe(`${name}: clients`, () => {
    it('that never read their replies cost bounded memory and disturb nobody', async () => {
      await besideReader(live(), async (client) => {
        const object = await handleOf(client, 'steady');
        const read = encoded(procedures.read, { object, offset: 0, count: mebibyte });
        const list = encoded(procedures.readdirplus, {
          directory: client.root,
          cookie: 0n,
          cookieVerifier: '\0'.repeat(8),
          directoryBytes: 60_000,
          replyBytes: 60_000,
        });
        const peers: RawPeer[] = [];
        for (let i = 0; i < 40; i++) {
          const peer = await RawPeer.connect(live().port);
          peer.socket.pause();
          for (let n = 0; n < 500; n++) peer.send(nfsCall(n, n % 2 === 0 ? 6 : 17, n % 2 === 0 ? read : list));
          peers.push(peer);
        }
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        // One of them reads after all, and gets every reply.
        const late = peers[0]!;
        late.socket.resume();
        const xids = new Set<number>();
        for (let n = 0; n < 100; n++) {
          const reply = await within(5_000, 'a late reply', late.reply());
          assert.ok(reply !== undefined, `after ${n} replies: ${live().command.stderr}`);
          const xid = reply.readUInt32BE(0);
          xids.add(xid);
          // The data of a READ are the end of its reply.
          if (xid % 2 === 0) assert.ok(reply.subarray(-content.length).equals(content), `reply ${xid} has other bytes`);
        }
        assert.equal(xids.size, 100);
        for (const peer of peers) await peer.close();
      });
    });

    it('that are ordinary users of this host may claim their own uid only', { skip: !isRealRoot() }, async () => {
      const claims = await import('./bad-input/claims.ts');
      const nobody = 65_534;
      const own = await claims.claim({ ...live(), runAs: 1234, claims: [0, 1000, 1234, nobody] });
      assert.deepEqual(own, [
        { uid: 0, outcome: 'AUTH_BADCRED' },
        { uid: 1000, outcome: 'AUTH_BADCRED' },
        { uid: 1234, outcome: 'NFS3_OK' },
        { uid: nobody, outcome: 'NFS3_OK' },
      ]);
      assert.deepEqual(await claims.claim({ ...live(), runAs: nobody, claims: [0] }), [
        { uid: 0, outcome: 'AUTH_BADCRED' },
      ]);
      const root = await claims.claim({ ...live(), runAs: 0, claims: [0, 1000] });
      assert.ok(root.every(({ outcome }) => outcome === 'NFS3_OK'));
    });
  });
}

function randomHandle(next: () => number): FileHandle {
  const bytes = Array.from({ length: 1 + (next() % 64) }, () => next() % 256);
  return String.fromCharCode(...bytes);
}

/** A real handle with some bits flipped, cut, or longer. */
function damaged(handle: FileHandle, next: () => number): FileHandle {
  const bytes = Buffer.from(handle, 'latin1');
  switch (next() % 3) {
    case 0:
      bytes[next() % bytes.length]! ^= 1 << (next() % 8);
      return bytes.toString('latin1');
    case 1:
      return bytes.subarray(0, 1 + (next() % (bytes.length - 1))).toString('latin1');
    default:
      return handle.length < 64 ? `${handle}${String.fromCharCode(next() % 256)}` : handle.slice(1);
  }
}
