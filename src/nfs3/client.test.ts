import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { type Clock, seededRandom, silentLog, systemClock, ViaductError } from '../base/mod.ts';
import { type CallOptions, type Procedure, type RpcCaller, RpcClient, RpcServer } from '../rpc/mod.ts';
import { callBy, DirectCaller, filesystemSuite, MemoryFilesystem, ok, pattern, refused } from '../testing/mod.ts';
import * as vfs from '../vfs/mod.ts';
import { Nfs3Client, openNfs3Client } from './client.ts';
import { nfs3Program } from './program.ts';

const { Status } = vfs;
const superuser = vfs.credential(0, 0);
const call = callBy(superuser);

filesystemSuite('NFSv3 in memory', async () => {
  const memory = new MemoryFilesystem({ poisonReleased: true });
  const caller = new DirectCaller([nfs3Program(memory)]);
  const filesystem = new Nfs3Client({ caller, root: memory.root, identity: 'direct', clock: systemClock });
  return {
    filesystem,
    async cleanup() {
      assert.equal(memory.unreleased, 0, 'READ replies that were not released');
    },
  };
});

filesystemSuite('NFSv3 over TCP', async () => {
  const memory = new MemoryFilesystem({ poisonReleased: true, volatile: true });
  const server = new RpcServer({ programs: [nfs3Program(memory)], clock: systemClock, log: silentLog });
  const { host, port } = await server.listen('127.0.0.1', 0);
  const random = seededRandom(1);
  const caller = new RpcClient({ host, port, connections: 2, clock: systemClock, log: silentLog, random });
  const options = { caller, root: memory.root, identity: 'tcp', clock: systemClock };
  const filesystem = await openNfs3Client(options, superuser);
  return {
    filesystem,
    async cleanup() {
      await filesystem.close();
      await server.close();
      assert.equal(memory.unreleased, 0, 'READ replies that were not released');
    },
  };
});

function overMemory(): { memory: MemoryFilesystem; caller: DirectCaller; client: Nfs3Client } {
  const memory = new MemoryFilesystem();
  const caller = new DirectCaller([nfs3Program(memory)]);
  return {
    memory,
    caller,
    client: new Nfs3Client({ caller, root: memory.root, identity: 'x', clock: systemClock }),
  };
}

