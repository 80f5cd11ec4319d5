/** A write-back layer for the tests of its front: an origin where everybody may make files, and a bench on either side. */
import type { TestContext } from 'node:test';
import {
  callBy,
  fullCapabilities,
  ok,
  Workbench,
  WriteBackFixture,
  type WriteBackFixtureOptions,
} from '../../testing/mod.ts';
import { credential } from '../../vfs/mod.ts';

export const root = callBy(credential(0, 0));
export const stranger = callBy(credential(4242, 4242));

/** `bench` is where clients are, `origin` writes past the layer. Closed when the test ends. */
export async function start(test: TestContext, options: WriteBackFixtureOptions = {}) {
  const fixture = await WriteBackFixture.open(options);
  test.after(() => fixture.close());
  ok(fixture.memory.setattr(root, { object: fixture.memory.root, set: { mode: 0o777 } }));
  const bench = new Workbench(fixture.layer, fullCapabilities, fixture.layer.root);
  const origin = new Workbench(fixture.memory, fullCapabilities, fixture.memory.root);
  return { fixture, bench, origin };
}
