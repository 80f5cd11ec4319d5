/**
 * A small RPC program and a raw client for tests of the RPC floor: the client builds its bytes by hand, so that it can send what
 * our own client never would.
 */
import { connect, type Socket } from 'node:net';
import { type Eventual, type Log, silentLog } from '../base/mod.ts';
import type { Procedure, RpcCall, RpcProgram } from '../rpc/mod.ts';
import { type Codec, voidCodec, XdrWriter } from '../xdr/mod.ts';

export const testProgram = { program: 0x2000_0001, version: 2 } as const;

const bytesCodec: Codec<Buffer> = {
  encode: (writer, value) => writer.slices([value]),
  decode: (reader) => Buffer.concat(reader.slices(1024 * 1024)),
};
const numberCodec: Codec<number> = {
  encode: (writer, value) => writer.uint32(value),
  decode: (reader) => reader.uint32(),
};
const failingCodec: Codec<void> = {
  encode(writer) {
    writer.uint32(0xdeadbeef);
    throw new Error('this reply cannot be encoded');
  },
  decode() {},
};

function define<Arguments, Reply>(
  number: number,
  name: string,
  args: Codec<Arguments>,
  reply: Codec<Reply>,
  idempotent = true,
): Procedure<Arguments, Reply> {
  return { number, name, arguments: args, reply, idempotent };
}

export const testProcedures = {
  echo: define(1, 'ECHO', bytesCodec, bytesCodec),
  /** Answers when the test says so; the argument names it. */
  hold: define(2, 'HOLD', numberCodec, numberCodec),
  /** Adds to a counter and returns it. */
  add: define(3, 'ADD', numberCodec, numberCodec, false),
  badReply: define(4, 'BADREPLY', voidCodec, failingCodec),
  throws: define(5, 'THROWS', voidCodec, voidCodec),
  /** So many bytes. */
  read: define(6, 'READ', numberCodec, bytesCodec),
  /** As ADD, but answers when the test says so. */
  holdAdd: define(8, 'HOLDADD', numberCodec, numberCodec, false),
  whoAmI: define(9, 'WHOAMI', voidCodec, numberCodec),
};

/** The program's state; procedure 7 is a hole. */
export class TestService {
  counter = 0;
  released = 0;
  calls = 0;
  readonly held = new Map<number, (value: number) => void>();
  readonly program: RpcProgram;

  constructor(version: number = testProgram.version) {
    const hold = (id: number): Promise<number> => new Promise((resolve) => this.held.set(id, resolve));
    const release = (): void => {
      this.released++;
    };
    const count = <T>(reply: T): T => {
      this.calls++;
      return reply;
    };
    const { echo, add, badReply, throws, read, holdAdd, whoAmI } = testProcedures;
    this.program = {
      program: testProgram.program,
      version,
      name: 'test',
      procedures: [
        undefined,
        { procedure: echo, handle: (_call: RpcCall, args: Buffer) => count(args), release },
        {
          procedure: testProcedures.hold,
          handle: (_call: RpcCall, id: number): Eventual<number> => count(hold(id)),
          release,
        },
        { procedure: add, handle: (_call: RpcCall, amount: number) => (this.counter += amount), release },
        { procedure: badReply, handle: () => undefined, release },
        {
          procedure: throws,
          handle: () => {
            throw new Error('a bug in a handler');
          },
        },
        { procedure: read, handle: (_call: RpcCall, size: number) => count(Buffer.alloc(size, 0x5a)), release },
        undefined,
        {
          procedure: holdAdd,
          handle: (_call: RpcCall, amount: number) => {
            this.counter += amount;
            return hold(amount);
          },
          release,
        },
        { procedure: whoAmI, handle: (call: RpcCall) => (call.flavor === 'none' ? 0xffffffff : call.credential.uid) },
      ],
    };
  }
}

