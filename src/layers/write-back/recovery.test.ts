/**
 * Crashes at any place between operations: after a kill everything is as it was answered; after a power loss the files are as they
 * were after some operation, not before the last one that was stable. A model of two files keeps all states since then.
 */
import { strict as assert } from 'node:assert';
import { it } from 'node:test';
import { seededRandom } from '../../base/mod.ts';
import { Chance, callBy, ok, pattern, settle, WriteBackFixture } from '../../testing/mod.ts';
import { credential, type FileHandle, Stability, type WccAttributes } from '../../vfs/mod.ts';
import { wccOf } from './times.ts';

const root = callBy(credential(0, 0));
const names = ['disk', 'journal'];
const largest = 60_000;

interface State {
  readonly content: readonly Buffer[];
  readonly shown: readonly WccAttributes[];
}

class Model {
  readonly fixture: WriteBackFixture;
  readonly objects: FileHandle[] = [];
  readonly chance: Chance;
  /** Since the last stable operation, that one included. */
  states: State[] = [];
  step = 0;

  constructor(fixture: WriteBackFixture, seed: number) {
    this.fixture = fixture;
    this.chance = new Chance(seededRandom(seed));
  }

  async begin(): Promise<void> {
    for (const name of names) {
      const where = { directory: this.fixture.memory.root, name };
      const made = ok(this.fixture.memory.create(root, { where, how: { mode: 'guarded', set: {} } }));
      const data = [pattern(30_000, this.objects.length)];
      const args = { object: made.object!, offset: 0, count: 30_000, stable: Stability.FILE_SYNC, data };
      ok(this.fixture.memory.write(root, args));
      this.objects.push(made.object!);
    }
    this.states = [await this.observed()];
  }

  get now(): State {
    return this.states.at(-1)!;
  }

  async observed(): Promise<State> {
    const content: Buffer[] = [];
    const shown: WccAttributes[] = [];
    for (const object of this.objects) {
      const { attributes } = ok(await this.fixture.layer.getattr(root, { object }));
      const reply = ok(await this.fixture.layer.read(root, { object, offset: 0, count: largest * 2 }));
      content.push(Buffer.concat(reply.data));
      reply.release?.();
      assert.equal(content.at(-1)!.length, attributes.size, 'a READ is as long as the file');
      shown.push(wccOf(attributes));
    }
    return { content, shown };
  }

  /** One file is this from now on. */
  async became(index: number, content: Buffer, isStable: boolean): Promise<void> {
    const after = await this.observed();
    const expected = this.now.content.with(index, content);
    this.check(after, { content: expected, shown: after.shown }, 'after the operation');
    if (isStable) this.states = [after];
    else this.states.push(after);
  }

  check(got: State, expected: State, when: string): void {
    for (const [index, name] of names.entries()) {
      assert.ok(got.content[index]!.equals(expected.content[index]!), `step ${this.step}: bytes of ${name} ${when}`);
      assert.deepEqual(got.shown[index], expected.shown[index], `step ${this.step}: attributes of ${name} ${when}`);
    }
  }

  async change(): Promise<void> {
    const { layer } = this.fixture;
    const index = this.chance.below(2);
    const object = this.objects[index]!;
    const content = this.now.content[index]!;
    const kind = this.chance.pick(['write', 'write', 'write', 'sync', 'commit', 'resize', 'drain'] as const);
    if (kind === 'commit') {
      ok(await layer.commit(root, { object, offset: 0, count: 0 }));
      this.states = [this.now];
    } else if (kind === 'drain') {
      assert.equal((await this.fixture.writeBack.writeBack()).outcome, 'done');
      this.check(await this.observed(), this.now, 'after writing back');
      this.states = [this.now];
    } else if (kind === 'resize') {
      const size = this.chance.below(largest);
      ok(await layer.setattr(root, { object, set: { size } }));
      const resized = Buffer.alloc(size);
      content.copy(resized);
      await this.became(index, resized, true);
    } else {
      const offset = this.chance.below(largest - 10_000);
      const data = pattern(1 + this.chance.below(10_000), this.step);
      const stable = kind === 'sync' ? Stability.FILE_SYNC : Stability.UNSTABLE;
      const reply = ok(await layer.write(root, { object, offset, count: data.length, stable, data: [data] }));
      assert.deepEqual(reply.wcc.before, this.now.shown[index], 'wcc before');
      const changed = Buffer.alloc(Math.max(content.length, offset + data.length));
      content.copy(changed);
      data.copy(changed, offset);
      await this.became(index, changed, kind === 'sync');
    }
  }

  async crash(): Promise<void> {
    const how = this.chance.pick(['kill', 'power', 'close'] as const);
    await this.fixture.reopen(how);
    const found = await this.observed();
    if (how !== 'power') {
      this.check(found, this.now, `after ${how}`);
      return;
    }
    const fits = (state: State): boolean => state.content.every((bytes, index) => bytes.equals(found.content[index]!));
    const back = this.states.filter(fits);
    assert.ok(back.length > 0, `step ${this.step}: the power loss lost something stable, or left a mixture`);
    const isShown = (state: State): boolean => JSON.stringify(state.shown) === JSON.stringify(found.shown);
    assert.ok(back.some(isShown), `step ${this.step}: attributes after the power loss`);
    this.states = [found];
  }
}

for (const seed of [1, 2, 3]) {
  it(`shows after a crash what it showed before, and nothing older than what was stable (seed ${seed})`, async () => {
    const fixture = await WriteBackFixture.open({ random: seededRandom(seed) });
    const model = new Model(fixture, seed);
    await model.begin();
    for (; model.step < 120; model.step++) {
      if (model.chance.below(8) === 0) await model.crash();
      else await model.change();
    }
    assert.equal((await fixture.writeBack.writeBack()).outcome, 'done');
    for (const [index, object] of model.objects.entries()) {
      const reply = ok(fixture.memory.read(root, { object, offset: 0, count: largest * 2 }));
      assert.ok(Buffer.concat(reply.data).equals(model.now.content[index]!), 'the origin has it');
      reply.release?.();
    }
    await settle();
    await fixture.close();
    assert.equal(fixture.memory.unreleased, 0);
  });
}
