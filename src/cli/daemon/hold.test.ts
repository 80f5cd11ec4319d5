/** What the daemon makes of a session that a command asks for, and what it leaves to the command. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../../base/mod.ts';
import { parseConfiguration } from '../../config/mod.ts';
import type { SessionRequest } from '../../daemon/mod.ts';
import { type Holder, holdIn } from './hold.ts';

const wanted = {
  ...{ kind: 'proxy', origin: '/srv/images/vms', listen: '127.0.0.1:0', settings: {}, cacheDirectory: null },
  ...{ defaults: { fetch: 'auto' }, allow: [], squash: 'none' },
};

/** With a manager that only takes requests. */
async function asked(text: string, change: object = {}) {
  const { configuration, problems } = parseConfiguration(text, { file: '/etc/viaduct/viaduct.yaml' });
  assert.ok(configuration !== undefined, JSON.stringify(problems));
  const requests: SessionRequest[] = [];
  const unused = () => assert.fail('not asked for');
  const manager: Holder['manager'] = {
    create: async (request) => {
      requests.push(request);
      return {
        ...{ id: 's-aaaaaaaa', name: 'vms', kind: 'proxy', origin: request.origin, policy: 'home', state: 'running' },
        ...{ place: { host: '127.0.0.1', port: 1, portmapper: 'none' }, isTemporary: true, createdAt: '', restarts: 0 },
      };
    },
    subscribe: () => () => {},
    ...{ close: unused, show: unused },
  };
  const answer = await holdIn(
    { manager, log: silentLog, configuration: () => configuration },
    { ...wanted, ...change },
  );
  return { answer, requests };
}

test('where a rule or the default would leave changes in a log of the daemon, the command runs alone', async () => {
  const ruled = await asked("rules: [{ name: disks, path: '**/vms', policy: vm-disk }]\n");
  assert.ok('refused' in ruled.answer);
  assert.match(ruled.answer.refused, /policy vm-disk .* by disks, .*writes: write-back/);
  const plain = await asked('default-policy: vm-disk\n');
  assert.ok('refused' in plain.answer);
  assert.match(plain.answer.refused, /policy vm-disk .* by default/);
  assert.deepEqual([...ruled.requests, ...plain.requests], []);
});

test('what leaves nothing is made: read-only, write-through, and changes that end with the session', async () => {
  for (const policy of ['golden', 'home', 'scratch']) {
    const { answer, requests } = await asked(`rules: [{ path: '**', policy: ${policy} }]\n`);
    assert.ok('place' in answer, policy);
    // By a rule: the command's defaults are out of the way.
    assert.deepEqual(
      requests.map(({ settings, isTemporary }) => [settings, isTemporary]),
      [[{}, true]],
    );
  }
  // The command line says what a rule would say otherwise.
  const said = { settings: { writes: 'write-through' } };
  const { answer, requests } = await asked("rules: [{ path: '**', policy: home }]\n", said);
  assert.ok('place' in answer);
  assert.deepEqual(requests[0]!.settings, said.settings);
});
