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
    return kind === 'sessions' ? await sessionNames() : (await knownPolicies({})).map(({ name }) => name);
  } catch {
    return [];
  }
}

async function sessionNames(): Promise<readonly string[]> {
  const answers = await askBriefly({ directory: controlDirectory(), clock: systemClock, deadlineMs: waitMs });
  return answers.flatMap((answer) =>
    answer.kind === 'answered' ? answer.status.sessions.flatMap(({ name }) => name ?? []) : [],
  );
}