/** Answers every call with what `answer` says. */
class ScriptedCaller implements RpcCaller {
  readonly #answer: (args: unknown, options: CallOptions) => unknown;
  constructor(answer: (args: unknown, options: CallOptions) => unknown) {
    this.#answer = answer;
  }
  async call<Arguments, Reply>(
    _program: unknown,
    _procedure: Procedure<Arguments, Reply>,
    args: Arguments,
    options: CallOptions,
  ): Promise<Reply> {
    return this.#answer(args, options) as Reply;
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

function scripted(answer: (args: unknown, options: CallOptions) => unknown, more: object = {}): Nfs3Client {
  const caller = new ScriptedCaller(answer);
  return new Nfs3Client({ caller, root: 'r', identity: 'scripted', clock: systemClock, ...more });
}

describe('a reply that was lost', () => {
  const set = { mode: 0o644 };

  it('of CREATE guarded, MKDIR, SYMLINK, MKNOD and LINK does not become EXIST', async () => {
    const { memory, caller, client } = overMemory();
    const at = (name: string): vfs.Place => ({ directory: memory.root, name });
    caller.loseReplies = 1;
    const made = ok(await client.create(call, { where: at('a'), how: { mode: 'guarded', set } }));
    assert.equal(made.object, ok(memory.lookup(call, at('a'))).object);
    caller.loseReplies = 1;
    ok(await client.mkdir(call, { where: at('d'), set: { mode: 0o755 } }));
    caller.loseReplies = 1;
    ok(await client.symlink(call, { where: at('s'), set: {}, target: 'x' }));
    caller.loseReplies = 1;
    const type = vfs.FileType.FIFO;
    ok(await client.mknod(call, { where: at('f'), type, set, deviceMajor: 0, deviceMinor: 0 }));
    caller.loseReplies = 1;
    ok(await client.link(call, { object: made.object!, where: at('b') }));
    assert.equal(ok(memory.getattr(call, { object: made.object! })).attributes.nlink, 2);
  });

  it('of REMOVE, RMDIR and RENAME does not become NOENT', async () => {
    const { memory, caller, client } = overMemory();
    const at = (name: string): vfs.Place => ({ directory: memory.root, name });
    ok(await client.create(call, { where: at('a'), how: { mode: 'guarded', set } }));
    ok(await client.mkdir(call, { where: at('d'), set: {} }));
    caller.loseReplies = 1;
    ok(await client.rename(call, { from: at('a'), to: at('b') }));
    caller.loseReplies = 1;
    ok(await client.remove(call, at('b')));
    caller.loseReplies = 1;
    ok(await client.rmdir(call, at('d')));
  });

  it('of a guarded SETATTR does not become NOT_SYNC', async () => {
    const { memory, caller, client } = overMemory();
    const object = memory.root;
    const { ctime } = ok(memory.getattr(call, { object })).attributes;
    caller.loseReplies = 1;
    ok(await client.setattr(call, { object, set: { mode: 0o711 }, guard: ctime }));
  });

  it('does not hide what was there before', async () => {
    const { memory, caller, client } = overMemory();
    const at = (name: string): vfs.Place => ({ directory: memory.root, name });
    const object = ok(memory.create(call, { where: at('a'), how: { mode: 'guarded', set } })).object!;
    ok(memory.write(call, { object, offset: 0, count: 3, stable: 2, data: [pattern(3)] }));
    caller.loseReplies = 1;
    refused(await client.create(call, { where: at('a'), how: { mode: 'guarded', set } }), Status.EXIST);
    caller.loseReplies = 1;
    refused(await client.mkdir(call, { where: at('a'), set }), Status.EXIST);
    caller.loseReplies = 1;
    refused(await client.symlink(call, { where: at('a'), set, target: 'x' }), Status.EXIST);
    caller.loseReplies = 1;
    refused(await client.rename(call, { from: at('missing'), to: at('other') }), Status.NOENT);
    caller.loseReplies = 1;
    refused(await client.link(call, { object: memory.root, where: at('a') }), Status.ISDIR);
  });

  it('changes nothing when the call was sent once', async () => {
    const { memory, client } = overMemory();
    const where = { directory: memory.root, name: 'd' };
    ok(await client.mkdir(call, { where, set: {} }));
    refused(await client.mkdir(call, { where, set: {} }), Status.EXIST);
    refused(await client.remove(call, { directory: memory.root, name: 'missing' }), Status.NOENT);
  });
});

describe('a server that lies', () => {
  const head = { status: 0, attributes: undefined };
  const wrongReads: Record<string, object> = {
    'gives more than was asked for': { ...head, data: [pattern(11)], count: 11, eof: false },
    'counts more than it gives': { ...head, data: [pattern(5)], count: 10, eof: false },
    'counts less than it gives': { ...head, data: [pattern(10)], count: 5, eof: false },
    'gives nothing before the end': { ...head, data: [], count: 0, eof: false },
  };
  for (const [title, reply] of Object.entries(wrongReads)) {
    it(`on READ (${title}) is refused as IO`, async () => {
      const client = scripted(() => reply);
      refused(await client.read(call, { object: 'f', offset: 0, count: 10 }), Status.IO);
    });
  }

  it('on WRITE (more or no bytes, less stable) is refused as IO', async () => {
    const good = { status: 0, wcc: {}, count: 3, committed: 2, verifier: '12345678' };
    const args = { object: 'f', offset: 0, count: 3, stable: 2, data: [pattern(3)] } as const;
    ok(await scripted(() => good).write(call, args));
    for (const wrong of [{ count: 4 }, { count: 0 }, { committed: 1 }]) {
      refused(await scripted(() => ({ ...good, ...wrong })).write(call, args), Status.IO);
    }
  });

  it('on READDIR (names that are none, an endless page) is refused as IO', async () => {
    const args = { directory: 'd', cookie: 0n, cookieVerifier: '12345678', directoryBytes: 4096, replyBytes: 4096 };
    for (const name of ['', 'a/b', 'nul\0', 'n'.repeat(256)]) {
      const page = { status: 0, cookieVerifier: '12345678', entries: [{ fileid: 1n, name, cookie: 1n }], eof: true };
      refused(await scripted(() => page).readdir(call, args), Status.IO);
      refused(await scripted(() => page).readdirplus(call, args), Status.IO);
    }
    const empty = { status: 0, cookieVerifier: '12345678', entries: [], eof: false };
    refused(await scripted(() => empty).readdir(call, args), Status.IO);
  });

  it('on LOOKUP (an empty handle) is refused, on ACCESS (bits not asked for) masked', async () => {
    refused(await scripted(() => ({ status: 0, object: '' })).lookup(call, { directory: 'd', name: 'a' }), Status.IO);
    const reply = ok(await scripted(() => ({ status: 0, access: 63 })).access(call, { object: 'f', access: 1 }));
    assert.equal(reply.access, 1);
  });
});

describe('a call that fails', () => {
  const failing = (code: ConstructorParameters<typeof ViaductError>[0]) => () => {
    throw new ViaductError(code, { cause: 'test', remedy: 'none' });
  };

  it('is a status of its procedure, with an empty failure body', async () => {
    const where = { directory: 'd', name: 'a' };
    const io = scripted(failing('TIMED_OUT'));
    assert.deepEqual(await io.getattr(call, { object: 'f' }), { status: Status.IO });
    assert.deepEqual(await io.remove(call, where), { status: Status.IO, directoryWcc: {} });
    assert.deepEqual(await io.rename(call, { from: where, to: where }), { status: Status.IO, fromWcc: {}, toWcc: {} });
    assert.equal((await scripted(failing('RPC_UNAVAILABLE')).getattr(call, { object: 'f' })).status, Status.NOTSUPP);
    assert.equal((await scripted(failing('ORIGIN_REFUSED')).getattr(call, { object: 'f' })).status, Status.ACCES);
    assert.equal((await scripted(failing('UNEXPECTED')).getattr(call, { object: 'f' })).status, Status.IO);
  });

  it('rejects while the client is being closed, and when it is a bug', async () => {
    const closed = scripted(failing('ORIGIN_UNREACHABLE'));
    await closed.close();
    await assert.rejects(closed.getattr(call, { object: 'f' }), ViaductError);
    const bug = scripted(() => {
      throw new TypeError('bug');
    });
    await assert.rejects(bug.getattr(call, { object: 'f' }), TypeError);
  });
});

describe('JUKEBOX', () => {
  /** Timers run at once and move the time. */
  function quickClock(): Clock & { time: number } {
    const clock = {
      time: 0,
      now: () => clock.time,
      wallTimeMs: () => clock.time,
      after(delayMs: number, action: () => void) {
        clock.time += delayMs;
        queueMicrotask(action);
        return { cancel() {} };
      },
    };
    return clock;
  }

  it('is asked again until the server is ready', async () => {
    const clock = quickClock();
    let calls = 0;
    const client = scripted(() => (++calls < 5 ? { status: Status.JUKEBOX } : { status: 0, target: 'x' }), { clock });
    assert.equal(ok(await client.readlink(call, { object: 'f' })).target, 'x');
    assert.deepEqual([calls, clock.time], [5, 100 + 200 + 400 + 800]);
  });

  it('becomes IO at the deadline', async () => {
    const clock = quickClock();
    const client = scripted(() => ({ status: Status.JUKEBOX }), { clock, deadlineMs: 20_000 });
    refused(await client.readlink(call, { object: 'f' }), Status.IO);
    assert.ok(clock.time <= 20_000);
  });
});

describe('transfer sizes', () => {
  it('are what the server says, and cut READ and WRITE short', async () => {
    const memory = new MemoryFilesystem({ transferBytes: 4096 });
    const caller = new DirectCaller([nfs3Program(memory)]);
    const options = { caller, root: memory.root, identity: 'x', clock: systemClock };
    const client = await openNfs3Client(options, superuser);
    assert.deepEqual([client.readMaximum, client.writeMaximum], [4096, 4096]);
    const where = { directory: memory.root, name: 'a' };
    const object = ok(await client.create(call, { where, how: { mode: 'guarded', set: {} } })).object!;
    const data = [pattern(3000, 1), pattern(3000, 2)];
    const written = ok(await client.write(call, { object, offset: 0, count: 6000, stable: 2, data }));
    assert.equal(written.count, 4096);
    const read = ok(await client.read(call, { object, offset: 0, count: 6000 }));
    assert.ok(Buffer.concat(read.data).equals(Buffer.concat(data).subarray(0, 4096)));
  });

  it('refuse to open when the root is gone', async () => {
    const memory = new MemoryFilesystem();
    const caller = new DirectCaller([nfs3Program(memory)]);
    const options = { caller, root: 'gone', identity: 'x', clock: systemClock };
    await assert.rejects(openNfs3Client(options, superuser), { code: 'ORIGIN_REFUSED' });
  });
});
