/** The systemd units, of a host and of a user: systemd itself understands every line of them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;
const unitOf = (path: string): string => readFileSync(new URL(`../packaging/systemd/${path}`, import.meta.url), 'utf8');
const unit = unitOf('viaduct.service');
const ofUser = unitOf('user/viaduct.service');

function verify(text: string, ...options: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'viaduct-systemd-'));
  try {
    // It must be a program that is there.
    writeFileSync(join(folder, 'viaduct.service'), text.replaceAll('/usr/bin/viaduct', '/bin/true'));
    const { stderr, status } = spawnSync('systemd-analyze', [...options, 'verify', join(folder, 'viaduct.service')], {
      encoding: 'utf8',
      timeout: 15_000,
      // Units of users are looked for, and made, below these.
      env: { ...process.env, HOME: folder, XDG_RUNTIME_DIR: folder },
    });
    return status === 0 && stderr === '' ? '' : `${stderr} (${status})`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('systemd understands every line of the unit', { skip: !hasSystemd && 'systemd is not installed' }, () => {
  assert.equal(verify(unit), '');
  assert.equal(verify(ofUser, '--user'), '');
  assert.match(verify(unit.replace('KillMode', 'KillMod')), /Unknown key/, 'a mistake would be seen');
});

test('the units reload by SIGHUP and end orderly; that of the host lets JavaScript be compiled', () => {
  for (const line of ['ExecReload=/bin/kill -HUP $MAINPID', 'KillMode=mixed'])
    assert.ok(ofUser.split('\n').includes(line), line);
  for (const line of ['ExecReload=/bin/kill -HUP $MAINPID', 'KillMode=mixed', 'MemoryDenyWriteExecute=no']) {
    assert.ok(unit.split('\n').includes(line), line);
  }
});
