/**
 * Memory images of the demo's Debian guest: plain files of its memory after a boot, one for each of two boots. Made once and kept beside
 * the guest in the demo's cache.
 *
 * ```
 *  QEMU (TCG), memory = FILE ── boot ──► ready line ──► quiet ──► stop, migrate (shared memory stays out) ──► FILE is the image
 * ```
 *
 * The guest's disk is opened with `snapshot=on` and never written. A folder without `.new` is complete: it appears by a rename.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import type { Guest } from '../src/demo/mod.ts';
import { until } from '../test/support/programs.ts';

/** Counted up when what is below makes other images. */
const recipeVersion = 1;
const readyLine = 'GUEST-READY';
const bootTimeoutMs = 300_000;
/** The services of the guest settle. */
const quietMs = 5_000;

export interface GuestMemory {
  readonly first: string;
  /** After another boot of the same guest. */
  readonly second: string;
}

export async function prepareGuestMemory(guest: Guest, signal: AbortSignal): Promise<GuestMemory> {
  const folder = `${guest.directory}-memory-${recipeVersion}`;
  const memory = { first: join(folder, 'memory.ram'), second: join(folder, 'memory-2.ram') };
  if (await exists(folder)) return memory;
  const building = `${folder}.new`;
  await rm(building, { recursive: true, force: true });
  await mkdir(building, { recursive: true });
  for (const name of ['memory.ram', 'memory-2.ram']) {
    signal.throwIfAborted();
    await saveMemory(guest, join(building, name), signal);
  }
  await rename(building, folder);
  return memory;
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

async function saveMemory(guest: Guest, path: string, signal: AbortSignal): Promise<void> {
  const control = `${path}.qmp`;
  const size = `${guest.memoryMebibytes}M`;
  const qemu = spawn(
    'qemu-system-x86_64',
    [
      ...[
        '-accel',
        'tcg',
        '-machine',
        'pc,memory-backend=pc.ram',
        '-nodefaults',
        '-no-user-config',
        '-display',
        'none',
      ],
      ...['-no-reboot', '-serial', 'stdio', '-m', size, '-kernel', guest.kernel, '-initrd', guest.initrd],
      ...['-object', `memory-backend-file,id=pc.ram,size=${size},mem-path=${path},share=on`],
      ...['-append', 'console=ttyS0 quiet panic=-1'],
      ...[
        '-drive',
        `file=${guest.disk},format=raw,if=none,id=disk,snapshot=on`,
        '-device',
        'virtio-blk-pci,drive=disk',
      ],
      ...['-qmp', `unix:${control},server=on,wait=off`],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  try {
    await readyGuest(qemu, signal);
    await pause(quietMs);
    const monitor = await Monitor.open(control);
    await monitor.execute('qmp_capabilities');
    await monitor.execute('migrate-set-capabilities', {
      capabilities: [{ capability: 'x-ignore-shared', state: true }],
    });
    await monitor.execute('stop');
    await monitor.execute('migrate', { uri: `exec:cat > '${path}.state'` });
    const isSaved = async (): Promise<boolean> => {
      const { status } = (await monitor.execute('query-migrate')) as { status: string };
      if (status === 'failed') throw new Error('the guest could not be saved');
      return status === 'completed';
    };
    await until('the guest is saved', isSaved, 60_000);
    monitor.close();
  } finally {
    const gone = qemu.exitCode === null && qemu.signalCode === null ? once(qemu, 'exit') : undefined;
    qemu.kill('SIGKILL');
    await gone;
    await rm(control, { force: true });
  }
}

function readyGuest(qemu: ChildProcess, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    const patience = setTimeout(() => reject(new Error(`no ${readyLine}: ${said.slice(-500)}`)), bootTimeoutMs);
    qemu.stdout!.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (!said.includes(readyLine)) return;
      clearTimeout(patience);
      resolve();
    });
    qemu.once('error', reject);
    qemu.once('exit', (code) => reject(new Error(`QEMU ended with ${code}: ${said.slice(-500)}`)));
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** QEMU's control socket: one command at a time; events are passed over. */
class Monitor {
  readonly #socket: net.Socket;
  #rest = '';
  #take: ((answer: { return?: unknown; error?: { desc: string } }) => void) | undefined;

  static async open(path: string): Promise<Monitor> {
    const socket = net.connect(path);
    await once(socket, 'connect');
    return new Monitor(socket);
  }

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop()!;
      for (const line of lines) {
        const answer = JSON.parse(line);
        if ('return' in answer || 'error' in answer) this.#take?.(answer);
      }
    });
  }

  execute(command: string, args: object = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#socket.once('close', () => reject(new Error(`${command}: QEMU is gone`)));
      this.#take = (answer) => {
        if (answer.error === undefined) resolve(answer.return);
        else reject(new Error(`${command}: ${answer.error.desc}`));
      };
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
