/** The address of the page: what a browser takes, and what is said where there is no page. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pageAddress } from './session-page.ts';

test('the address has the token behind #, which no server sees and the page takes', (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'viaduct-page-'));
  t.after(() => rmSync(scratch, { recursive: true }));
  const tokenFile = join(scratch, 'token');
  const address = (url: string): string => pageAddress({ page: { url, tokenFile } });
  assert.throws(() => address('http://127.0.0.1:7446'), { code: 'PRIVILEGE_NEEDED' });
  writeFileSync(tokenFile, 'abc+#&%_-\n');
  const made = address('http://0.0.0.0:7446');
  assert.match(made, /^http:\/\/127\.0\.0\.1:7446\/#token=/);
  // As src/daemon/page/api.js reads it.
  assert.equal(new URLSearchParams(new URL(made).hash.slice(1)).get('token'), 'abc+#&%_-');
  assert.match(address('http://[::]:7446'), /^http:\/\/\[::1\]:7446\/#/);
});

test('without a port there is no page, and the error says how to get one', () => {
  assert.throws(() => pageAddress({ page: undefined }), { code: 'DAEMON_UNREACHABLE', remedy: /--api 127/ });
});
