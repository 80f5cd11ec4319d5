/** Floor 1: XDR wire primitives (RFC 4506). */
export { type Codec, voidCodec } from './codec.ts';
export { XdrError, XdrReader } from './reader.ts';
export { type WriterMark, XdrWriter } from './writer.ts';
