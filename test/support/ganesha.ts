/**
 * nfs-ganesha (VFS back end) as a foreign NFSv3 server in this process's network namespace, with the rpcbind that it insists on.
 * Needs root: its back end opens files by handle.
 *
 * Quirks: it needs /run/rpcbind.sock, so /run must be private (namespace.ts); `Bind_addr = 0.0.0.0` does not parse where there is
 * only loopback, so it listens on the wildcard; clients mount by Path.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { attempt, until } from './programs.ts';

export interface Ganesha {
  readonly port: number;
  readonly mountPort: number;
  /** `nfs://127.0.0.1/exported/path`, for libnfs and QEMU through rpcbind. */
  readonly url: string;
  /** With the ports in it, as an ORIGIN. */
  readonly origin: string;
  /** Ends it without a warning and starts it anew: another write verifier. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const port = 12049;
const mountPort = 12050;

export async function startGanesha(options: {
  readonly exported: string;
  readonly scratch: string;
  /** Runs a command in another place (nsenter and its arguments). */
  readonly within?: readonly string[];
}): Promise<Ganesha> {
  const { exported, scratch, within = [] } = options;
  const config = join(scratch, 'ganesha.conf');
  await writeFile(config, configuration(exported, scratch));
  const url = `nfs://127.0.0.1${exported}`;
  const launch = (program: string, args: string[]): ChildProcess => {
    const command = [...within, program, ...args];
    return spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'ignore', 'ignore'] });
  };
  const list = async (): Promise<boolean> => {
    const command = [...within, 'nfs-ls', `${url}/`];
    return (await attempt(command[0]!, command.slice(1), 5000)).code === 0;
  };
  const rpcbind = launch('rpcbind', ['-f']);
  let server: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    const log = join(scratch, 'ganesha.log');
    server = launch('ganesha.nfsd', ['-F', '-f', config, '-L', log, '-p', join(scratch, 'ganesha.pid')]);
    await until('nfs-ganesha answers', list, 30_000);
  };
  try {
    const registered = async (): Promise<boolean> => {
      const command = [...within, 'rpcinfo', '-p', '127.0.0.1'];
      return (await attempt(command[0]!, command.slice(1), 5000)).code === 0;
    };
    await until('rpcbind answers', registered);
    await start();
  } catch (error) {
    await end(server, 'SIGKILL');
    await end(rpcbind, 'SIGKILL');
    throw error;
  }
  return {
    port,
    mountPort,
    url,
    origin: `nfs://127.0.0.1:${port}${exported}?mountport=${mountPort}`,
    async restart() {
      await end(server, 'SIGKILL');
      await start();
    },
    async stop() {
      await end(server, 'SIGKILL');
      await end(rpcbind, 'SIGTERM');
    },
  };
}

function configuration(exported: string, scratch: string): string {
  return `NFS_CORE_PARAM {
  Protocols = 3; NFS_Port = ${port}; MNT_Port = ${mountPort};
  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;
}
NFS_KRB5 { Active_krb5 = false; }
NFSV4 { RecoveryRoot = ${scratch}; Graceless = true; }
EXPORT_DEFAULTS {
  SecType = sys, none; Squash = No_Root_Squash; Access_Type = RW;
  Protocols = 3; Transports = TCP; PrivilegedPort = false;
}
EXPORT { Export_Id = 1; Path = ${exported}; Pseudo = /exported; FSAL { Name = VFS; } }
LOG { Default_Log_Level = CRIT; }
`;
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}
