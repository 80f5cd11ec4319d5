/** Names that must be defined elsewhere in the file, and what contradicts without knowing policies. */
import { nearest, ViaductError } from '../base/mod.ts';
import { parseOrigin } from '../origins/mod.ts';
import { modelNames } from '../policy/mod.ts';
import type { Collector } from './collector.ts';
import type { Configuration } from './configuration.ts';
import { isOriginAddress, resolveOrigin } from './origins.ts';
import type { Path } from './problem.ts';

export function checkReferences(configuration: Configuration, collector: Collector, folder: string): void {
  const { sessions, rules, defaultPolicy, daemon } = configuration;
  const policies = [...collector.namesAt(['policies']), ...modelNames];
  const caches = collector.namesAt(['caches']);
  // Also those with mistakes of their own: they are there.
  const originNames = collector.namesAt(['origins']);
  for (const { name, origin, policy, cache, kind, takeOver } of sessions) {
    const at = (key: string): Path => ['sessions', name, key];
    checkOrigin({ text: origin, path: at('origin'), originNames }, configuration, collector, folder);
    if (policy !== undefined)
      checkName({ path: at('policy'), name: policy, known: policies, kind: 'policy' }, collector);
    if (cache !== null) checkName({ path: at('cache'), name: cache, known: caches, kind: 'cache' }, collector);
    if (takeOver && kind === 'serve') {
      collector.error(at('take-over'), {
        cause: 'a session of kind serve takes no lease: it gives them.',
        remedy: 'Leave it out.',
        other: at('kind'),
      });
    }
  }
  for (const [index, { policy, origin }] of rules.entries()) {
    checkName({ path: ['rules', index, 'policy'], name: policy, known: policies, kind: 'policy' }, collector);
    if (origin !== undefined)
      checkName({ path: ['rules', index, 'origin'], name: origin, known: originNames, kind: 'origin' }, collector);
  }
  checkName({ path: ['default-policy'], name: defaultPolicy, known: policies, kind: 'policy' }, collector);
  checkApi(daemon.api, collector);
  checkOrigins(configuration, collector);
}

function checkName(
  { path, name, known, kind }: { path: Path; name: string; known: readonly string[]; kind: string },
  collector: Collector,
): void {
  if (known.includes(name)) return;
  const meant = nearest(name, known);
  const there = known.length === 0 ? `There is none: add it under \`${kind}s\`.` : `There are ${known.join(', ')}.`;
  collector.error(path, {
    cause: `no ${kind} is called ${JSON.stringify(name)}.`,
    remedy: meant === undefined ? there : `Did you mean "${meant}"? ${there}`,
  });
}

function checkOrigin(
  { text, path, originNames }: { text: string; path: Path; originNames: readonly string[] },
  { origins }: Configuration,
  collector: Collector,
  folder: string,
): void {
  const name = text.split(':', 1)[0]!;
  const isBroken = originNames.includes(name) && !origins.some((origin) => origin.name === name);
  if (isBroken && !isOriginAddress(text)) return;
  try {
    parseOrigin(resolveOrigin(text, origins, folder).origin);
  } catch (error) {
    if (!(error instanceof ViaductError)) throw error;
    collector.error(path, { cause: withStop(error.message), remedy: error.remedy });
  }
}

function checkApi({ tcp, tokenFile }: Configuration['daemon']['api'], collector: Collector): void {
  if (tcp !== undefined && tokenFile === undefined) {
    collector.error(['daemon', 'api', 'tcp'], {
      cause: 'the API would listen on TCP for everybody: there is no `token-file`.',
      remedy: 'Add `token-file: FILE`, with a token in a file that only its owner may read.',
      atKey: true,
    });
  }
  if (tcp === undefined && tokenFile !== undefined && !collector.namesAt(['daemon', 'api']).includes('tcp')) {
    collector.warning(['daemon', 'api', 'token-file'], {
      cause: 'nobody needs this token: the API does not listen on TCP.',
      remedy: 'Add `tcp: 127.0.0.1:7446`, or leave it out.',
      atKey: true,
    });
  }
}

function checkOrigins({ origins }: Configuration, collector: Collector): void {
  for (const { name, url, connections } of origins) {
    const address = parseOrigin(url);
    if (name.toLowerCase() === 'nfs') {
      collector.error(['origins', name], {
        cause: 'an origin cannot be called "nfs": nfs:/PATH would mean it, and looks like a URL.',
        remedy: 'Choose another name.',
        atKey: true,
      });
    }
    if (connections === undefined) continue;
    const path: Path = ['origins', name, 'connections'];
    if (address.kind === 'directory') {
      collector.error(path, {
        cause: 'a directory has no connections.',
        remedy: 'Leave it out, or give an nfs:// URL.',
        other: ['origins', name, 'url'],
      });
    } else if (address.connections !== undefined) {
      collector.error(path, {
        cause: `connections are given twice: here, and ${address.connections} in the URL.`,
        remedy: 'Leave one of them out.',
        other: ['origins', name, 'url'],
      });
    }
  }
}

function withStop(text: string): string {
  return text.endsWith('.') ? text : `${text}.`;
}
