/** A chunk by its digest, out of the server's own files, as the caller may read them. */
import { chunkBytes, digestOf } from '../content/mod.ts';
import { Access, type Call, type ChunkSource, type FileHandle, type Filesystem, type ReadReply } from '../vfs/mod.ts';

/** A copy whose digest has been computed; undefined if none is found. */
export async function findChunk(
  filesystem: Filesystem,
  source: ChunkSource,
  call: Call,
  digest: Uint8Array,
): Promise<Uint8Array | undefined> {
  for (const { object, offset } of source.find(digest)) {
    const reply = await filesystem.read(call, { object, offset, count: chunkBytes });
    if (reply.status !== 0) continue;
    const chunk = copyOf(reply);
    if (chunk !== undefined && Buffer.compare(digestOf(chunk), digest) === 0) return chunk;
  }
  return undefined;
}

/** Undefined unless it is a whole sector. */
function copyOf(reply: ReadReply & { readonly status: 0 }): Uint8Array | undefined {
  const chunk = reply.count === chunkBytes ? Buffer.concat(reply.data) : undefined;
  reply.release?.();
  return chunk;
}

/** Whether the caller may read a file; each is asked once. */
export function readableChunks(filesystem: Filesystem, call: Call): (object: FileHandle) => Promise<boolean> {
  const known = new Map<FileHandle, Promise<boolean>>();
  const ask = async (object: FileHandle): Promise<boolean> => {
    const reply = await filesystem.access(call, { object, access: Access.READ });
    return reply.status === 0 && (reply.access & Access.READ) !== 0;
  };
  return (object) => {
    let answer = known.get(object);
    if (answer === undefined) {
      answer = ask(object);
      known.set(object, answer);
    }
    return answer;
  };
}
