/** Mistakes in keys, values and names: each told exactly, with its place and what to do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configurationOf, problemsOf } from './parse-fixture.test.ts';

const origins = 'origins: { store: nfs://store.example/images }\n';

const cases: readonly (readonly [what: string, text: string, problems: readonly string[]])[] = [
  [
    'an unknown key is told with the one that was meant',
    'daemon:\n  listen-pol: 127.1.0.0/16\n',
    [
      '2:3 error daemon.listen-pol: there is no key "listen-pol" here. | Did you mean "listen-pool"? Known here: listen-pool, api, workers, state-directory, log-level.',
    ],
  ],
  [
    'a key in the wrong place is told where it stands',
    'token-file: /a\n',
    [
      '1:1 error token-file: there is no key "token-file" here. | "token-file" stands in `daemon.api`. Known here: daemon, caches, origins, policies, rules, default-policy, sessions.',
    ],
  ],
  [
    'a size with another unit',
    'caches: { main: { directory: /c, size: 20X } }\n',
    ['1:40 error caches.main.size: "20X" is not a size. | Write a number and a unit: 512M, 20G, 1.5T.'],
  ],
  [
    'a time where a size is wanted, and a size where a time is',
    'policies: { p: { model: vm-disk, dirty-limit: 5s, dirty-age: 2G } }\n',
    [
      '1:47 error policies.p.dirty-limit: "5s" is not a size. | Write a number and a unit: 512M, 20G, 1.5T.',
      '1:62 error policies.p.dirty-age: "2G" is not a time. | Write a number and a unit: 500ms, 30s, 2m, 1h.',
    ],
  ],
  [
    'a session that is called like an id',
    'sessions: { s-abcdefgh: { origin: /srv } }\n',
    [
      '1:13 error sessions.s-abcdefgh: "s-abcdefgh" looks like the id of a session. | Give it another name: ids tell one session from all others.',
    ],
  ],
  [
    'a size below what makes sense',
    'caches: { main: { directory: /c, size: 1M } }\n',
    ['1:40 error caches.main.size: 1M is too little. | Give at least 16M.'],
  ],
  [
    'a word that is none of the choices',
    'daemon: { log-level: inof }\n',
    ['1:22 error daemon.log-level: "inof" is none of trace, debug, info, warn, error, fatal. | Did you mean "info"?'],
  ],
  [
    'a word where a number is wanted',
    'daemon: { workers: many }\n',
    ['1:20 error daemon.workers: this is not a number. | Write a whole number from 1 to 64.'],
  ],
  [
    'a key that is missing',
    'caches:\n  main:\n    size: 1G\n',
    [
      '2:3 error caches.main: the key "directory" is missing. | Add it: An empty directory, or one that is a cache of Viaduct; on a disk of this host.',
    ],
  ],
  [
    'a key without a value',
    'default-policy:\n',
    ['1:1 error default-policy: nothing is written here. | The policy where no rule matches. Default: home.'],
  ],
  [
    'a name that is none',
    'caches: { 10: { directory: /c } }\n',
    [
      '1:11 error caches.10: "10" is not a name. | Use up to 63 letters, digits, ".", "_" and "-"; a letter or digit first, and not digits alone.',
    ],
  ],
  [
    'an origin that is not defined',
    `${origins}sessions: { a: { origin: "stor:/golden" } }\n`,
    ['2:26 error sessions.a.origin: no origin is called "stor" (in "stor:/golden"). | Did you mean "store"?'],
  ],
  [
    'a path that leaves its origin',
    `${origins}sessions: { a: { origin: "store:/../home" } }\n`,
    [
      '2:26 error sessions.a.origin: "store:/../home" is not understood: the path leads upwards (..). | Write NAME or NAME:/PATH with the name of an origin, nfs://HOST/PATH, or a directory.',
    ],
  ],
  [
    'another kind of URL',
    'origins: { store: "http://store.example/" }\n',
    [
      '1:19 error origins.store: the origin "http://store.example/" is not understood: "http" is not a kind of origin. | Give a directory, or nfs://host[:port]/path[?mountport=N].',
    ],
  ],
  [
    'connections that are given twice',
    'origins: { s: { url: "nfs://s/?connections=4", connections: 8 } }\n',
    [
      '1:61 error origins.s.connections: connections are given twice: here, and 4 in the URL. (and 1:22 origins.s.url) | Leave one of them out.',
    ],
  ],
  [
    'a cache that is not defined',
    'caches: { main: { directory: /c } }\nsessions: { a: { origin: /srv, cache: mian } }\n',
    ['2:39 error sessions.a.cache: no cache is called "mian". | Did you mean "main"? There are main.'],
  ],
  [
    'a policy that is not defined',
    'default-policy: hoem\n',
    [
      '1:17 error default-policy: no policy is called "hoem". | Did you mean "home"? There are golden, vm-disk, vm-memory, scratch, home.',
    ],
  ],
  [
    'the API on TCP without a token',
    'daemon: { api: { tcp: "127.0.0.1:7446" } }\n',
    [
      '1:18 error daemon.api.tcp: the API would listen on TCP for everybody: there is no `token-file`. | Add `token-file: FILE`, with a token in a file that only its owner may read.',
    ],
  ],
  [
    'a token that nobody needs',
    'daemon: { api: { token-file: /t } }\n',
    [
      '1:18 warning daemon.api.token-file: nobody needs this token: the API does not listen on TCP. | Add `tcp: 127.0.0.1:7446`, or leave it out.',
    ],
  ],
];

for (const [what, text, problems] of cases) test(what, () => assert.deepEqual(problemsOf(text), problems));

test('one mistake does not hide the others: all are told at once, in the order of the file', () => {
  const text = `${origins}caches:
  main: { directory: /c, sise: 1G }
sessions:
  a: { origin: stroe, listen: 127.0.0.2 }
  b: { listen: 127.0.0.2 }
  c: { origin: store, listen: 127.0.0.2, cache: min, squash: al }
`;
  assert.deepEqual(
    problemsOf(text).map((line) => line.split(':', 3).join(':')),
    [
      '3:26 error caches.main.sise: there is no key "sise" here. | Did you mean "size"? Known here',
      '5:16 error sessions.a.origin: no origin is called "stroe". | Did you mean "store"?',
      '6:3 error sessions.b: the key "origin" is missing. | Add it',
      '7:31 error sessions.c.listen: 127.0.0.2 (NFS on 2049, a portmapper on 111) takes port 2049, and the session "a" listens on the same address (127.0.0.2 (NFS on 2049, a portmapper on 111)). (and 5:31 sessions.a.listen) | Give each an address or a port of its own; 127.0.0.2, .3 and so on are all this host.',
      '7:49 error sessions.c.cache: no cache is called "min". | Did you mean "main"? There are main.',
      '7:62 error sessions.c.squash: "al" is none of none, root, all. | Did you mean "all"?',
    ].map((line) => line.split(':', 3).join(':')),
  );
});

test('what holds: defaults filled in, paths absolute, sizes as numbers, a URL alone as an origin', () => {
  const configuration = configurationOf(`${origins}daemon: { state-directory: state }
caches:
  main: { directory: cache, size: 1.5G }
sessions:
  lab: { origin: "store:/golden", settings: { dirty-limit: 1G, writes: write-back } }
  gift: { origin: ./exports, kind: serve, listen: "127.0.0.9:2050" }
`);
  assert.equal(configuration.daemon.stateDirectory, '/etc/viaduct/state');
  assert.deepEqual(configuration.caches, [
    { name: 'main', directory: '/etc/viaduct/cache', sizeBytes: 1.5 * 1024 ** 3 },
  ]);
  assert.deepEqual(configuration.origins, [{ name: 'store', url: 'nfs://store.example/images' }]);
  assert.deepEqual(configuration.sessions, [
    {
      ...{ name: 'lab', origin: 'store:/golden', kind: 'proxy', cache: 'main', allow: [], squash: 'none' },
      ...{ settings: { 'dirty-limit': '1G', writes: 'write-back' }, takeOver: false },
    },
    {
      ...{ name: 'gift', origin: '/etc/viaduct/exports', kind: 'serve', listen: '127.0.0.9:2050', cache: null },
      ...{ allow: [], squash: 'none', takeOver: false },
    },
  ]);
});
