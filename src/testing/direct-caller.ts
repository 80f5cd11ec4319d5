/**
 * An `RpcCaller` without a network: arguments and replies go through their wire form, and nothing else happens.
 *
 * `loseReplies` makes the next calls lose their first reply: they are executed twice, with `onRetransmit` in between, as when a
 * connection breaks and the server keeps no duplicate request cache.
 */
import { assert } from '../base/mod.ts';
import {
  type CallOptions,
  noReply,
  type Procedure,
  type RpcCall,
  type RpcCaller,
  type RpcProgram,
} from '../rpc/mod.ts';
import { XdrReader, XdrWriter } from '../xdr/mod.ts';

export class DirectCaller implements RpcCaller {
  loseReplies = 0;
  /** Changes the bytes of the next reply before they are decoded. */
  tamper: ((reply: Buffer) => Buffer) | undefined;
  readonly calls: string[] = [];
  readonly #programs: readonly RpcProgram[];
  readonly #peerAddress: string;

  constructor(programs: readonly RpcProgram[], peerAddress = '127.0.0.1') {
    this.#programs = programs;
    this.#peerAddress = peerAddress;
  }

  async call<Arguments, Reply>(
    program: { readonly program: number; readonly version: number },
    procedure: Procedure<Arguments, Reply>,
    args: Arguments,
    options: CallOptions,
  ): Promise<Reply> {
    this.calls.push(procedure.name);
    if (this.loseReplies > 0) {
      this.loseReplies--;
      await this.#execute(program, procedure, args, options);
      options.onRetransmit?.();
    }
    const bytes = await this.#execute(program, procedure, args, options);
    const tamper = this.tamper;
    this.tamper = undefined;
    const reader = new XdrReader([tamper === undefined ? bytes : tamper(bytes)]);
    const reply = procedure.reply.decode(reader);
    reader.end();
    return reply;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #execute<Arguments, Reply>(
    { program, version }: { readonly program: number; readonly version: number },
    procedure: Procedure<Arguments, Reply>,
    args: Arguments,
    options: CallOptions,
  ): Promise<Buffer> {
    const found = this.#programs.find((each) => each.program === program && each.version === version);
    const served = found?.procedures[procedure.number];
    assert(served !== undefined, `no procedure ${procedure.name}`);
    const writer = new XdrWriter();
    procedure.arguments.encode(writer, args);
    const reader = new XdrReader(writer.take());
    const decoded: unknown = served.procedure.arguments.decode(reader);
    reader.end();
    const call: RpcCall = {
      xid: this.calls.length,
      credential: options.credential,
      flavor: 'sys',
      peer: `${this.#peerAddress}:1000`,
      peerAddress: this.#peerAddress,
      peerPort: 1000,
    };
    const reply: unknown = await served.handle(call, decoded);
    assert(reply !== noReply, `${procedure.name} was not answered`);
    served.procedure.reply.encode(writer, reply);
    const bytes = Buffer.concat(writer.take());
    served.release?.(reply);
    return bytes;
  }
}
