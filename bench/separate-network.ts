/**
 * A second network namespace with a /run of its own, entered by nsenter: Ganesha's rpcbind must not meet our portmapper. It is joined
 * to this one by a pair of virtual Ethernet devices, so that a link can lead into it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { run } from '../test/support/programs.ts';

export interface SeparateNetwork {
  /** What goes before a command that is to run there. */
  readonly within: readonly string[];
  /** Of the other side, from here; asked for by `joined`. */
  readonly address: string;
  close(): Promise<void>;
}

const nearAddress = '192.168.111.1';
const farAddress = '192.168.111.2';

export async function separateNetwork(options: { readonly joined?: boolean } = {}): Promise<SeparateNetwork> {
  const script = 'ip link set lo up && mount -t tmpfs tmpfs /run && echo ready && exec sleep infinity';
  const holder = spawn('unshare', ['--net', '--mount', 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await Promise.race([
    once(holder.stdout!, 'data'),
    once(holder, 'exit').then(() => Promise.reject(new Error('no second network namespace'))),
  ]);
  const within = ['nsenter', '--target', String(holder.pid), '--net', '--mount'];
  const close = async (): Promise<void> => {
    const gone = once(holder, 'exit');
    holder.kill('SIGKILL');
    await gone;
  };
  try {
    if (options.joined === true) await join(holder.pid!, within);
  } catch (error) {
    await close();
    throw error;
  }
  return { within, address: farAddress, close };
}

async function join(pid: number, within: readonly string[]): Promise<void> {
  const set = (device: string, address: string): string[][] => [
    ['ip', 'address', 'add', `${address}/30`, 'dev', device],
    ['ip', 'link', 'set', device, 'up'],
  ];
  const commands = [
    ['ip', 'link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far', 'netns', String(pid)],
    ...set('near', nearAddress),
    ...set('far', farAddress).map((command) => [...within, ...command]),
  ];
  for (const command of commands) await run(command[0]!, command.slice(1));
}
