import { strict as assert } from 'node:assert';
import { resolve } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { ViaductError } from '../base/mod.ts';
import { formatOrigin, parseOrigin } from './address.ts';

test('a path is a directory, made absolute', () => {
  assert.deepEqual(parseOrigin('/srv/images'), { kind: 'directory', path: '/srv/images' });
  assert.deepEqual(parseOrigin('images'), { kind: 'directory', path: resolve('images') });
  assert.deepEqual(parseOrigin('/a:b'), { kind: 'directory', path: '/a:b' });
});

test('nfs URLs with and without ports', () => {
  assert.deepEqual(parseOrigin('nfs://store.example/images'), { kind: 'nfs', host: 'store.example', path: '/images' });
  assert.deepEqual(parseOrigin('NFS://10.0.0.1:2050/?mountport=20048&connections=8&privileged-port=yes'), {
    kind: 'nfs',
    host: '10.0.0.1',
    port: 2050,
    path: '/',
    mountPort: 20048,
    connections: 8,
    privilegedPort: true,
  });
});

test('nfsport is the port: the address of a ready line is an origin', () => {
  const expected = { kind: 'nfs', host: '127.0.0.1', port: 2050, path: '/', mountPort: 2050 };
  assert.deepEqual(parseOrigin('nfs://127.0.0.1/?nfsport=2050&mountport=2050'), expected);
  assert.deepEqual(parseOrigin('nfs://127.0.0.1:2050/?nfsport=2050&mountport=2050'), expected);
  refused('nfs://127.0.0.1:2049/?nfsport=2050', /two ports/);
  refused('nfs://127.0.0.1/?nfsport=0', /between 1 and 65535/);
});

test('IPv6 literals stand in brackets', () => {
  assert.deepEqual(parseOrigin('nfs://[fd00::1]:2050/x'), { kind: 'nfs', host: 'fd00::1', port: 2050, path: '/x' });
  refused('nfs://fd00::1/x', /brackets/);
  refused('nfs://[fd00::zz]/x', /not a host name/);
});

test('paths are bytes: percent-encoding and UTF-8 mean the same', () => {
  const path = Buffer.from('/bücher raum').toString('latin1');
  assert.deepEqual(parseOrigin('nfs://h/b%C3%BCcher%20raum'), { kind: 'nfs', host: 'h', path });
  assert.deepEqual(parseOrigin('nfs://h/bücher raum'), { kind: 'nfs', host: 'h', path });
  assert.deepEqual(parseOrigin('nfs://h/100%25%3F%23'), { kind: 'nfs', host: 'h', path: '/100%?#' });
});

test('bad input is refused with its reason and a remedy', () => {
  refused('', /empty/);
  refused('a\0b', /NUL/);
  refused('http://host/x', /not a kind of origin/);
  refused('nfs:/host/x', /two slashes/);
  refused('nfs://host', /path is missing/);
  refused('nfs:///x', /host is missing/);
  refused('nfs://user@host/x', /user names/);
  refused('nfs://host:/x', /port/);
  refused('nfs://host:0/x', /between 1 and 65535/);
  refused('nfs://host:65536/x', /between 1 and 65535/);
  refused('nfs://host:20x/x', /between 1 and 65535/);
  refused('nfs://host/x?mountport=', /mountport/);
  refused('nfs://host/x?version=4', /"version" is not an option/);
  refused('nfs://host/x?mountport=1&mountport=2', /twice/);
  refused('nfs://host/x?privileged-port=1', /neither yes nor no/);
  refused('nfs://host/%zz', /hexadecimal/);
  refused('nfs://host/%00', /NUL/);
  refused('nfs://host/x#y', /%23/);
  refused(`nfs://host/${'x'.repeat(5000)}`, /longer than/);
});

test('formatting and parsing an address gives it back', () => {
  const port = fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined });
  const address = fc.record({
    host: fc.constantFrom('h', 'store.example', '127.0.0.2', '::1'),
    port,
    mountPort: port,
    path: fc.string({ unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)) }),
  });
  fc.assert(
    fc.property(address, (made) => {
      const parsed = parseOrigin(formatOrigin({ kind: 'nfs', ...made, path: `/${made.path}` }));
      const expected = { port: undefined, mountPort: undefined, ...parsed };
      assert.deepEqual(expected, { kind: 'nfs', ...made, path: `/${made.path}` });
    }),
    { seed: 20_261_122 },
  );
});

function refused(text: string, reason: RegExp): void {
  assert.throws(
    () => parseOrigin(text),
    (error) => {
      assert(error instanceof ViaductError);
      assert.equal(error.code, 'ORIGIN_INVALID');
      assert.match(error.message, reason);
      assert.match(error.remedy, /nfs:\/\/host/);
      return true;
    },
  );
}
