/**
 * Wire forms of attributes: nfstime3, fattr3, post_op_attr, wcc_data, sattr3 (RFC 1813 2.5, 2.6).
 *
 *     fattr3   type mode nlink uid gid size(8) used(8) rdev(8) fsid(8) fileid(8) atime(8) mtime(8) ctime(8)     84 bytes
 */
import { limits } from '../base/mod.ts';
import type { Attributes, FileTypeCode, SetAttributes, Time, WccAttributes, WccData } from '../vfs/mod.ts';
import { type Codec, XdrError, type XdrReader, type XdrWriter } from '../xdr/mod.ts';

export const attributesBytes = 84;

/** A size that a double may not hold exactly is shown as the largest that it does. */
export function readSize(reader: XdrReader): number {
  return Math.min(reader.size64(), limits.fileBytes);
}

export function readTime(reader: XdrReader): Time {
  return { seconds: reader.uint32(), nanoseconds: reader.uint32() };
}

export function writeTime(writer: XdrWriter, time: Time): void {
  writer.uint32(time.seconds);
  writer.uint32(time.nanoseconds);
}

export function writeAttributes(writer: XdrWriter, value: Attributes): void {
  writer.uint32(value.type);
  writer.uint32(value.mode);
  writer.uint32(value.nlink);
  writer.uint32(value.uid);
  writer.uint32(value.gid);
  writer.size64(value.size);
  writer.size64(value.used);
  writer.uint32(value.deviceMajor);
  writer.uint32(value.deviceMinor);
  writer.uint64(value.fsid);
  writer.uint64(value.fileid);
  writeTime(writer, value.atime);
  writeTime(writer, value.mtime);
  writeTime(writer, value.ctime);
}

export function readAttributes(reader: XdrReader): Attributes {
  return {
    type: reader.enumeration(7, 1) as FileTypeCode,
    mode: reader.uint32() & 0o7777,
    nlink: reader.uint32(),
    uid: reader.uint32(),
    gid: reader.uint32(),
    size: readSize(reader),
    used: readSize(reader),
    deviceMajor: reader.uint32(),
    deviceMinor: reader.uint32(),
    fsid: reader.uint64(),
    fileid: reader.uint64(),
    atime: readTime(reader),
    mtime: readTime(reader),
    ctime: readTime(reader),
  };
}

/** post_op_attr */
export function writeOptionalAttributes(writer: XdrWriter, value: Attributes | undefined): void {
  writer.bool(value !== undefined);
  if (value !== undefined) writeAttributes(writer, value);
}

export function readOptionalAttributes(reader: XdrReader): Attributes | undefined {
  return reader.bool() ? readAttributes(reader) : undefined;
}

/** pre_op_attr */
function writeOptionalWcc(writer: XdrWriter, value: WccAttributes | undefined): void {
  writer.bool(value !== undefined);
  if (value === undefined) return;
  writer.size64(value.size);
  writeTime(writer, value.mtime);
  writeTime(writer, value.ctime);
}

function readOptionalWcc(reader: XdrReader): WccAttributes | undefined {
  if (!reader.bool()) return undefined;
  return { size: readSize(reader), mtime: readTime(reader), ctime: readTime(reader) };
}

export function writeWcc(writer: XdrWriter, value: WccData): void {
  writeOptionalWcc(writer, value.before);
  writeOptionalAttributes(writer, value.after);
}

export function readWcc(reader: XdrReader): WccData {
  return { before: readOptionalWcc(reader), after: readOptionalAttributes(reader) };
}

/** time_how: DONT_CHANGE, SET_TO_SERVER_TIME, SET_TO_CLIENT_TIME. */
function writeSetTime(writer: XdrWriter, value: 'server' | Time | undefined): void {
  if (value === undefined) writer.uint32(0);
  else if (value === 'server') writer.uint32(1);
  else {
    writer.uint32(2);
    writeTime(writer, value);
  }
}

function readSetTime(reader: XdrReader): 'server' | Time | undefined {
  const how = reader.enumeration(2);
  return how === 0 ? undefined : how === 1 ? 'server' : readTime(reader);
}

function writeOptional32(writer: XdrWriter, value: number | undefined): void {
  writer.bool(value !== undefined);
  if (value !== undefined) writer.uint32(value);
}

function readOptional32(reader: XdrReader): number | undefined {
  return reader.bool() ? reader.uint32() : undefined;
}

/** sattr3. Sizes come as they are sent: the server refuses what is too large. */
export const setAttributes: Codec<SetAttributes> = {
  encode(writer, value) {
    writeOptional32(writer, value.mode);
    writeOptional32(writer, value.uid);
    writeOptional32(writer, value.gid);
    writer.bool(value.size !== undefined);
    if (value.size !== undefined) writer.size64(value.size);
    writeSetTime(writer, value.atime);
    writeSetTime(writer, value.mtime);
  },
  decode(reader) {
    const mode = readOptional32(reader);
    return {
      mode: mode === undefined ? undefined : mode & 0o7777,
      uid: readOptional32(reader),
      gid: readOptional32(reader),
      size: reader.bool() ? reader.size64() : undefined,
      atime: readSetTime(reader),
      mtime: readSetTime(reader),
    };
  },
};

/** Eight bytes as they are: writeverf3, createverf3, cookieverf3. */
export const verifierBytes = 8;

export function writeVerifier(writer: XdrWriter, value: string): void {
  if (value.length !== verifierBytes) throw new XdrError(`a verifier of ${value.length} bytes`);
  writer.fixedBinaryString(value);
}

export function readVerifier(reader: XdrReader): string {
  return reader.fixedBinaryString(verifierBytes);
}
