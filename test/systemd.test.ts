/** The systemd unit: systemd itself understands every line of it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;
const unit = readFileSync(new URL('../packaging/systemd/viaduct.service', import.meta.url), 'utf8');

function verify(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'viaduct-systemd-'));
  try {
    // It must be a program that is there.
    writeFileSync(join(folder, 'viaduct.service'), text.replaceAll('/usr/bin/viaduct', '/bin/true'));
    const { stderr, status } = spawnSync('systemd-analyze', ['verify', join(folder, 'viaduct.service')], {
      encoding: 'utf8',
      timeout: 15_000,
    });
    return status === 0 && stderr === '' ? '' : `${stderr} (${status})`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('systemd understands every line of the unit', { skip: !hasSystemd && 'systemd is not installed' }, () => {
  assert.equal(verify(unit), '');
  assert.match(verify(unit.replace('KillMode', 'KillMod')), /Unknown key/, 'a mistake would be seen');
});

test('the unit reloads by SIGHUP, ends orderly, and lets JavaScript be compiled', () => {
  for (const line of ['ExecReload=/bin/kill -HUP $MAINPID', 'KillMode=mixed', 'MemoryDenyWriteExecute=no']) {
    assert.ok(unit.split('\n').includes(line), line);
  }
});
