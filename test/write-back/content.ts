/** Blocks that say which they are and which version of it: torn, stale and misplaced ones are told apart. */
import assert from 'node:assert/strict';

export const blockBytes = 4096;

export function blockContent(block: number, version: number): Buffer {
  const unit = Buffer.alloc(8);
  unit.writeUInt32BE(block, 0);
  unit.writeUInt32BE(version, 4);
  return Buffer.alloc(blockBytes, unit);
}

export function fileContent(blocks: number, version: number): Buffer {
  return Buffer.concat(Array.from({ length: blocks }, (_, block) => blockContent(block, version)));
}

/** Which version a block is; throws if it is torn or another block. */
export function versionOf(bytes: Buffer, block: number): number {
  const version = bytes.readUInt32BE(4);
  const found = bytes.readUInt32BE(0);
  assert.equal(found, block, `where block ${block} belongs is block ${found} of version ${version}`);
  assert.ok(bytes.equals(blockContent(block, version)), `block ${block} is torn`);
  return version;
}

/** Throws unless each block is of the version that `expected` says. */
export function assertVersions(file: Buffer, expected: readonly number[]): void {
  assert.equal(file.length, expected.length * blockBytes);
  const wrong: string[] = [];
  for (const [block, version] of expected.entries()) {
    const found = versionOf(file.subarray(block * blockBytes, (block + 1) * blockBytes), block);
    if (found !== version) wrong.push(`${block}: ${found} instead of ${version}`);
  }
  assert.equal(wrong.length, 0, `${wrong.length} blocks are of another version: ${wrong.slice(0, 8).join(', ')}`);
}
