/**
 * A file as a careful client uses it, over our own NFS client, which holds calls until the server is back: what was written is
 * kept until a COMMIT answers with the verifier of the writes, and sent again otherwise (RFC 1813 3.3.21).
 */
import assert from 'node:assert/strict';
import { silentLog, systemClock, systemRandom } from '../../src/base/mod.ts';
import { openNfsOrigin, parseOrigin } from '../../src/origins/mod.ts';
import { type Call, credential, type Filesystem, Stability } from '../../src/vfs/mod.ts';

const call: Call = { credential: credential(0, 0), peer: 'test', priority: 'demand' };

interface Unstable {
  readonly offset: number;
  readonly data: Buffer;
  /** Of the reply; undefined while the WRITE is under way. */
  verifier: string | undefined;
}

export class Client {
  readonly filesystem: Filesystem & { close(): Promise<void> };

  static async open(url: string): Promise<Client> {
    const address = parseOrigin(url);
    assert.ok(address.kind === 'nfs');
    const options = { clock: systemClock, log: silentLog, random: systemRandom, credential: call.credential };
    return new Client(await openNfsOrigin({ ...options, address, connections: 2 }));
  }

  private constructor(filesystem: Filesystem & { close(): Promise<void> }) {
    this.filesystem = filesystem;
  }

  async file(name: string): Promise<CarefulFile> {
    const found = await this.filesystem.lookup(call, { directory: this.filesystem.root, name });
    assert.ok(found.status === 0, `LOOKUP ${name}: ${found.status}`);
    return new CarefulFile(this.filesystem, found.object);
  }

  async names(): Promise<string[]> {
    const names: string[] = [];
    const verifier = '\0'.repeat(8);
    const directory = this.filesystem.root;
    const bytes = { directoryBytes: 8192, replyBytes: 32_768 };
    const reply = await this.filesystem.readdir(call, { directory, cookie: 0n, cookieVerifier: verifier, ...bytes });
    assert.ok(reply.status === 0 && reply.eof);
    for (const { name } of reply.entries) if (name !== '.' && name !== '..') names.push(name);
    return names;
  }

  close(): Promise<void> {
    return this.filesystem.close();
  }
}

/**
 * Writes are whole blocks: two of them are at the same offset or apart. As a kernel does with a page, at most one WRITE of a block
 * is under way, and only its newest content is ever sent again: an older one that comes late would undo the newer.
 */
export class CarefulFile {
  /** How often a COMMIT did not cover the writes, so that they went again. */
  resent = 0;
  readonly #filesystem: Filesystem;
  readonly #object: string;
  /** The newest of each block, by offset, until a COMMIT covers it. */
  readonly #unstable = new Map<number, Unstable>();
  /** The WRITE under way of a block, or the last that waits for its turn. */
  readonly #turns = new Map<number, Promise<void>>();

  constructor(filesystem: Filesystem, object: string) {
    this.#filesystem = filesystem;
    this.#object = object;
  }

  async write(offset: number, data: Buffer): Promise<void> {
    const unstable: Unstable = { offset, data, verifier: undefined };
    this.#unstable.set(offset, unstable);
    await this.#send(unstable);
  }

  async commit(): Promise<void> {
    for (;;) {
      await Promise.allSettled(this.#turns.values());
      const answered = [...this.#unstable.values()].filter(({ verifier }) => verifier !== undefined);
      const reply = await this.#filesystem.commit(call, { object: this.#object, offset: 0, count: 0 });
      assert.ok(reply.status === 0, `COMMIT: ${reply.status}`);
      const lost: Unstable[] = [];
      for (const unstable of answered) {
        if (this.#unstable.get(unstable.offset) !== unstable) continue;
        if (unstable.verifier === reply.verifier) this.#unstable.delete(unstable.offset);
        else lost.push(unstable);
      }
      if (lost.length === 0) return;
      // Another COMMIT may have sent some of them again already.
      const again = lost.filter(({ verifier }) => verifier !== undefined);
      this.resent += again.length;
      for (const unstable of again) unstable.verifier = undefined;
      await Promise.all(again.map((unstable) => this.#send(unstable)));
    }
  }

  async read(offset: number, count: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let at = offset; at < offset + count; ) {
      const reply = await this.#filesystem.read(call, {
        object: this.#object,
        offset: at,
        count: Math.min(65_536, offset + count - at),
      });
      assert.ok(reply.status === 0 && reply.count > 0, `READ at ${at}: ${reply.status}`);
      parts.push(Buffer.concat(reply.data as Uint8Array[]));
      reply.release?.();
      at += reply.count;
    }
    return Buffer.concat(parts);
  }

  async size(): Promise<number> {
    const reply = await this.#filesystem.getattr(call, { object: this.#object });
    assert.ok(reply.status === 0, `GETATTR: ${reply.status}`);
    return reply.attributes.size;
  }

  async #send(unstable: Unstable): Promise<void> {
    const { offset } = unstable;
    const turn = this.#after(this.#turns.get(offset), unstable);
    this.#turns.set(offset, turn);
    try {
      await turn;
    } catch (error) {
      if (this.#unstable.get(offset) === unstable) this.#unstable.delete(offset);
      throw error;
    } finally {
      if (this.#turns.get(offset) === turn) this.#turns.delete(offset);
    }
  }

  async #after(before: Promise<void> | undefined, unstable: Unstable): Promise<void> {
    await before?.catch(() => {});
    const { offset, data } = unstable;
    // A newer one waits behind this.
    if (this.#unstable.get(offset) !== unstable) return;
    const stable = Stability.UNSTABLE;
    const count = data.length;
    const reply = await this.#filesystem.write(call, { object: this.#object, offset, count, stable, data: [data] });
    assert.ok(reply.status === 0, `WRITE at ${offset}: ${reply.status}`);
    assert.equal(reply.count, count);
    unstable.verifier = reply.verifier;
  }
}
