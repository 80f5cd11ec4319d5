/** Policies that contradict, rules that never hold, and sessions that cannot have what their policy says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problemsOf } from './parse-fixture.test.ts';

const main = 'caches: { main: { directory: /c, size: 1G } }\n';

const cases: readonly (readonly [what: string, text: string, problems: readonly string[]])[] = [
  [
    'a setting that contradicts the model it starts from',
    'policies: { p: { model: scratch, commit: origin } }\n',
    [
      '1:42 error policies.p.commit: writes: redirect (model scratch) contradicts commit: origin (policy p): the origin never gets what is written. | Leave `commit` out; `viaduct redirect commit` brings the changes to the origin.',
    ],
  ],
  [
    'two settings that contradict: both places are told',
    'policies:\n  p:\n    writes: read-only\n    dirty-limit: 5G\n',
    [
      '4:18 error policies.p.dirty-limit: writes: read-only (policy p) contradicts dirty-limit: 5G (policy p): no changes wait on this host. (and 3:13 policies.p.writes) | Use `writes: write-back`, or leave `dirty-limit` out.',
    ],
  ],
  [
    'a session whose own settings contradict its policy: both places are told',
    'policies:\n  p: { writes: write-through }\nsessions:\n  a: { origin: /srv, policy: p, settings: { commit: local } }\n',
    [
      '4:53 error sessions.a.settings.commit: writes: write-through (policy p) contradicts commit: local (this session): nothing is kept on this host. (and 2:16 policies.p.writes) | Use `writes: write-back`, or leave `commit` out.',
    ],
  ],
  [
    'a session that a rule for an origin gives its policy, though it names a URL there',
    'origins: { store: "nfs://store.example/images" }\nrules: [{ origin: store, policy: golden }]\nsessions:\n  a: { origin: "nfs://store.example/images/golden", settings: { dirty-limit: 1G } }\n',
    [
      '4:78 error sessions.a.settings.dirty-limit: writes: read-only (model golden) contradicts dirty-limit: 1G (this session): no changes wait on this host. | Use `writes: write-back`, or leave `dirty-limit` out.',
    ],
  ],
  [
    'a policy with the name of a model',
    'policies: { golden: {} }\n',
    [
      '1:13 error policies.golden: "golden" is the name of a built-in model. | Name the policy otherwise, and begin it with `model: golden`.',
    ],
  ],
  [
    'a model that is not there: policies begin with built-in ones only, so that they cannot go in circles',
    'policies: { a: { model: b }, b: { model: a } }\n',
    [
      '1:25 error policies.a.model: "b" is none of golden, vm-disk, vm-memory, scratch, home. | Write one of golden, vm-disk, vm-memory, scratch, home.',
      '1:42 error policies.b.model: "a" is none of golden, vm-disk, vm-memory, scratch, home. | Write one of golden, vm-disk, vm-memory, scratch, home.',
    ],
  ],
  [
    'a rule behind one that matches everything',
    'rules:\n  - { name: all, policy: home }\n  - { path: "*.ram", policy: vm-memory }\n',
    [
      '3:5 warning rules[1]: this rule never holds: rule 1, "all", comes first and matches all that it matches. (and 2:5 rules[0]) | Put it before that one, or remove it: the first rule that matches wins.',
    ],
  ],
  [
    'a size and a glob that are not understood',
    'rules:\n  - { path: "/{a", size: "64M", policy: home }\n',
    [
      '2:13 error rules[0].path: "/{a" is not a pattern of paths: a "{" is not closed. | Write a glob: /golden/**, **/*.{ram,mem}, /home/?*/disk.img; \\ before a character means the character itself.',
      '2:26 error rules[0].size: "64M" is not a comparison of sizes. | Write ">= 64M", "< 1G", ">= 64M, < 1G", or "64M..1G".',
    ],
  ],
  [
    'a quota above what the cache has',
    `${main}policies: { p: { cache-quota: 2G } }\nsessions: { a: { origin: /srv, policy: p } }\n`,
    [
      '2:31 error policies.p.cache-quota: the session "a" may occupy 2G of the cache "main", which has 1G. (and 1:40 caches.main.size) | Give at most 1G, or a larger cache; without a quota it may use all of it.',
    ],
  ],
  [
    'what is pinned without a cache',
    `${main}sessions: { a: { origin: /srv, cache: null, settings: { pin: true } } }\n`,
    [
      '2:62 error sessions.a.settings.pin: the session "a" has no cache to pin data in: it has `cache: null`. (and 2:39 sessions.a.cache) | Give the session a cache, or leave it out.',
    ],
  ],
  [
    'a served directory whose policy keeps changes back, chosen by a rule',
    'rules: [{ path: /srv, policy: vm-disk }]\nsessions: { a: { origin: /srv, kind: serve } }\n',
    [
      '2:13 error sessions.a.policy: a session of kind serve keeps no changes back, and `writes: write-back` of the policy "vm-disk" does. (and 2:38 sessions.a.kind) | Choose a policy with `writes: write-through` or `read-only`, or `kind: proxy`.',
    ],
  ],
  [
    'a lease that is taken for nothing',
    'sessions: { a: { origin: /srv, take-over: true } }\n',
    [
      '1:43 error sessions.a.take-over: only write-back needs the write lease, and the policy "home" has `writes: write-through`. | Leave it out, or use `writes: write-back`.',
    ],
  ],
  [
    'two caches on one directory',
    'caches:\n  a: { directory: /c }\n  b: { directory: /c/ }\n',
    [
      '3:19 error caches.b.directory: the cache "a" has the same directory, /c. (and 2:19 caches.a.directory) | Give each cache its own directory, or let the sessions share one cache.',
    ],
  ],
  [
    'a cache within another',
    'caches:\n  a: { directory: /c/d }\n  b: { directory: /c }\n',
    [
      '3:19 error caches.b.directory: /c and the directory of the cache "a", /c/d, lie in one another. (and 2:19 caches.a.directory) | Put them beside each other, for example /b and /a.',
    ],
  ],
  [
    'a cache within a directory that clients see',
    'caches: { a: { directory: /srv/cache } }\nsessions: { s: { origin: /srv, kind: serve } }\n',
    [
      '1:27 error caches.a.directory: a cache must not lie in a directory that a session gives to clients: /srv/cache is in /srv. (and 2:26 sessions.s.origin) | Put it elsewhere: clients would see it, and could change it.',
    ],
  ],
];

for (const [what, text, problems] of cases) {
  test(`told: ${what}`, () => assert.deepEqual(problemsOf(text), problems));
}

test('rules that overlap in part, or are for other origins, are no mistake', () => {
  const text = `origins: { one: nfs://one/, two: nfs://two/ }
rules:
  - { origin: one, policy: golden }
  - { path: '*.ram', size: '>= 64M', policy: vm-memory }
  - { path: '*.ram', policy: vm-disk }
  - { origin: two, policy: scratch }
`;
  assert.deepEqual(problemsOf(text), []);
});
