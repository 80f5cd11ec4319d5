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
