import type { XdrReader } from './reader.ts';
import type { XdrWriter } from './writer.ts';

/** Both directions of one XDR type. `decode` throws `XdrError`, leaves nothing behind and never allocates before checking. */
export interface Codec<T> {
  encode(writer: XdrWriter, value: T): void;
  decode(reader: XdrReader): T;
}

export const voidCodec: Codec<void> = {
  encode() {},
  decode() {},
};
