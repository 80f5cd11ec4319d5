/** Names that only a running daemon or the configuration knows. Whoever presses a key waits for them: quick, or none. */

export const nameKinds = ['sessions', 'policies'] as const;

export async function knownNames(_kind: (typeof nameKinds)[number]): Promise<readonly string[]> {
  return [];
}
