/** `viaduct config`, as it is called: what it prints, and its exit codes. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'viaduct-config-cli-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

function viaduct(...parts: string[]): Promise<{ code: number; stdout: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, 'config', ...parts], { cwd: folder }, (error, stdout) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout });
    });
  });
}

test('check tells problems as compilers do and ends with 2; show and schema print what is read again', async () => {
  writeFileSync(join(folder, 'bad.yaml'), 'sessions:\n  lab: { origin: /srv, lissen: 127.0.0.2 }\n');
  writeFileSync(join(folder, 'good.yaml'), 'sessions:\n  lab: { origin: ./srv }\n');
  const [bad, json, good, shown, schema] = await Promise.all([
    viaduct('check', 'bad.yaml'),
    viaduct('check', 'bad.yaml', '--json'),
    viaduct('check', 'good.yaml'),
    viaduct('show', 'good.yaml', '--json'),
    viaduct('schema'),
  ]);
  assert.equal(bad.code, 2);
  assert.equal(
    bad.stdout,
    `bad.yaml:2:24: error: sessions.lab.lissen: there is no key "lissen" here.
     2 |   lab: { origin: /srv, lissen: 127.0.0.2 }
       |                        ^~~~~~
  remedy: Did you mean "listen"? Known here: origin, kind, listen, policy, settings, cache, allow, squash, connections, take-over.
bad.yaml cannot be used: 1 error.
`,
  );
  assert.equal(json.code, 2);
  const { valid, problems } = JSON.parse(json.stdout);
  assert.deepEqual(
    [valid, problems[0].line, problems[0].column, problems[0].path],
    [false, 2, 24, 'sessions.lab.lissen'],
  );
  assert.deepEqual(good, { code: 0, stdout: 'good.yaml is valid: 1 session, 0 caches, 0 origins, 0 policies.\n' });
  assert.equal(JSON.parse(shown.stdout).sessions.lab.origin, join(folder, 'srv'));
  assert.equal(JSON.parse(schema.stdout).properties.sessions.description.length > 0, true);
});
