/**
 * ONE compliance suite for every `Filesystem`: memory, directory, NFS over a connection, every layer, the full stack.
 *
 *     filesystemSuite('memory', async () => ({ filesystem: new MemoryFilesystem(), cleanup: async () => {} }));
 *
 * `make` is called once; each case works in a directory of its own. What a file system cannot do is said by
 * `capabilities`, and is then tested as a refusal or shown as skipped with its reason.
 */
import { after, before, describe, it } from 'node:test';
import { assert } from '../base/mod.ts';
import type { FileHandle } from '../vfs/mod.ts';
import { attributeCases } from './suite/attributes.ts';
import { dataCases } from './suite/data.ts';
import { directoryCases } from './suite/directories.ts';
import { nameCases } from './suite/names.ts';
import { permissionCases } from './suite/permissions.ts';
import { renameCases } from './suite/rename.ts';
import {
  callBy,
  type Define,
  fullCapabilities,
  ok,
  type Subject,
  type SuiteCapabilities,
  superuser,
  Workbench,
} from './suite/workbench.ts';

const topics: Record<string, (define: Define) => void> = {
  attributes: attributeCases,
  data: dataCases,
  names: nameCases,
  rename: renameCases,
  directories: directoryCases,
  permissions: permissionCases,
};

export function filesystemSuite(
  name: string,
  make: () => Promise<Subject>,
  capabilities: Partial<SuiteCapabilities> = {},
): void {
  const can = { ...fullCapabilities, ...capabilities };
  describe(`${name} as a Filesystem`, () => {
    let subject: Subject | undefined;
    let cases = 0;
    before(async () => {
      subject = await make();
    });
    after(async () => {
      await subject?.cleanup();
    });
    for (const [topic, define] of Object.entries(topics)) {
      describe(topic, () => {
        define((title, body, needs = []) => {
          const missing = needs.filter((need) => !can[need]);
          const skip = missing.length > 0 && `${name} has no ${missing.join(', ')}`;
          const todo = can.differences[title] ?? false;
          it(title, { skip, todo }, async () => {
            assert(subject !== undefined, 'make() failed');
            const directory = await caseDirectory(subject, can, `case-${++cases}`);
            await body(new Workbench(subject.filesystem, can, directory));
          });
        });
      });
    }
  });
}

/** A new directory in the root that belongs to the user of the suite. */
async function caseDirectory(subject: Subject, can: SuiteCapabilities, name: string): Promise<FileHandle> {
  const { filesystem } = subject;
  const call = callBy(can.root ? superuser : can.user);
  const where = { directory: filesystem.root, name };
  const made = ok(await filesystem.mkdir(call, { where, set: { mode: 0o755 } }));
  const object = made.object ?? ok(await filesystem.lookup(call, where)).object;
  const { uid, gid } = can.user;
  if (can.root) ok(await filesystem.setattr(call, { object, set: { uid, gid } }));
  ok(await filesystem.setattr(call, { object, set: { mode: 0o755 } }));
  return object;
}
