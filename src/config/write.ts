/**
 * A configuration in the words of the file, with everything that holds written out: what `viaduct config show` prints. It reads back as
 * the same configuration.
 */
import { writeSize } from '../base/mod.ts';
import type { ListenRule } from '../sessions/mod.ts';
import type { Configuration, ConfiguredDaemon, ConfiguredSession } from './configuration.ts';

/** Plain data with the keys of viaduct.yaml; what has no default and is not given is left out. */
export function writeConfiguration(configuration: Configuration): Record<string, unknown> {
  const { daemon, caches, origins, policies, rules, defaultPolicy, sessions } = configuration;
  return {
    daemon: daemonOf(daemon),
    caches: named(caches, ({ directory, sizeBytes }) => ({ directory, size: writeSize(sizeBytes) })),
    origins: named(origins, ({ url, connections, description }) => given({ url, connections, description })),
    policies,
    rules,
    'default-policy': defaultPolicy,
    sessions: named(sessions, sessionOf),
  };
}

function daemonOf({ listenPool, api, workers, stateDirectory, logLevel }: ConfiguredDaemon): Record<string, unknown> {
  return given({
    'listen-pool': listenPool,
    api: given({ tcp: api.tcp === undefined ? undefined : addressOf(api.tcp), 'token-file': api.tokenFile }),
    workers,
    'state-directory': stateDirectory,
    'log-level': logLevel,
  });
}

function sessionOf(session: ConfiguredSession): Record<string, unknown> {
  const { origin, kind, listen, policy, settings, cache, allow, squash, connections, takeOver } = session;
  return given({ origin, kind, listen, policy, settings, cache, allow, squash, connections, 'take-over': takeOver });
}

function addressOf({ host, port }: ListenRule): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function named<Entry extends { readonly name: string }>(
  entries: readonly Entry[],
  write: (entry: Entry) => Record<string, unknown>,
): Record<string, unknown> {
  return Object.fromEntries(entries.map((entry) => [entry.name, write(entry)]));
}

function given(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
