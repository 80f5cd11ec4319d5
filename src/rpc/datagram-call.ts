/** One ONC RPC call over UDP: sent again every second until it is answered or its time is over. */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { type Clock, type Random, type Timer, ViaductError } from '../base/mod.ts';
import { XdrReader, XdrWriter } from '../xdr/mod.ts';
import { encodedNoAuth } from './auth.ts';
import { writeCallHeader } from './call.ts';
import { messageType } from './message.ts';
import type { Procedure } from './procedure.ts';
import { readReplyStatus } from './reply.ts';

const resendMs = 1000;

export interface DatagramCallOptions {
  readonly host: string;
  readonly port: number;
  readonly deadlineMs: number;
  readonly clock: Clock;
  readonly random: Random;
}

export async function callDatagram<Arguments, Reply>(
  program: { readonly program: number; readonly version: number },
  procedure: Procedure<Arguments, Reply>,
  args: Arguments,
  options: DatagramCallOptions,
): Promise<Reply> {
  const { address, family } = await lookup(options.host);
  const xid = options.random.uint32();
  const writer = new XdrWriter();
  writeCallHeader(writer, xid, program, procedure.number, encodedNoAuth);
  procedure.arguments.encode(writer, args);
  const message = Buffer.concat(writer.take());
  const server = `${options.host}:${options.port}`;
  const name = { server, program: program.program, version: program.version, procedure: procedure.name };
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
  let resend: Timer | undefined;
  let deadline: Timer | undefined;
  try {
    return await new Promise<Reply>((resolve, reject) => {
      const unreachable = (cause: string): void =>
        reject(
          new ViaductError('ORIGIN_UNREACHABLE', { cause, remedy: 'Check the address and that the server runs.' }),
        );
      const send = (): void => {
        socket.send(message, () => undefined);
        resend = options.clock.after(resendMs, send);
      };
      socket.on('error', (error) => unreachable(`${server} cannot be reached over UDP: ${error.message}`));
      socket.on('message', (datagram) => {
        try {
          const reader = new XdrReader([datagram]);
          if (reader.uint32() !== xid || reader.uint32() !== messageType.reply) return;
          const error = readReplyStatus(reader, name);
          if (error === undefined) resolve(procedure.reply.decode(reader));
          else reject(error);
        } catch (error) {
          unreachable(`${server} answered ${procedure.name} with something that does not decode: ${String(error)}`);
        }
      });
      deadline = options.clock.after(options.deadlineMs, () =>
        reject(
          new ViaductError('TIMED_OUT', {
            cause: `${server} did not answer ${procedure.name} over UDP within ${options.deadlineMs} ms`,
            remedy: 'Check that the server runs and that the network lets this port through.',
          }),
        ),
      );
      socket.connect(options.port, address, send);
    });
  } finally {
    resend?.cancel();
    deadline?.cancel();
    socket.close();
  }
}
