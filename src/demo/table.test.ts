import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTable, type StageName, type StageResult } from './mod.ts';

const result = (stage: StageName, seconds: number, downBytes = 0, upBytes = 0): StageResult => ({
  stage,
  elapsedMs: seconds * 1000,
  reads: 1,
  readBytes: 1,
  upBytes,
  downBytes,
});

test('the table has the ratio to the local boot and the megabytes over the link', () => {
  const table = formatTable([result('local', 16), result('native', 72, 71e6, 400e3), result('warm', 16.8, 12e3, 9e3)]);
  assert.deepEqual(table.split('\n'), [
    'boot                       seconds   to local   MB down   MB up',
    'local file                    16.0      1.00x      0.00    0.00',
    'native NFS over the link      72.0      4.50x      71.0    0.40',
    'Viaduct, warm cache           16.8      1.05x      0.01    0.01',
  ]);
});

test('without a local boot there is no ratio', () => {
  assert.match(formatTable([result('cold', 30, 5e6)]), /^Viaduct, cold cache +30\.0 +- +5\.0/m);
});
