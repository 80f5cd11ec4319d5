/** Which HTTP status an error of the catalogue has. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorCode, ViaductError } from '../../base/mod.ts';
import { answerOf } from './answers.ts';

test('who may come again later is told so, and who must change something is not', () => {
  const statusOf = (code: ErrorCode): number =>
    answerOf(new ViaductError(code, { cause: 'c', remedy: 'r' }), () => {}).status;
  for (const code of ['STORE_FAILED', 'DISK_FULL', 'ORIGIN_UNREACHABLE', 'DAEMON_BUSY'] as const)
    assert.equal(statusOf(code), 503, code);
  for (const code of ['SESSION_EXISTS', 'LOG_NOT_EMPTY', 'STORE_VERSION'] as const)
    assert.equal(statusOf(code), 409, code);
});
