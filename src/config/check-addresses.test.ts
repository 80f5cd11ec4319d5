/** Overlapping addresses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configurationOf, problemsOf } from './parse-fixture.test.ts';

function listening(...addresses: readonly string[]): string {
  const lines = addresses.map(
    (address, index) => `  s${index}: { origin: /srv, allow: [192.0.2.0/24], listen: "${address}" }`,
  );
  return `sessions:\n${lines.join('\n')}\n`;
}

const remedy = 'Give each an address or a port of its own; 127.0.0.2, .3 and so on are all this host.';
const bare = '127.0.0.2 (NFS on 2049, a portmapper on 111)';

const overlaps: readonly (readonly [what: string, one: string, other: string, cause: string])[] = [
  [
    'the same address, twice',
    '127.0.0.2',
    '127.0.0.2',
    `${bare} takes port 2049, and the session "s0" listens on the same address (${bare})`,
  ],
  [
    'the port that an address alone has for NFS',
    '127.0.0.2',
    '127.0.0.2:2049',
    `127.0.0.2:2049 takes port 2049, and the session "s0" listens on the same address (${bare})`,
  ],
  [
    'the port that an address alone has for its portmapper',
    '127.0.0.2:111',
    '127.0.0.2',
    `${bare} takes port 111, and the session "s0" listens on the same address`,
  ],
  [
    'the same address and port',
    '127.0.0.2:3000',
    '127.0.0.2:3000',
    '127.0.0.2:3000 takes port 3000, and the session "s0" listens on the same address',
  ],
  [
    'every IPv4 address',
    '0.0.0.0:3000',
    '127.0.0.2:3000',
    '127.0.0.2:3000 takes port 3000, and the session "s0" listens on an overlapping address, 0.0.0.0',
  ],
  [
    'every address',
    '[::]:3000',
    '127.0.0.2:3000',
    '127.0.0.2:3000 takes port 3000, and the session "s0" listens on an overlapping address, ::',
  ],
  [
    'two spellings of IPv6',
    '[::1]:3000',
    '[0:0:0:0:0:0:0:1]:3000',
    '[0:0:0:0:0:0:0:1]:3000 takes port 3000, and the session "s0" listens on the same address',
  ],
  [
    'IPv4 written as IPv6',
    '127.0.0.2:3000',
    '[::ffff:127.0.0.2]:3000',
    '[::ffff:127.0.0.2]:3000 takes port 3000, and the session "s0" listens on the same address',
  ],
];

for (const [what, one, other, cause] of overlaps) {
  test(`an overlap is told: ${what}`, () => {
    assert.deepEqual(problemsOf(listening(one, other)), [
      `3:54 error sessions.s1.listen: ${cause}. (and 2:54 sessions.s0.listen) | ${remedy}`,
    ]);
  });
}

test('the API takes its port like a session', () => {
  const text = `daemon: { api: { tcp: "127.0.0.1:2049", token-file: /t } }\n${listening('127.0.0.1')}`;
  assert.deepEqual(problemsOf(text), [
    `1:23 error daemon.api.tcp: 127.0.0.1:2049 takes port 2049, and the session "s0" listens on the same address (127.0.0.1 (NFS on 2049, a portmapper on 111)). (and 3:54 sessions.s0.listen) | ${remedy}`,
  ]);
});

test('other ports, other addresses, and port 0 do not overlap', () => {
  assert.deepEqual(
    problemsOf(
      listening('127.0.0.2', '127.0.0.3', '127.0.0.2:2050', '127.0.0.4:0', '127.0.0.4:0', '0.0.0.0:2051', '[::1]:2050'),
    ),
    [],
  );
});

test('an address of the pool is allowed, and kept from the allocator', () => {
  const { daemon } = configurationOf(listening('127.1.0.5', '127.1.0.5:2050', '127.0.0.2', '127.1.200.1:3000'));
  assert.deepEqual(daemon.reservedAddresses, ['127.1.0.5', '127.1.200.1']);
});

test('an address that other hosts can reach needs a network that may connect', () => {
  assert.deepEqual(problemsOf('sessions: { a: { origin: /srv, listen: 0.0.0.0 } }\n'), [
    '1:40 error sessions.a.listen: other hosts can reach 0.0.0.0, and no network is allowed to connect. | Say which clients you trust (allow: [192.0.2.0/24]; NFS believes the user ids that they claim), or listen on 127.0.0.2.',
  ]);
});

test('what is no address, no network, or no pool is told', () => {
  const text = `daemon: { listen-pool: 10.0.0.0/8 }
sessions:
  a: { origin: /srv, listen: 127.0.0.256 }
  b: { origin: /srv, listen: "127.0.0.2:99999" }
  c: { origin: /srv, allow: [192.0.2.0/33] }
`;
  const write =
    'Write an address of this host (127.0.0.2: NFS on 2049 and a portmapper on 111) or ADDR:PORT (127.0.0.1:20049).';
  assert.deepEqual(problemsOf(text), [
    '1:24 error daemon.listen-pool: 10.0.0.0/8 is not a part of 127.0.0.0/8 with at least four addresses. | Write for example 127.1.0.0/16: sessions that other hosts may reach name their address themselves.',
    `3:30 error sessions.a.listen: "127.0.0.256" is not an IP address. | ${write}`,
    `4:30 error sessions.b.listen: "99999" is not a port number. | ${write}`,
    '5:30 error sessions.c.allow[0]: "192.0.2.0/33" is not a network. | Write an address or a network in CIDR form: 192.0.2.7, 192.0.2.0/24, 2001:db8::/32.',
  ]);
});
