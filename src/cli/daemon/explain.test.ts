/** What `policy explain` says is what the daemon does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Configuration, parseConfiguration } from '../../config/mod.ts';
import { managerConfiguration } from '../../daemon/mod.ts';
import { explainIn } from './explain.ts';
import { FileSizes } from './file-sizes.ts';

const sizes = new FileSizes();

function configurationOf(text: string): Configuration {
  const { configuration, problems } = parseConfiguration(text, { file: '/etc/viaduct/viaduct.yaml' });
  assert.ok(configuration !== undefined, JSON.stringify(problems));
  return configuration;
}

const nested = configurationOf(`
origins:
  store: { url: "nfs://store.example/images", connections: 3 }
  vms: { url: "nfs://store.example/images/vms", connections: 5 }
  local: /srv/images
rules:
  - { origin: store, policy: golden }
  - { origin: vms, policy: vm-disk }
  - { origin: local, policy: scratch }
`);

test('a rule for an origin holds however a place there is written, for the daemon as for who asks why', async () => {
  const places = [
    ['store:/golden', 'golden', 3],
    ['nfs://store.example/images/golden', 'golden', 3],
    ['nfs://Store.Example:2049/images', 'golden', 3],
    ['nfs://store.example/images/vms/7', 'vm-disk', 5],
    ['store:/vms/7', 'golden', 3],
    ['nfs://store.example/imagesque', 'home', undefined],
    ['nfs://store.example:2050/images/golden', 'home', undefined],
    ['/srv/images/7', 'scratch', undefined],
  ] as const;
  const { decide } = managerConfiguration(nested);
  for (const [origin, policy, connections] of places) {
    const decision = decide({ origin });
    assert.deepEqual([decision.resolved.policy, decision.connections], [policy, connections], origin);
    assert.equal((await explainIn(nested, { path: origin, size: 0 }, sizes)).session.policy, policy, origin);
  }
});

test('a file belongs to the origin of its session, though another one begins above it', async () => {
  const configuration = configurationOf(`
origins:
  store: nfs://store.example/images
  vms: nfs://store.example/images/vms
rules:
  - { origin: vms, size: '>= 1G', policy: vm-disk }
  - { origin: store, path: '/images/vms/**', size: '>= 1G', policy: golden }
sessions:
  all: { origin: store }
`);
  const { file } = await explainIn(
    configuration,
    { path: 'nfs://store.example/images/vms/7.raw', size: 2 ** 30 },
    sizes,
  );
  const { files } = managerConfiguration(configuration).decide({ origin: 'store' });
  assert.deepEqual([file.policy, files.rules.map(({ path }) => path)], ['golden', ['/images/vms/**']]);
});

test('a path below a mount is explained by the session that is mounted there, as that session was asked for', async () => {
  const session = {
    ...{ origin: 'nfs://store.example/images/vms', kind: 'proxy' as const, policy: 'vm-disk' },
    settings: [
      { key: 'read-ahead', value: '4M', from: 'this session' },
      { key: 'attribute-timeout', value: '{ file: [1s, 2s], directory: [1s, 4s] }', from: 'this session' },
      { key: 'pin', value: 'false', from: 'this session' },
      { key: 'on-close', value: 'write-back', from: 'model vm-disk' },
    ],
  };
  const origin = 'store:/vms';
  const inside = '/100%.raw';
  const {
    path,
    session: told,
    settings,
  } = await explainIn(nested, { path: '/mnt/x', mounted: { origin, inside, session } }, sizes);
  assert.deepEqual([path, told.policy], ['/images/vms/100%.raw', 'vm-disk']);
  assert.match(told.reason, /names its policy/);
  const own = settings.filter(({ from }) => from === 'this session').map(({ key, value }) => `${key}: ${value}`);
  assert.deepEqual(own.sort(), [
    'attribute-timeout: { file: [1s, 2s], directory: [1s, 4s] }',
    'pin: false',
    'read-ahead: 4M',
  ]);
  // One that a rule has chosen is explained by the rules.
  const ruled = { ...session, policy: 'vm-disk', rule: 'rule 2', settings: [] };
  const again = await explainIn(nested, { path: '/mnt/x', mounted: { origin, inside, session: ruled } }, sizes);
  assert.equal(again.session.rules.find(({ verdict }) => verdict === 'won')?.rule, 'rule 2');
});
