/** The portmapper's protocol, program 100000 version 2 (RFC 1833 3): types and procedures, for both sides. */
import type { Procedure } from '../rpc/mod.ts';
import { type Codec, voidCodec, XdrError } from '../xdr/mod.ts';

export const portmapProgram = { program: 100000, version: 2 } as const;
export const portmapPort = 111;

/** `prot` values (RFC 1833 3.1). */
export const protocolNumber = { tcp: 6, udp: 17 } as const;
export type Protocol = keyof typeof protocolNumber;

export interface Mapping {
  readonly program: number;
  readonly version: number;
  /** 6 is TCP, 17 is UDP. */
  readonly protocol: number;
  readonly port: number;
}

/** A list longer than this is not believed. */
export const mappingsMaximum = 4096;

export const mappingCodec: Codec<Mapping> = {
  encode(writer, mapping) {
    writer.uint32(mapping.program);
    writer.uint32(mapping.version);
    writer.uint32(mapping.protocol);
    writer.uint32(mapping.port);
  },
  decode: (reader) => ({
    program: reader.uint32(),
    version: reader.uint32(),
    protocol: reader.uint32(),
    port: reader.uint32(),
  }),
};

const mappingListCodec: Codec<readonly Mapping[]> = {
  encode(writer, mappings) {
    for (const mapping of mappings) {
      writer.bool(true);
      mappingCodec.encode(writer, mapping);
    }
    writer.bool(false);
  },
  decode(reader) {
    const mappings: Mapping[] = [];
    while (reader.bool()) {
      if (mappings.length === mappingsMaximum) throw new XdrError(`more than ${mappingsMaximum} mappings`);
      mappings.push(mappingCodec.decode(reader));
    }
    return mappings;
  },
};

const boolCodec: Codec<boolean> = { encode: (writer, value) => writer.bool(value), decode: (reader) => reader.bool() };
const portCodec: Codec<number> = {
  encode: (writer, value) => writer.uint32(value),
  decode: (reader) => reader.uint32(),
};

/** CALLIT's arguments are for another program: not looked at. */
const opaqueCodec: Codec<void> = {
  encode() {},
  decode(reader) {
    reader.rest();
  },
};

export const nullProcedure: Procedure<void, void> = define(0, 'NULL', voidCodec, voidCodec);

/** SET and UNSET do no harm twice: the second answer may differ, the table does not. */
export const portmapProcedures = {
  set: define(1, 'PMAPPROC_SET', mappingCodec, boolCodec),
  unset: define(2, 'PMAPPROC_UNSET', mappingCodec, boolCodec),
  getPort: define(3, 'PMAPPROC_GETPORT', mappingCodec, portCodec),
  dump: define(4, 'PMAPPROC_DUMP', voidCodec, mappingListCodec),
  callIt: define(5, 'PMAPPROC_CALLIT', opaqueCodec, voidCodec),
};

function define<Arguments, Reply>(
  number: number,
  name: string,
  args: Codec<Arguments>,
  reply: Codec<Reply>,
): Procedure<Arguments, Reply> {
  return { number, name, arguments: args, reply, idempotent: true };
}
