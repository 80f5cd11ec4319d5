/** A second network namespace with a /run of its own, entered by nsenter: Ganesha's rpcbind must not meet our portmapper. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export async function separateNetwork(): Promise<{ within: readonly string[]; close(): Promise<void> }> {
  const script = 'ip link set lo up && mount -t tmpfs tmpfs /run && echo ready && exec sleep infinity';
  const holder = spawn('unshare', ['--net', '--mount', 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await Promise.race([
    once(holder.stdout!, 'data'),
    once(holder, 'exit').then(() => Promise.reject(new Error('no second network namespace'))),
  ]);
  return {
    within: ['nsenter', '--target', String(holder.pid), '--net', '--mount'],
    async close() {
      const gone = once(holder, 'exit');
      holder.kill('SIGKILL');
      await gone;
    },
  };
}