export interface RawCall {
  xid?: number;
  messageType?: number;
  rpcVersion?: number;
  program?: number;
  version?: number;
  procedure?: number;
  flavor?: number;
  credential?: Buffer;
  verifierFlavor?: number;
  verifier?: Buffer;
  arguments?: Buffer;
}

/** A call message without its record mark. */
export function rawCall(call: RawCall): Buffer {
  const writer = new XdrWriter();
  writer.uint32(call.xid ?? 1);
  writer.uint32(call.messageType ?? 0);
  writer.uint32(call.rpcVersion ?? 2);
  writer.uint32(call.program ?? testProgram.program);
  writer.uint32(call.version ?? testProgram.version);
  writer.uint32(call.procedure ?? 0);
  writer.uint32(call.flavor ?? 0);
  writer.opaque(call.credential ?? Buffer.alloc(0));
  writer.uint32(call.verifierFlavor ?? 0);
  writer.opaque(call.verifier ?? Buffer.alloc(0));
  writer.raw(call.arguments ?? Buffer.alloc(0));
  return Buffer.concat(writer.take());
}

/** An AUTH_SYS body. */
export function sysBody(uid: number, gid: number, gids: readonly number[] = [], machine = 'host'): Buffer {
  const writer = new XdrWriter();
  writer.uint32(0x1234);
  writer.binaryString(machine);
  writer.uint32(uid);
  writer.uint32(gid);
  writer.uint32(gids.length);
  for (const id of gids) writer.uint32(id);
  return Buffer.concat(writer.take());
}

export function numberArgument(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Cuts `message` into fragments of the given sizes (the last takes the rest) and marks them. */
export function framed(message: Buffer, sizes: readonly number[] = []): Buffer {
  const parts: Buffer[] = [];
  let position = 0;
  for (const size of sizes) {
    const fragment = message.subarray(position, position + size);
    position += fragment.length;
    parts.push(numberArgument(fragment.length), fragment);
  }
  const last = message.subarray(position);
  parts.push(numberArgument((0x8000_0000 + last.length) >>> 0), last);
  return Buffer.concat(parts);
}

export class RawPeer {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  #received: Buffer = Buffer.alloc(0);
  #waiting: (() => void)[] = [];
  #ended = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#ended = true;
        this.#wake();
        resolve();
      });
    });
  }

  static connect(port: number, localPort?: number): Promise<RawPeer> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true, ...(localPort ? { localPort } : {}) });
      socket.once('error', reject);
      socket.once('connect', () => resolve(new RawPeer(socket)));
    });
  }

  send(...messages: Buffer[]): void {
    this.socket.write(Buffer.concat(messages.map((message) => framed(message))));
  }

  /** The next reply message, or undefined if the connection ends before. */
  async reply(): Promise<Buffer | undefined> {
    for (;;) {
      if (this.#received.length >= 4) {
        const length = this.#received.readUInt32BE(0) - 0x8000_0000;
        if (this.#received.length >= 4 + length) {
          const message = this.#received.subarray(4, 4 + length);
          this.#received = this.#received.subarray(4 + length);
          return message;
        }
      }
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** The next reply as 32-bit words. */
  async words(): Promise<number[] | undefined> {
    const message = await this.reply();
    if (message === undefined) return undefined;
    return Array.from({ length: message.length / 4 }, (_, i) => message.readUInt32BE(4 * i));
  }

  async close(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** A log that keeps its lines. */
export class KeptLog implements Log {
  readonly lines: { level: string; fields: object; message: string }[] = [];
  debug = silentLog.debug;
  info = (fields: object, message: string): number => this.lines.push({ level: 'info', fields, message });
  warn = (fields: object, message: string): number => this.lines.push({ level: 'warn', fields, message });
  error = (fields: object, message: string): number => this.lines.push({ level: 'error', fields, message });
}

/** Waits until `condition` holds, at most `limitMs`. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  what: string,
  limitMs = 5000,
): Promise<void> {
  const until = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > until) throw new Error(`did not happen within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
