/** Policies by themselves: names that are taken, and settings that contradict. */
import { isModel, policyContradictions } from '../policy/mod.ts';
import type { Collector } from './collector.ts';
import type { Configuration } from './configuration.ts';
import type { Path } from './problem.ts';

export function checkPolicies({ policies }: Configuration, collector: Collector): void {
  for (const [name, document] of Object.entries(policies)) {
    const at: Path = ['policies', name];
    if (isModel(name)) {
      collector.error(at, {
        cause: `"${name}" is the name of a built-in model.`,
        remedy: `Name the policy otherwise, and begin it with \`model: ${name}\`.`,
        atKey: true,
      });
      continue;
    }
    for (const { keys, cause, remedy } of policyContradictions(name, policies)) {
      // Of the two, what is written here; the other may be the model's.
      const [path, other] = keys.filter((key) => Object.hasOwn(document, key)).reverse();
      collector.error(path === undefined ? at : [...at, path], {
        cause,
        remedy,
        other: other === undefined ? undefined : [...at, other],
      });
    }
  }
}
