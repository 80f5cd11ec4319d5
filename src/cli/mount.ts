/**
 * `viaduct mount`: a proxy on a loopback port and the kernel's NFS client on top of it, undone at the end.
 *
 *   session ready ──► kernel mount ──► its bdi bounded ──► ready ──signal──► unmount ──► session closed
 *                                                            ▲               │ busy: say so and go on serving;
 *                                                            └───────────────┘ a second signal forces, and so does the session's own end
 *
 * Loopback mounts must not deadlock: when memory is short the kernel waits for this process to take dirty pages. So it is marked
 * as an I/O flusher (io-flusher.ts), and the mount's share of dirty memory is bounded.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import { Command } from 'commander';
import { type Log, sleep, systemClock, ViaductError } from '../base/mod.ts';
import { mountFileSystem, UnmountFlag, unmountFileSystem } from '../native/mod.ts';
import type { ListeningPlace } from '../sessions/mod.ts';
import { holdChoice, holdHelp } from './held-request.ts';
import { addProxyOptions, type ProxyFlags, proxyPlan } from './proxy-options.ts';
import { addSessionOptions, type Extra, type Ready, runSession } from './session-command.ts';
import { notEmpty } from './values.ts';
import { writeHelp } from './write-options.ts';

interface MountFlags extends ProxyFlags {
  readonly options?: string;
}

/** Sequential reads of the kernel ask for this much at a time: a whole block of the cache and some. */
const readAheadKiB = 1024;
/** Percent of the dirty limit that pages of this mount may take. */
const dirtyPercent = 10;
const unmountTries = 10;
const unmountPauseMs = 200;
const mountLimitMs = 30_000;

const examples = `
Examples:
  viaduct mount nfs://store.example/images /mnt/images --cache /var/cache/viaduct
  viaduct mount /srv/images /mnt/images -o ro,noatime
  viaduct mount nfs://store.example/ /mnt/vm --cache /var/cache/vm --policy write-back
${writeHelp}

Needs root and a kernel with an NFS client. Ends with SIGINT or SIGTERM and unmounts; while the mount is busy it goes on, and a
second signal unmounts by force.
${holdHelp}`;

export function mountCommand(): Command {
  const command = new Command('mount')
    .summary('mount an origin through a proxy of its own')
    .description('Starts a proxy on a loopback port and mounts it with the kernel’s NFS client.')
    .argument('<origin>', 'a directory or nfs://host[:port]/path[?mountport=PORT]')
    .argument('<mountpoint>', 'an existing directory', notEmpty)
    .option('--cache <directory>', 'where the cache is kept; without it nothing is kept', notEmpty)
    .option('-o, --options <options>', 'more options for the kernel, as for mount(8)');
  return addSessionOptions(addProxyOptions(command)).addHelpText('after', examples).action(mount);
}

async function mount(origin: string, mountPoint: string, flags: MountFlags, command: Command): Promise<void> {
  const target = resolve(mountPoint);
  checkBefore(target);
  const plan = proxyPlan(
    origin,
    { host: '127.0.0.1', port: 0 },
    flags,
    `mount${target.replaceAll(/[^0-9a-zA-Z.]/g, '_')}`,
  );
  const hold = holdChoice(command, plan, '127.0.0.1:0');
  const extend = async (ready: Ready): Promise<Extra> => {
    await mountKernel(ready.place, target, flags.options);
    boundDirtyPages(target, ready.log);
    const abandon = (): void => void unmountFileSystem(target, UnmountFlag.FORCE | UnmountFlag.DETACH);
    ready.signals.onForce = abandon;
    return {
      fields: { mountPoint: target },
      mountPoint: target,
      text: `viaduct mount: ${origin} is mounted on ${target}`,
      finish: () => unmountWhenTold(target, ready),
      // Without a server a plain unmount of a hard mount can wait for ever, and this process with it.
      abandon,
    };
  };
  await runSession({ command: 'mount', plan, flags, hold, extend });
}

function checkBefore(target: string): void {
  if (process.getuid?.() !== 0) {
    throw new ViaductError('PRIVILEGE_NEEDED', {
      cause: 'Only root can mount.',
      remedy: 'Run as root, or use `viaduct proxy` with a client of its own.',
    });
  }
  const found = statSync(target, { throwIfNoEntry: false });
  if (found === undefined || !found.isDirectory()) {
    throw new ViaductError('CONFIGURATION_INVALID', {
      cause: `The mount point ${target} is not a directory: ${found === undefined ? 'it does not exist' : 'it is a file'}.`,
      remedy: found === undefined ? `Make it: mkdir -p ${target}` : 'Name an existing directory.',
    });
  }
}

async function mountKernel({ port, host }: ListeningPlace, target: string, more: string | undefined): Promise<void> {
  const common = `vers=3,proto=tcp,nolock,port=${port},mountport=${port},mountproto=tcp${more === undefined ? '' : `,${more}`}`;
  const helper = ['/sbin/mount.nfs', '/usr/sbin/mount.nfs'].find((path) => existsSync(path));
  const failure =
    helper === undefined
      ? messageOf(mountFileSystem(`${host}:/`, target, 'nfs', `${common},addr=${host}`))
      : await run(helper, [`${host}:/`, target, '-o', common]);
  if (failure === undefined) return;
  const hasClient = /\bnfs$/m.test(readFileSync('/proc/filesystems', 'utf8'));
  throw new ViaductError('KERNEL_MOUNT_FAILED', {
    cause: `${target} could not be mounted: ${failure}`,
    remedy: hasClient
      ? 'Look at the kernel’s log (dmesg) for its reason.'
      : 'This kernel has no NFS client loaded: try `modprobe nfsv3` (on the host, for a container), or use `viaduct proxy` with nfs:// in QEMU.',
  });
}

function messageOf(result: number): string | undefined {
  return result === 0 ? undefined : getSystemErrorMessage(result);
}

/** The output of a program that failed; undefined if it did not. */
function run(program: string, args: string[]): Promise<string | undefined> {
  return new Promise((done) => {
    execFile(program, args, { timeout: mountLimitMs, killSignal: 'SIGKILL' }, (error, _stdout, stderr) => {
      done(error === null ? undefined : stderr.trim() || error.message);
    });
  });
}

function boundDirtyPages(target: string, log: Log): void {
  const device = statSync(target).dev;
  const directory = `/sys/class/bdi/${(device >> 8) & 0xfff}:${(device & 0xff) | ((device >> 12) & 0xfff00)}`;
  for (const [name, value] of [
    ['read_ahead_kb', readAheadKiB],
    ['max_ratio', dirtyPercent],
  ]) {
    try {
      writeFileSync(`${directory}/${name}`, String(value));
    } catch (error) {
      log.warn({ error: String(error) }, `${name} of the mount could not be set`);
    }
  }
}

async function unmountWhenTold(target: string, { signals, log }: Ready): Promise<void> {
  let told = signals.requested;
  for (;;) {
    await told;
    let result = unmountFileSystem(target, 0);
    for (let i = 1; i < unmountTries && result !== 0 && isMounted(target); i++) {
      await sleep(systemClock, unmountPauseMs);
      result = unmountFileSystem(target, 0);
    }
    if (result === 0 || !isMounted(target)) return;
    log.error(
      { target, reason: messageOf(result) },
      'the mount is busy, so this process goes on serving it; a second signal at once unmounts by force',
    );
    told = signals.rearm();
  }
}

function isMounted(target: string): boolean {
  const escaped = target.replaceAll(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`);
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[1] === escaped);
}
