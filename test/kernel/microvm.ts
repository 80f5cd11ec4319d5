/**
 * A microVM with the Linux kernel's own NFS client: Debian's kernel under QEMU (TCG), an initramfs of busybox and modules, and a
 * read-only root disk with Node and the given files. It runs one shell script and powers itself off.
 *
 *     /dev/vda  root disk, read-only: /bin/busybox, /lib*, /app/...     /dev/vdb  scratch, ext4, only if asked for
 *     network   QEMU's user mode: the host's loopback is 10.0.2.2
 *     console   lines from the guest; the last is `EXIT code`
 *
 * Nothing outlives `run`: the process is killed by its id when the time is over or the test is aborted. The time is over when the guest
 * has said nothing for too long: how long its work takes depends on the machine, but work that goes on says so.
 */
import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { createInterface } from 'node:readline';

const moduleNames = ['virtio_pci', 'virtio_blk', 'virtio_net', 'ext4', 'nfsv3'];
/** A boot takes ten seconds on an idle machine, and says nothing until its script begins. */
const defaultSilenceMs = 120_000;
/** Not on TCG's CPU; the generic implementation does. */
const unusableModules = new Set(['crc32c-intel.ko']);

export interface MicroVmOptions {
  readonly memoryMiB: number;
  /** Shell (busybox ash) script, run in a chroot of the root disk with /proc, /sys, /dev, /tmp and the network up. */
  readonly script: string;
  /** Files and folders that go onto the root disk, by their path there: `{ '/app/workload.ts': '...source path...' }`. */
  readonly files?: Readonly<Record<string, string>>;
  /** Programs of this machine that go onto the root disk with their shared libraries, by their path here and there. */
  readonly programs?: readonly string[];
  /** Node and koffi on the root disk (default); without them it is built in a moment. */
  readonly node?: boolean;
  readonly scratchMiB?: number;
  /** A raw disk for /dev/vdb in place of the scratch disk: a path, or a URL that QEMU understands. */
  readonly disk?: string;
  /** Kills the machine, as a power cut does. */
  readonly signal?: AbortSignal;
  /** For so long the guest may say nothing (default: two minutes); its script tells how far it is. */
  readonly silenceMs?: number;
  /** And so long it may take on the slowest machine. */
  readonly wholeMs: number;
  readonly onLine?: (line: string) => void;
}

export interface MicroVmResult {
  readonly lines: readonly string[];
  /** The script's exit code, or undefined when the guest never said. */
  readonly exitCode: number | undefined;
}

export interface Kernel {
  readonly image: string;
  /** Module files in the order in which they must be loaded. */
  readonly modules: readonly string[];
}

