/**
 * Meta-data and pack of a file in memory, made in the plainest way, and put beside it at an origin: what tests of whoever reads them
 * need. (The real packer is src/images.)
 */
import { statSync } from 'node:fs';
import { assert, seededRandom } from '../base/mod.ts';
import {
  chunkBytes,
  contentDirectory,
  digestOf,
  encodeGroup,
  encodeMeta,
  encodePackHeader,
  groupChunks,
  isZero,
  metaName,
  newPackId,
  packName,
} from '../content/mod.ts';
import {
  type Attributes,
  type Call,
  credential,
  type FileHandle,
  type FileStamp,
  type Filesystem,
  stampOfAttributes,
} from '../vfs/mod.ts';

export interface MadeContent {
  readonly meta: Buffer;
  readonly pack: Buffer;
}

const root: Call = { credential: credential(0, 0), peer: 'packer', priority: 'demand' };

/** `alter` may put something else in the place of a group. */
export async function makeContent(
  bytes: Uint8Array,
  stamp: FileStamp,
  seed = 1,
  alter: (group: Uint8Array, index: number) => Uint8Array = (group) => group,
  isWantedWhole = false,
): Promise<MadeContent> {
  const sectorCount = Math.ceil(bytes.length / chunkBytes);
  const dataMap = new Uint8Array(Math.ceil(sectorCount / 8));
  const numbers = new Map<string, number>();
  const distinct: Uint8Array[] = [];
  const chunks: number[] = [];
  const digests: Uint8Array[] = [];
  for (let sector = 0; sector < sectorCount; sector++) {
    const chunk = new Uint8Array(chunkBytes);
    chunk.set(bytes.subarray(sector * chunkBytes, (sector + 1) * chunkBytes));
    if (isZero(chunk)) continue;
    dataMap[sector >> 3]! |= 1 << (sector & 7);
    const digest = digestOf(chunk);
    const name = Buffer.from(digest).toString('latin1');
    const number = numbers.get(name) ?? distinct.push(chunk) - 1;
    numbers.set(name, number);
    chunks.push(number);
    digests.push(digest);
  }
  const id = newPackId(seededRandom(seed));
  const groups: Uint8Array[] = [];
  const counts: number[] = [];
  for (let first = 0; first < distinct.length; first += groupChunks) {
    const group = distinct.slice(first, first + groupChunks);
    groups.push(alter(await encodeGroup(group, 1), groups.length));
    counts.push(group.length);
  }
  const groupBytes = Uint32Array.from(groups, (group) => group.length);
  const meta = encodeMeta({
    stamp,
    isWantedWhole,
    dataMap,
    chunks: Uint32Array.from(chunks),
    digests: Buffer.concat(digests),
    pack: { id, groupBytes, groupChunks: Uint8Array.from(counts) },
  });
  return { meta: Buffer.concat([...meta]), pack: Buffer.concat([encodePackHeader(id), ...groups]) };
}

/** Packs what the file holds now, and puts it beside the file, owned like it. */
export async function describeFile(
  origin: Filesystem,
  directory: FileHandle,
  name: string,
  bytes: Uint8Array,
  seed = 1,
): Promise<MadeContent> {
  const found = await origin.lookup(root, { directory, name });
  assert(found.status === 0 && found.attributes !== undefined, 'the file is not there');
  const made = await makeContent(bytes, stampOfAttributes(found.attributes), seed);
  await putContent(origin, directory, name, made, found.attributes);
  return made;
}

/** As it is, whatever it is; put in place by rename. */
export async function putContent(
  origin: Filesystem,
  directory: FileHandle,
  name: string,
  made: Partial<MadeContent>,
  like: Pick<Attributes, 'uid' | 'gid' | 'mode'>,
): Promise<void> {
  const set = { mode: 0o755, uid: like.uid, gid: like.gid };
  await origin.mkdir(root, { where: { directory, name: contentDirectory }, set });
  const hidden = await origin.lookup(root, { directory, name: contentDirectory });
  assert(hidden.status === 0, 'no hidden directory');
  for (const [target, bytes] of [
    [packName(name)!, made.pack],
    [metaName(name)!, made.meta],
  ] as const) {
    if (bytes === undefined) continue;
    const from = { directory: hidden.object, name: `${target}.new` };
    const set = { mode: like.mode, uid: like.uid, gid: like.gid };
    const created = await origin.create(root, { where: from, how: { mode: 'guarded', set } });
    assert(created.status === 0 && created.object !== undefined, 'it could not be made');
    for (let offset = 0; offset < bytes.length; offset += 1024 * 1024) {
      const data = bytes.subarray(offset, offset + 1024 * 1024);
      const { object } = created;
      const reply = await origin.write(root, { object, offset, count: data.length, stable: 2, data: [data] });
      assert(reply.status === 0, 'it could not be written');
    }
    const renamed = await origin.rename(root, { from, to: { directory: hidden.object, name: target } });
    assert(renamed.status === 0, 'it could not be put in place');
  }
}

/** Of a file on this host's disk. */
export function stampOfFile(path: string): FileStamp {
  const { size, mtimeNs, ctimeNs, ino } = statSync(path, { bigint: true });
  const second = 1_000_000_000n;
  return {
    size: Number(size),
    mtimeSeconds: Number(mtimeNs / second),
    mtimeNanoseconds: Number(mtimeNs % second),
    ctimeSeconds: Number(ctimeNs / second),
    ctimeNanoseconds: Number(ctimeNs % second),
    fileid: ino,
  };
}
