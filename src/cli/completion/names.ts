/** Names that only a running daemon or the configuration knows. Whoever presses a key waits for them: quick, or none. */
import { systemClock } from '../../base/mod.ts';
import { askBriefly } from '../../control/mod.ts';
import { knownPolicies } from '../policy.ts';
import { controlDirectory } from '../process-choice.ts';

export const nameKinds = ['sessions', 'policies'] as const;

const waitMs = 500;

/** Never rejects. */
export async function knownNames(kind: (typeof nameKinds)[number]): Promise<readonly string[]> {
  try {
    const answers = await askBriefly({ directory: controlDirectory(), clock: systemClock, deadlineMs: waitMs });
    const found = answers.flatMap((answer) => (answer.kind === 'answered' ? [answer.status] : []));
    if (kind === 'sessions') return found.flatMap(({ sessions }) => sessions.flatMap(({ name }) => name ?? []));
    // Those of the daemon, which may have another configuration than the usual one.
    const policies = found.flatMap((status) => status.policies ?? []);
    return policies.length > 0 ? policies : (await knownPolicies({})).map(({ name }) => name);
  } catch {
    return [];
  }
}
