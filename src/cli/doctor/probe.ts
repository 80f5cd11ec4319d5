/** One question about this machine, with a short time to answer it: a diagnosis that hangs on what it diagnoses is none. */

export type ProbeState = 'ok' | 'warn' | 'fail';

export interface Finding {
  readonly name: string;
  readonly state: ProbeState;
  readonly message: string;
  readonly remedy?: string | undefined;
}

export interface Probe {
  readonly name: string;
  /** Never on the calling thread for long: what may block (file systems, programs) is asked asynchronously. */
  look(): Promise<Omit<Finding, 'name'>>;
}

export const probeLimitMs = 5_000;

export function ok(message: string): Omit<Finding, 'name'> {
  return { state: 'ok', message };
}

export function warn(message: string, remedy: string): Omit<Finding, 'name'> {
  return { state: 'warn', message, remedy };
}

export function fail(message: string, remedy: string): Omit<Finding, 'name'> {
  return { state: 'fail', message, remedy };
}

/** Runs all probes at once; one that fails or dawdles is a finding like any other. */
export function runProbes(probes: readonly Probe[], limitMs = probeLimitMs): Promise<Finding[]> {
  return Promise.all(probes.map((probe) => runProbe(probe, limitMs)));
}

async function runProbe(probe: Probe, limitMs: number): Promise<Finding> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Omit<Finding, 'name'>>((resolve) => {
    timer = setTimeout(
      () =>
        resolve(
          warn(
            `no answer within ${limitMs / 1000} s`,
            'Something hangs: often a dead network file system (see `mount`).',
          ),
        ),
      limitMs,
    );
  });
  try {
    return { name: probe.name, ...(await Promise.race([probe.look(), late])) };
  } catch (error) {
    return {
      name: probe.name,
      ...warn(`could not be found out: ${error instanceof Error ? error.message : error}`, 'None known.'),
    };
  } finally {
    clearTimeout(timer);
  }
}
