/** HELLO: who the two are and what both can. Repeated after each reconnect, for the server may be another one by then. */
import type { Procedure } from '../rpc/mod.ts';
import { XdrError, type XdrReader, type XdrWriter } from '../xdr/mod.ts';
import { wireLimits, writeExactly } from './protocol.ts';

export interface HelloArguments {
  /** The highest protocol version that the client speaks; it speaks all below. */
  readonly highestVersion: number;
  readonly features: readonly string[];
  /** For the server's log. */
  readonly host: string;
  /** 16 bytes, one character each: this life of the client, or what it keeps over its lives. */
  readonly instance: string;
}
export interface HelloReply {
  /** The highest that both speak; 0: none, and nothing else of the reply means anything. */
  readonly version: number;
  /** Those of the client's that the server serves. */
  readonly features: readonly string[];
  /** 16 bytes: the server, the same as long as it keeps its state. */
  readonly server: string;
  /** 16 bytes: this life of the server. */
  readonly start: string;
}

function writeFeatures(writer: XdrWriter, features: readonly string[]): void {
  if (features.length > wireLimits.features) throw new XdrError(`${features.length} features`);
  writer.uint32(features.length);
  for (const feature of features) writer.binaryString(feature);
}

function readFeatures(reader: XdrReader): string[] {
  const count = reader.uint32();
  if (count > wireLimits.features) throw new XdrError(`${count} features`);
  const features: string[] = [];
  for (let i = 0; i < count; i++) features.push(reader.binaryString(wireLimits.featureBytes));
  return features;
}

export const hello: Procedure<HelloArguments, HelloReply> = {
  number: 1,
  name: 'HELLO',
  idempotent: true,
  arguments: {
    encode(writer, args) {
      writer.uint32(args.highestVersion);
      writeFeatures(writer, args.features);
      writer.binaryString(args.host);
      writeExactly(writer, args.instance, wireLimits.instanceBytes);
    },
    decode(reader) {
      return {
        highestVersion: reader.uint32(),
        features: readFeatures(reader),
        host: reader.binaryString(wireLimits.holderBytes),
        instance: reader.fixedBinaryString(wireLimits.instanceBytes),
      };
    },
  },
  reply: {
    encode(writer, reply) {
      writer.uint32(reply.version);
      writeFeatures(writer, reply.features);
      writeExactly(writer, reply.server, wireLimits.instanceBytes);
      writeExactly(writer, reply.start, wireLimits.instanceBytes);
    },
    decode(reader) {
      return {
        version: reader.uint32(),
        features: readFeatures(reader),
        server: reader.fixedBinaryString(wireLimits.instanceBytes),
        start: reader.fixedBinaryString(wireLimits.instanceBytes),
      };
    },
  },
};
