/** Which boot of the host this is (proc_sys_kernel(5)): what was not synced in another one may be lost. */
import { readFileSync } from 'node:fs';

/** Undefined where the kernel does not tell. */
export function bootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return undefined;
  }
}
