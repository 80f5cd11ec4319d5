/** The end of several things that are open: each of them is closed, whatever becomes of the others. */
import type { Log } from '../base/mod.ts';

type Close = () => unknown;

/** One after the other; rejects with what the first one that failed says, when all have been tried. */
export async function closeEach(closes: Iterable<Close>): Promise<void> {
  const failures = await failuresOf(closes);
  if (failures.length > 0) throw failures[0];
}

/** The same because of an error, which must not be hidden by what comes of it. False: something could not be closed. */
export async function closeAfterError(closes: Iterable<Close>, log: Log): Promise<boolean> {
  const failures = await failuresOf(closes);
  for (const failure of failures)
    log.warn({ cause: String(failure) }, 'after a start that failed, something could not be closed');
  return failures.length === 0;
}

async function failuresOf(closes: Iterable<Close>): Promise<unknown[]> {
  const failures: unknown[] = [];
  for (const close of closes) {
    try {
      await close();
    } catch (error) {
      failures.push(error);
    }
  }
  return failures;
}
