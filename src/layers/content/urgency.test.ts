/** What was fetched ahead is asked for as a demand from the moment in which somebody waits for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Call,
  type Filesystem,
  ForwardingFilesystem,
  type ReadArguments,
  type ReadReply,
  Urgency,
} from '../../vfs/mod.ts';
import { ahead, alice, House, imageBytes } from './content-house.test.ts';

const block = 64 * 1024;

/** Withholds READs until the test lets them go on, and keeps who asked. */
class Gate extends ForwardingFilesystem {
  readonly calls: Call[] = [];
  isClosed = false;
  #waiting: (() => void)[] = [];

  override async read(call: Call, args: ReadArguments): Promise<ReadReply> {
    if (this.isClosed) {
      this.calls.push(call);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.next.read(call, args);
  }
  open(): void {
    this.isClosed = false;
    for (const go of this.#waiting.splice(0)) go();
  }
  async arrived(count: number): Promise<void> {
    while (this.calls.length < count) await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function withGate(work: (house: House, gate: Gate, bytes: Buffer) => Promise<void>): Promise<void> {
  let gate: Gate | undefined;
  const between = (origin: Filesystem): Filesystem => {
    gate = new Gate(origin);
    return gate;
  };
  await using house = await House.open({ between, isLight: true });
  const bytes = imageBytes(2 * 1024 * 1024);
  await house.file('disk', bytes);
  await work(house, gate!, bytes);
}

/** A block that lies in the pack, and whose neighbour was read, so that all meta-data is here. */
const offset = 7 * block;

test('a group of the pack that a demand joins is asked for as one', async () => {
  await withGate(async (house, gate, bytes) => {
    const object = await house.lookup('disk');
    await house.content.read(alice, { object, offset: block, count: block });
    gate.isClosed = true;
    const early = house.content.read({ ...ahead, urgency: new Urgency() }, { object, offset, count: block });
    await gate.arrived(1);
    assert.deepEqual([gate.calls[0]!.priority, gate.calls[0]!.urgency?.isRaised], ['prefetch', false]);
    const late = house.content.read(alice, { object, offset, count: block });
    while (gate.calls[0]!.urgency?.isRaised !== true) await new Promise((resolve) => setTimeout(resolve, 1));
    gate.open();
    for (const reply of [await early, await late]) {
      assert.ok(reply.status === 0);
      assert.deepEqual(Buffer.concat(reply.data), bytes.subarray(offset, offset + block));
      reply.release?.();
    }
    assert.equal(gate.calls.length, 1, 'fetched once');
  });
});

test('a flight of the block cache that a demand joins is asked for as one, down to the pack', async () => {
  await withGate(async (house, gate, bytes) => {
    const object = await house.lookup('disk');
    await house.content.read(alice, { object, offset: block, count: block });
    gate.isClosed = true;
    const early = house.top.read({ ...ahead, urgency: new Urgency() }, { object, offset, count: block });
    await gate.arrived(1);
    const late = house.top.read(alice, { object, offset, count: 4096 });
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(gate.calls[0]!.urgency?.isRaised, true);
    gate.open();
    for (const [reply, count] of [
      [await early, block],
      [await late, 4096],
    ] as const) {
      assert.ok(reply.status === 0);
      assert.deepEqual(Buffer.concat(reply.data), bytes.subarray(offset, offset + count));
      reply.release?.();
    }
  });
});
