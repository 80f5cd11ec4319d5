import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { z } from 'zod';
import type { Explanation, PolicyDescription } from '../../policy/mod.ts';
import type { SessionStatus, SessionTask } from '../../sessions/mod.ts';
import type * as contract from '../contract.ts';
import * as schemas from './schemas.ts';
import type { sessionStatus } from './status-schemas.ts';

/** As JSON carries it: what may be undefined may be absent, and all is read-only. */
type Json<T> = T extends string | number | boolean | null
  ? T
  : T extends readonly (infer Item)[]
    ? readonly Json<Item>[]
    : T extends object
      ? { readonly [Key in keyof T as undefined extends T[Key] ? never : Key]: Json<T[Key]> } & {
          readonly [Key in keyof T as undefined extends T[Key] ? Key : never]?: Json<Exclude<T[Key], undefined>>;
        }
      : T;
type Same<A, B> = [Json<A>] extends [Json<B>] ? ([Json<B>] extends [Json<A>] ? true : never) : never;
type Of<Schema extends z.ZodType> = z.infer<Schema>;

/** Each line compiles only while the two shapes are the same: whoever changes one, changes the other. */
const same: Record<string, true> = {
  request: true satisfies Same<Of<typeof schemas.sessionRequest>, contract.SessionRequest>,
  view: true satisfies Same<Of<typeof schemas.sessionView>, contract.SessionView>,
  setting: true satisfies Same<Of<typeof schemas.settingRow>, contract.SettingRow>,
  detail: true satisfies Same<Of<typeof schemas.sessionDetail>, contract.SessionDetail>,
  sample: true satisfies Same<Of<typeof schemas.sessionSample>, contract.SessionSample>,
  closeOptions: true satisfies Same<Of<typeof schemas.closeQuery>, contract.CloseOptions>,
  closeResult: true satisfies Same<Of<typeof schemas.closeResult>, contract.CloseResult>,
  event: true satisfies Same<Of<typeof schemas.daemonEvent>, contract.DaemonEvent>,
  thread: true satisfies Same<Of<typeof schemas.threadReport>, contract.ThreadReport>,
  reloaded: true satisfies Same<Of<typeof schemas.reloaded>, contract.Reloaded>,
  task: true satisfies Same<Of<typeof schemas.sessionTask>, SessionTask>,
  policy: true satisfies Same<Of<typeof schemas.policyDescription>, PolicyDescription>,
  explanation: true satisfies Same<Of<typeof schemas.explanation>, Explanation>,
  status: true satisfies Same<Of<typeof sessionStatus>, SessionStatus>,
};

describe('shapes of the API', () => {
  it('are those of the contract', () => {
    assert.ok(Object.values(same).every(Boolean));
  });

  it('know each task, and no property that a task does not have', () => {
    const tasks: SessionTask[] = [
      { task: 'write-back' },
      { task: 'write-back', file: '/disk.raw' },
      { task: 'flush' },
      { task: 'invalidate' },
      { task: 'clear-conflict', file: '/a' },
      { task: 'redirect', how: 'commit', takeOver: true },
      { task: 'redirect', how: 'discard' },
      { task: 'warm', file: '/a', what: 'working-set' },
    ];
    for (const task of tasks) assert.deepEqual(schemas.sessionTask.parse(task), task);
    for (const task of tasks) assert.equal(schemas.sessionTask.safeParse({ ...task, force: true }).success, false);
    for (const task of [{}, null, { task: 'warm' }, { task: 'redirect' }, { task: 'warm', file: '', what: 'whole' }])
      assert.equal(schemas.sessionTask.safeParse(task).success, false);
  });

  it('take no control characters in names', () => {
    assert.equal(schemas.sessionRequest.safeParse({ origin: '/srv', name: 'a\u001b[2J' }).success, false);
    assert.equal(schemas.sessionRequest.safeParse({ origin: '/srv', name: 'müller' }).success, true);
  });
});