/** Debian's newest kernel package, fetched once with apt and unpacked (not installed) below `directory`. */
export function fetchKernel(directory: string): Kernel {
  const unpacked = path.join(directory, 'kernel');
  if (!fs.existsSync(unpacked)) {
    fs.mkdirSync(directory, { recursive: true });
    const staging = fs.mkdtempSync(path.join(directory, 'staging-'));
    const depends = execFileSync('apt-cache', ['depends', 'linux-image-amd64'], { encoding: 'utf8' });
    const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
    if (name === undefined) throw new Error('apt-cache knows no linux-image-amd64; run apt-get update');
    execFileSync('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', 'download', name], {
      cwd: staging,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const archive = fs.readdirSync(staging).find((entry) => entry.endsWith('.deb'));
    execFileSync('dpkg-deb', ['-x', path.join(staging, archive!), path.join(staging, 'root')]);
    const version = fs.readdirSync(path.join(staging, 'root/lib/modules'))[0]!;
    execFileSync('depmod', ['-b', path.join(staging, 'root'), version]);
    moveUnlessThere(path.join(staging, 'root'), unpacked);
    fs.rmSync(staging, { recursive: true });
  }
  const version = fs.readdirSync(path.join(unpacked, 'lib/modules'))[0]!;
  const modules = new Set<string>();
  for (const name of moduleNames) {
    const listed = execFileSync('modprobe', ['-d', unpacked, '-S', version, '--show-depends', name], {
      encoding: 'utf8',
    });
    for (const match of listed.matchAll(/^insmod (\S+)/gm)) {
      if (!unusableModules.has(path.basename(match[1]!))) modules.add(match[1]!);
    }
  }
  return { image: path.join(unpacked, 'boot', `vmlinuz-${version}`), modules: [...modules] };
}

/** Two files that start at once may both have fetched it: it is the same. */
function moveUnlessThere(from: string, to: string): void {
  try {
    fs.renameSync(from, to);
  } catch (error) {
    if (!fs.existsSync(to)) throw error;
  }
}

/** Mounts the root of a server on the host's loopback with the kernel's own mount protocol client. */
export function mountCommand(port: number, where: string): string {
  const options = `vers=3,tcp,nolock,noresvport,port=${port},mountport=${port},mountproto=tcp,addr=10.0.2.2`;
  return `mount -i -t nfs -o ${options} 10.0.2.2:/ ${where}`;
}

export async function runMicroVm(kernel: Kernel, options: MicroVmOptions): Promise<MicroVmResult> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'viaduct-microvm-'));
  try {
    const disks = [buildRootDisk(directory, options)];
    if (options.disk !== undefined) disks.push(options.disk);
    if (options.scratchMiB !== undefined) {
      const scratch = path.join(directory, 'scratch.raw');
      execFileSync('mke2fs', ['-q', '-t', 'ext4', scratch, `${options.scratchMiB}M`], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      disks.push(scratch);
    }
    const initramfs = buildInitramfs(directory, kernel, options.script);
    return await boot(kernel, initramfs, disks, options);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

async function boot(
  kernel: Kernel,
  initramfs: string,
  disks: string[],
  options: MicroVmOptions,
): Promise<MicroVmResult> {
  const drives = disks.flatMap((file, index) => [
    '-drive',
    // What a test gives is written as a careful monitor writes: flushes count.
    `file=${file},if=virtio,format=raw,cache=${file === options.disk ? 'writeback' : 'unsafe'},readonly=${index === 0 ? 'on' : 'off'}`,
  ]);
  // biome-ignore format: one option a line
  const child = spawn('qemu-system-x86_64', [
    '-nodefaults', '-no-user-config', '-no-reboot', '-nographic',
    '-machine', 'pc,accel=tcg', '-cpu', 'max', '-m', `${options.memoryMiB}`,
    '-kernel', kernel.image, '-initrd', initramfs,
    '-append', 'console=ttyS0 quiet panic=-1 random.trust_cpu=on tsc=reliable',
    '-serial', 'stdio', '-monitor', 'none',
    '-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0,romfile=',
    ...drives,
  ], { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const patience = new Patience(options, () => child.kill('SIGKILL'));
  options.signal?.addEventListener('abort', () => child.kill('SIGKILL'), { once: true });
  const exited = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  try {
    for await (const raw of createInterface({ input: child.stdout })) {
      const line = raw.replace(/\r$/, '');
      lines.push(line);
      patience.heard(line);
      options.onLine?.(line);
    }
    await exited;
  } finally {
    patience.end();
    child.kill('SIGKILL');
  }
  if (patience.lost !== undefined) throw new Error(`${patience.lost}\n${lines.slice(-30).join('\n')}`);
  if (errors.trim() !== '') lines.push(`QEMU: ${errors.trim()}`);
  const exit = lines.map((line) => /^EXIT (\d+)$/.exec(line)?.[1]).find((code) => code !== undefined);
  return { lines, exitCode: exit === undefined ? undefined : Number(exit) };
}

/** Two limits: of silence, and of the whole. */
class Patience {
  /** What to say when one was reached. */
  lost: string | undefined;
  readonly #startedMs = performance.now();
  readonly #silence: NodeJS.Timeout;
  readonly #whole: NodeJS.Timeout;
  #heardMs = this.#startedMs;
  #line = '(nothing yet)';

  constructor({ silenceMs = defaultSilenceMs, wholeMs }: MicroVmOptions, kill: () => void) {
    const give = (limit: string): void => {
      const at = (ms: number): string => `${((ms - this.#startedMs) / 1000).toFixed(1)} s`;
      const now = at(performance.now());
      this.lost ??= `the guest's time ran out ${now} after its start: ${limit}. Its last line came at ${at(this.#heardMs)}: ${this.#line}`;
      kill();
    };
    this.#silence = setTimeout(() => give(`it said nothing for ${silenceMs / 1000} s`), silenceMs);
    this.#whole = setTimeout(() => give(`it may take ${wholeMs / 1000} s, and was still at work`), wholeMs);
  }

  heard(line: string): void {
    this.#silence.refresh();
    this.#heardMs = performance.now();
    if (line !== '') this.#line = line;
  }

  end(): void {
    clearTimeout(this.#silence);
    clearTimeout(this.#whole);
  }
}

function buildInitramfs(directory: string, kernel: Kernel, script: string): string {
  const tree = path.join(directory, 'initramfs');
  fs.mkdirSync(path.join(tree, 'bin'), { recursive: true });
  fs.mkdirSync(path.join(tree, 'modules'));
  fs.copyFileSync('/bin/busybox', path.join(tree, 'bin/busybox'));
  const loads = kernel.modules.map((file) => {
    fs.copyFileSync(file, path.join(tree, 'modules', path.basename(file)));
    return `insmod /modules/${path.basename(file)}`;
  });
  fs.writeFileSync(path.join(tree, 'init'), initScript(loads.join('\n')), { mode: 0o755 });
  fs.writeFileSync(path.join(tree, 'script.sh'), script);
  const archive = path.join(directory, 'initramfs.cpio');
  execFileSync('sh', ['-c', `find . | cpio -o -H newc --quiet > ${JSON.stringify(archive)}`], { cwd: tree });
  return archive;
}

function initScript(loads: string): string {
  return `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/app/bin
mkdir -p /proc /sys /dev /root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
${loads}
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
route add default gw 10.0.2.2
mount -t ext4 -o ro /dev/vda /root || echo "EXIT 90"
mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount -t devtmpfs dev /root/dev
for folder in tmp var run; do mount -t tmpfs tmp /root/$folder; done
mkdir -p /root/tmp/nfs /root/tmp/scratch
[ -b /dev/vdb ] && mount -t ext4 /dev/vdb /root/tmp/scratch
cp /script.sh /root/tmp/script.sh
echo
chroot /root /bin/busybox sh /tmp/script.sh 2>&1
echo "EXIT $?"
dmesg | grep -v audit | tail -n 20
sync
poweroff -f
`;
}

/** The root disk: busybox, Node and other programs with their shared libraries, koffi, and the caller's files. */
function buildRootDisk(directory: string, options: MicroVmOptions): string {
  const { files = {}, programs = [], node = true } = options;
  const tree = path.join(directory, 'root');
  for (const folder of ['bin', 'proc', 'sys', 'dev', 'tmp', 'var', 'run', 'etc', 'app/bin', 'app/node_modules']) {
    fs.mkdirSync(path.join(tree, folder), { recursive: true });
  }
  fs.copyFileSync('/bin/busybox', path.join(tree, 'bin/busybox'));
  for (const applet of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n')) {
    if (applet !== 'busybox') fs.symlinkSync('busybox', path.join(tree, 'bin', applet));
  }
  if (node) {
    copyProgram(tree, process.execPath, '/app/bin/node');
    const packages = path.resolve(import.meta.dirname, '../../node_modules');
    for (const name of ['koffi', '@koromix']) copyInto(tree, path.join(packages, name), `/app/node_modules/${name}`);
  }
  for (const program of programs) copyProgram(tree, program, program);
  for (const [target, source] of Object.entries(files)) copyInto(tree, source, target);
  const disk = path.join(directory, 'root.raw');
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', tree, disk, node ? '700M' : '48M'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  fs.rmSync(tree, { recursive: true });
  return disk;
}

function copyProgram(tree: string, program: string, target: string): void {
  copyInto(tree, program, target);
  for (const match of execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)) {
    copyInto(tree, match[1]!, match[1]!);
  }
}

function copyInto(tree: string, source: string, target: string): void {
  fs.cpSync(source, path.join(tree, target), { recursive: true, dereference: true });
}
