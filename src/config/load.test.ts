/** Files that are not there, or are no text; how all problems of one become one error. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ViaductError } from '../base/mod.ts';
import { formatProblem, inspectConfiguration, loadConfiguration } from './mod.ts';

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'viaduct-config-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

function written(name: string, content: string | Uint8Array, mode = 0o600): string {
  const file = join(folder, name);
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
}

async function refusal(file: string): Promise<{ cause: string; remedy: string }> {
  const error = await loadConfiguration(file).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ViaductError && error.code === 'CONFIGURATION_INVALID', String(error));
  return { cause: error.message.replaceAll(folder, 'DIR'), remedy: error.remedy.replaceAll(folder, 'DIR') };
}

test('a file that is not there, a directory, something else than UTF-8 and a file that is too large are told', async () => {
  mkdirSync(join(folder, 'sub'));
  assert.deepEqual(await refusal(join(folder, 'none.yaml')), {
    cause: 'DIR/none.yaml: error: the file is not there.',
    remedy: 'Name the file that is meant, or write one: docs/configuration.md has an example.',
  });
  assert.deepEqual(await refusal(join(folder, 'sub')), {
    cause: 'DIR/sub: error: the file is a directory.',
    remedy: 'Name the file itself, for example DIR/sub/viaduct.yaml.',
  });
  const latin = Buffer.from('# first\n# caf\xe9\nsessions: {}\n', 'latin1');
  assert.deepEqual(await refusal(written('latin.yaml', latin)), {
    cause: 'DIR/latin.yaml: error: the file is not UTF-8 in line 2 (byte 14 of the file).',
    remedy: 'Save it as UTF-8; `iconv -f LATIN1 -t UTF-8` converts a file in Latin-1.',
  });
  const large = await refusal(written('large.yaml', '#'.repeat(1024 * 1024 + 1)));
  assert.match(large.cause, /^DIR\/large\.yaml: error: the file is larger than 1\.0 MiB/);
  assert.match((await refusal('/dev/zero')).cause, /not a regular file/);
});

test('a file that this user may not read is told', {
  skip: process.getuid?.() === 0 && 'root may read all',
}, async () => {
  assert.match((await refusal(written('secret.yaml', '', 0))).cause, /may not be read by this user/);
});

test('one problem is one error, several are listed in one, with what to do about each', async () => {
  assert.deepEqual(await refusal(written('one.yaml', 'sesions: {}\n')), {
    cause: 'DIR/one.yaml:1:1: error: sesions: there is no key "sesions" here.',
    remedy: 'Did you mean "sessions"? Known here: daemon, caches, origins, policies, rules, default-policy, sessions.',
  });
  assert.deepEqual(await refusal(written('two.yaml', 'daemon: { workers: 0 }\ndefault-policy: hom\n')), {
    cause: [
      'DIR/two.yaml has 2 errors:',
      '  DIR/two.yaml:1:20: error: daemon.workers: this is less than 1. Write a whole number from 1 to 64.',
      '  DIR/two.yaml:2:17: error: default-policy: no policy is called "hom". Did you mean "home"? There are golden, vm-disk, vm-memory, scratch, home.',
    ].join('\n'),
    remedy: 'Correct them; `viaduct config check DIR/two.yaml` shows the lines.',
  });
});

test('a token that others may read is refused; one that is not there is left to the daemon', async () => {
  const text = 'daemon: { api: { tcp: "127.0.0.1:7446", token-file: token } }\n';
  const file = written('token.yaml', text);
  assert.equal((await loadConfiguration(file)).daemon.api.tokenFile, join(folder, 'token'));
  written('token', 'x'.repeat(43), 0o640);
  assert.deepEqual(await refusal(file), {
    cause: 'DIR/token.yaml:1:53: error: daemon.api.token-file: DIR/token is open to others than its owner (mode 0640).',
    remedy: 'Run: chmod 600 DIR/token. If others may have read it: remove it: the daemon makes one with a new token.',
  });
  chmodSync(join(folder, 'token'), 0o600);
  await loadConfiguration(file);
});

test('a problem is shown with its lines and carets, as compilers do', async () => {
  const text =
    'sessions:\n  a: { origin: /srv, listen: 127.0.0.2 }\n\n  b: { origin: /srv, listen: "127.0.0.2:111" }\n';
  const { problems } = await inspectConfiguration(written('overlap.yaml', text));
  assert.equal(
    problems.map((problem) => formatProblem(problem, 'overlap.yaml', text)).join('\n'),
    `overlap.yaml:4:30: error: sessions.b.listen: 127.0.0.2:111 takes port 111, and the session "a" listens on the same address (127.0.0.2 (NFS on 2049, a portmapper on 111)).
     4 |   b: { origin: /srv, listen: "127.0.0.2:111" }
       |                              ^~~~~~~~~~~~~~~
  overlap.yaml:2:30: and sessions.a.listen
     2 |   a: { origin: /srv, listen: 127.0.0.2 }
       |                              ^~~~~~~~~
  remedy: Give each an address or a port of its own; 127.0.0.2, .3 and so on are all this host.`,
  );
});
