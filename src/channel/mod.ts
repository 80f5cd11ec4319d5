/** Floor 3: Viaduct's own RPC program beside NFS on the same connection: hello, write leases, conditional changes. */
export { Bitmap } from './bitmap.ts';
export { commitThrough, pending, writeBack } from './chain.ts';
export { ChunkIndex, type ChunkIndexOptions } from './chunk-index.ts';
export { channelClient } from './client.ts';
export { setattrIf, writeIf } from './conditional.ts';
export {
  type HaveReply,
  have,
  type Reference,
  type ReferenceReply,
  type ReferenceWrite,
  writeReferences,
} from './have.ts';
export { type HelloArguments, type HelloReply, hello } from './hello.ts';
export { identity } from './identity.ts';
export { looksCompressible, pack, type Sifted, sift } from './packed.ts';
export { type ChannelProgramOptions, channelProgram } from './program.ts';
export { channelProgram as channelNumbers, Feature, protocolVersion, wireLimits } from './protocol.ts';
export { publishWorkingSet } from './publish-working-set.ts';
export { checkVector, type PackedVectorReply, readVector, unpackVector } from './read-vector.ts';
export { walk, wrongWalk } from './walk.ts';
export { type PackedWrite, writePacked } from './write-packed.ts';
