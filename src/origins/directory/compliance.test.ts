/** The compliance suite on a directory: as user 0 with the kernel's handles, with the table of places, and as an ordinary user. */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { silentLog, systemClock, systemRandom } from '../../base/mod.ts';
import { filesystemSuite, type Subject } from '../../testing/mod.ts';
import { credential, nobodyId } from '../../vfs/mod.ts';
import { openDirectoryOrigin } from './mod.ts';

const uid = process.geteuid?.() ?? 0;
const base = { clock: systemClock, log: silentLog, random: systemRandom };

async function subject(handles: 'kernel' | 'table'): Promise<Subject> {
  const top = mkdtempSync(join(tmpdir(), 'viaduct-directory-'));
  mkdirSync(join(top, 'export'));
  // Whatever the umask is, other users must come in.
  chmodSync(join(top, 'export'), 0o755);
  const options = { ...base, path: join(top, 'export'), stateDirectory: join(top, 'state'), handles };
  const filesystem = await openDirectoryOrigin(options);
  return {
    filesystem,
    async cleanup() {
      await filesystem.close();
      rmSync(top, { recursive: true });
    },
  };
}

const common = { sizeBytes: 2 ** 40, entries: 300 };
if (uid === 0) {
  filesystemSuite('a directory of user 0', () => subject('kernel'), common);
  filesystemSuite('a directory of user 0 with the table of places', () => subject('table'), common);

  it('the suite passes for an ordinary user', async () => {
    const home = mkdtempSync(join(tmpdir(), 'viaduct-nobody-'));
    chownSync(home, nobodyId, nobodyId);
    const env = { ...process.env, TMPDIR: home, HOME: home };
    // Or the child would report to the runner of this file.
    Reflect.deleteProperty(env, 'NODE_TEST_CONTEXT');
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url)], { uid: nobodyId, gid: nobodyId, env });
    const output: Buffer[] = [];
    child.stdout.on('data', (bytes: Buffer) => output.push(bytes));
    child.stderr.on('data', (bytes: Buffer) => output.push(bytes));
    const code = await new Promise((resolve) => child.on('close', resolve));
    rmSync(home, { recursive: true });
    assert.equal(code, 0, Buffer.concat(output).toString());
    assert.match(Buffer.concat(output).toString(), /pass \d\d/);
  });
} else {
  const user = credential(uid, process.getegid?.() ?? 0);
  filesystemSuite('a directory of an ordinary user', () => subject('kernel'), { ...common, root: false, user });
}
