/** Which session a mount of the kernel shows, by what the kernel says of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mountedPath } from './mounted-path.ts';

const vm = { session: { name: 'vm', place: { host: '127.1.0.5', port: 40_123, portmapper: 'none' } } } as const;
const golden = { session: { name: 'golden', place: { host: '127.1.0.6', port: 2049, portmapper: 'own' } } } as const;
const everywhere = { session: { name: 'all', place: { host: '0.0.0.0', port: 2050, portmapper: 'none' } } } as const;
const held = { mountPoint: '/mnt/held', session: { name: 'held', place: undefined } } as const;

const common = 'rw,vers=3,rsize=1048576,namlen=255,hard,nolock,proto=tcp';
const mounts = `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
36 21 0:50 / /mnt/vm rw,relatime shared:7 - nfs 127.1.0.5:/ ${common},port=40123,mountaddr=127.1.0.5,mountport=40123,addr=127.1.0.5
37 21 0:51 / /mnt/with\\040blank rw,relatime - nfs 127.1.0.6:/images ${common},local_lock=all,addr=127.1.0.6
38 36 0:52 / /mnt/vm/tmp rw - tmpfs none rw
39 21 0:53 /deep /mnt/bound rw - nfs 127.1.0.6:/images/ ${common},addr=127.1.0.6
40 21 0:54 / /mnt/other rw - nfs 127.1.0.5:/ ${common},port=40124,addr=127.1.0.5
41 21 0:55 / /mnt/all rw - nfs 127.9.9.9:/ ${common},port=2050,addr=127.9.9.9
42 21 0:56 / /mnt/away rw - nfs 10.0.0.1:/ ${common},port=2050,addr=10.0.0.1
43 21 0:57 / /mnt/twice rw - nfs 127.1.0.6:/a ${common},addr=127.1.0.6
44 43 0:58 / /mnt/twice rw - nfs 127.1.0.5:/b ${common},port=40123,addr=127.1.0.5
`;

function at(path: string): string | undefined {
  const found = mountedPath(path, [vm, golden, everywhere, held], mounts);
  return found && `${found.found.session.name}:${found.inside}`;
}

test('a path below a mount of a session’s address is one of its files, wherever the mount begins', () => {
  assert.equal(at('/mnt/vm/7/disk.raw'), 'vm:/7/disk.raw');
  assert.equal(at('/mnt/vm'), 'vm:');
  assert.equal(at('/mnt/with blank/x'), 'golden:/images/x');
  assert.equal(at('/mnt/bound/x'), 'golden:/images/deep/x');
  assert.equal(at('/mnt/all/x'), 'all:/x');
  assert.equal(at('/mnt/twice/x'), 'vm:/b/x');
});

test('what is not of a session is none, though its mount or a part of its name is like one', () => {
  for (const path of ['/mnt/vm/tmp/x', '/mnt/vmx', '/mnt/other/x', '/mnt/away/x', '/etc/passwd'])
    assert.equal(at(path), undefined, path);
});

test('a mount that a command holds is known from the command', () => {
  assert.equal(at('/mnt/held/7'), 'held:/7');
  assert.equal(mountedPath('/mnt/held/7', [held], 'nothing that the kernel would say\n')?.inside, '/7');
});
