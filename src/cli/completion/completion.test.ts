import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { describeCommand } from '../command-shape.ts';
import { createProgram } from '../program.ts';
import { bashCompletion } from './bash.ts';
import { fishCompletion } from './fish.ts';
import { zshCompletion } from './zsh.ts';

let scratch: string;
const program = describeCommand(createProgram());

before(() => {
  scratch = mkdtempSync(join(tmpdir(), 'viaduct-completion-'));
  writeFileSync(join(scratch, 'viaduct.bash'), bashCompletion(program));
  writeFileSync(join(scratch, '_viaduct'), zshCompletion(program));
  writeFileSync(join(scratch, 'viaduct.fish'), fishCompletion(program));
  mkdirSync(join(scratch, 'here/images one'), { recursive: true });
  writeFileSync(join(scratch, 'here/disk.raw'), '');
  // What the scripts ask for names.
  mkdirSync(join(scratch, 'bin'));
  const fake = `#!/bin/sh\n[ "$1 $2" = "completion --names" ] || exit 1\n[ "$3" = sessions ] && printf 'golden-1\\nvm7\\n'\n[ "$3" = policies ] && printf 'vm-disk\\nscratch\\n'\n`;
  writeFileSync(join(scratch, 'bin/viaduct'), fake);
  chmodSync(join(scratch, 'bin/viaduct'), 0o755);
});
after(() => rmSync(scratch, { recursive: true, force: true }));

/** Completes the last word of a line in a real bash, as readline would: words split at spaces, = and :. */
function inBash(line: string): string[] {
  const words = line.split(/(?<=[=:])|(?=[=:])|\s+/);
  const script = `
    source ${join(scratch, 'viaduct.bash')}
    COMP_LINE=$1; COMP_POINT=\${#1}; shift
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _viaduct viaduct
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['--norc', '-c', script, 'bash', line, ...words], optionsOf())
    .toString()
    .split('\n')
    .filter((word) => word !== '');
}

function optionsOf() {
  return {
    cwd: join(scratch, 'here'),
    env: { PATH: `${join(scratch, 'bin')}:${process.env.PATH}`, HOME: scratch, TERM: 'dumb', LC_ALL: 'C.UTF-8' },
    timeout: 20_000,
  };
}

function has(shell: string): boolean {
  return spawnSync(shell, ['--version']).status === 0;
}

test('bash completes commands, those below them, and their options', () => {
  assert.deepEqual(inBash('viaduct wr'), ['writeback']);
  assert.deepEqual(inBash('viaduct image ver'), ['verify']);
  assert.deepEqual(inBash('viaduct cache stat --j'), ['--json']);
  assert.ok(inBash('viaduct ').includes('mount'));
  assert.ok(inBash('viaduct proxy nfs://host/path --').includes('--cache-size'));
  assert.ok(!inBash('viaduct status --').includes('--cache-size'));
});

test('bash completes what values an option takes, behind a space and behind =, also after values with a colon', () => {
  assert.deepEqual(inBash('viaduct proxy --policy wri'), ['write-through', 'write-back']);
  assert.deepEqual(inBash('viaduct proxy --policy=re'), ['read-only', 'redirect']);
  assert.deepEqual(inBash('viaduct proxy --listen 127.0.0.1:2049 --squash '), ['none', 'root', 'all']);
  assert.deepEqual(inBash('viaduct proxy --cache '), ['images one']);
});

test('bash completes files and directories where arguments are such', () => {
  assert.deepEqual(inBash('viaduct serve '), ['images one']);
  assert.deepEqual(inBash('viaduct image inspect d'), ['disk.raw']);
  assert.deepEqual(inBash('viaduct image verify disk.raw d'), ['disk.raw']);
  assert.deepEqual(inBash('viaduct completion z'), ['zsh']);
  assert.deepEqual(inBash('viaduct man wa'), ['warm']);
});

test('fish completes the same', { skip: has('fish') ? false : 'there is no fish here' }, () => {
  const complete = (line: string): string[] =>
    execFileSync(
      'fish',
      ['--no-config', '-c', `source ${join(scratch, 'viaduct.fish')}; complete -C '${line}'`],
      optionsOf(),
    )
      .toString()
      .split('\n')
      .filter((word) => word !== '')
      .map((word) => word.split('\t')[0]!);
  assert.deepEqual(complete('viaduct wr'), ['writeback']);
  assert.deepEqual(complete('viaduct image ver'), ['verify']);
  assert.deepEqual(complete('viaduct proxy --policy write-b'), ['write-back']);
  assert.deepEqual(complete('viaduct cache stat --j'), ['--json']);
  assert.deepEqual(complete('viaduct image inspect d'), ['disk.raw']);
  assert.ok(!complete('viaduct status --').includes('--cache-size'));
});

test('zsh completes the same', { skip: has('zsh') ? false : 'there is no zsh here' }, () => {
  // In a terminal of its own, where the key is really pressed. The command that it then runs says what its arguments are.
  const lines = ['viaduct wr\t', 'viaduct image ver\t', 'viaduct proxy --policy write-b\t', 'viaduct cache stat --j\t'];
  const script = [
    'zmodload zsh/zpty',
    'zpty shell zsh -f -i',
    `zpty -w shell "fpath=(${scratch} \\$fpath); autoload -Uz compinit; compinit -u -d ${scratch}/dump; PROMPT="`,
    `zpty -w shell 'viaduct() { print -r -- "<got $*>" }'`,
    "zpty -w shell 'print begin-$((6*7))'",
    "zpty -r -m shell seen '*begin-42*'",
    ...lines.map((line) => `zpty -w shell $'${line.replaceAll('\t', '\\t')}'`),
    "zpty -w shell 'print end-$((6*7))'",
    "zpty -r -m shell seen '*end-42*'",
    'print -r -- "$seen"',
    'zpty -d shell',
  ];
  const seen = execFileSync('zsh', ['-f', '-c', script.join('\n')], optionsOf()).toString();
  const got = [...seen.matchAll(/<got ([^>]*?) *>/g)].map((match) => match[1]);
  assert.deepEqual(got, ['writeback', 'image verify', 'proxy --policy write-back', 'cache stat --json']);
});
