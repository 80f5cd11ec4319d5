/** What changed between two configurations; and that what is written out reads back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { compareConfigurations, writeConfiguration } from './mod.ts';
import { configurationOf } from './parse-fixture.test.ts';

const before = `daemon: { workers: 2, api: { tcp: "127.0.0.1:7446", token-file: /t } }
caches: { main: { directory: /c, size: 2G } }
origins: { store: nfs://store.example/images, old: /srv/old }
policies: { build: { model: scratch, cache-quota: 1G } }
rules: [{ path: '*.ram', policy: vm-memory }]
sessions:
  lab: { origin: "store:/golden", policy: build, settings: { cache-quota: 512M } }
  gone: { origin: old }
`;

test('nothing changed, though it is written otherwise', () => {
  const same = before.replace('2G', '2048M').replace('{ origin: old }', '{ origin: old, kind: proxy, cache: main }');
  const changes = compareConfigurations(configurationOf(before), configurationOf(same));
  const none = { added: [], removed: [], changed: [] };
  assert.deepEqual(changes, {
    ...{ sessions: none, policies: none, caches: none, origins: none },
    ...{ daemon: [], rules: false, isEmpty: true },
  });
});

test('what changed is told by session, policy, cache and origin, with the keys as the file has them', () => {
  const after = before
    .replace('workers: 2', 'workers: 3')
    .replace(':7446', ':7447')
    .replace('size: 2G', 'size: 3G')
    .replace('/images', '/pictures')
    .replace('cache-quota: 1G', 'cache-quota: 1G, purpose: build')
    .replace('512M', '256M')
    .replace('gone: { origin: old }', 'new: { origin: old, listen: 127.0.0.9 }')
    .replace('vm-memory', 'golden');
  const changes = compareConfigurations(configurationOf(before), configurationOf(after));
  assert.deepEqual(changes, {
    sessions: { added: ['new'], removed: ['gone'], changed: [{ name: 'lab', keys: ['settings.cache-quota'] }] },
    policies: { added: [], removed: [], changed: [{ name: 'build', keys: ['purpose'] }] },
    caches: { added: [], removed: [], changed: [{ name: 'main', keys: ['size'] }] },
    origins: { added: [], removed: [], changed: [{ name: 'store', keys: ['url'] }] },
    ...{ daemon: ['api.tcp', 'workers'], rules: true, isEmpty: false },
  });
});

test('a configuration that is written out reads back as the same', () => {
  const configuration = configurationOf(before);
  assert.deepEqual(configurationOf(stringify(writeConfiguration(configuration))), configuration);
});
