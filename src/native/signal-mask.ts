/**
 * Node's `--disable-sigusr1` keeps the inspector away and, beyond that, leaves SIGUSR1 blocked in the main thread, so that no handler
 * ever runs. This lets it in. Until then the signal waits: one that comes before a handler is set is not lost and harms nobody.
 */
import { constants } from 'node:os';
import { libc } from './libc.ts';

const sigemptyset = libc.func('int sigemptyset(void *set)');
const sigaddset = libc.func('int sigaddset(void *set, int number)');
const pthreadSigmask = libc.func('int pthread_sigmask(int how, void *set, void *old)');
const SIG_UNBLOCK = 1;
/** sizeof(sigset_t) in glibc. */
const setBytes = 128;

/** In the calling thread. 0, or a negative errno. */
export function unblockSignal(signal: NodeJS.Signals): number {
  const set = Buffer.alloc(setBytes);
  sigemptyset(set);
  sigaddset(set, constants.signals[signal]);
  return -pthreadSigmask(SIG_UNBLOCK, set, null);
}
