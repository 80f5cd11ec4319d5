/**
 * What holds after a file was read: defaults filled in, paths absolute, sizes as numbers. Plain data. Policies, rules and
 * the settings of sessions stay in the words of the file, which src/policy understands.
 */
import { join, resolve } from 'node:path';
import { limits } from '../base/mod.ts';
import type { Policies, RuleDocument, SettingsDocument } from '../policy/mod.ts';
import { type ListenRule, parseListen } from '../sessions/mod.ts';
import { absoluteOrigin, type ConfiguredOrigin, isOriginAddress } from './origins.ts';
import type { ConfigurationFile, logLevels, squashes } from './schema.ts';

export interface ConfiguredDaemon {
  /** Loopback addresses for sessions that name none. */
  readonly listenPool: string;
  /** Addresses of the pool that sessions of the configuration, or the API, have for themselves. */
  readonly reservedAddresses: readonly string[];
  readonly api: { readonly tcp?: ListenRule | undefined; readonly tokenFile?: string | undefined };
  /** undefined: one a core. */
  readonly workers?: number | undefined;
  /** undefined: as commands do. */
  readonly stateDirectory?: string | undefined;
  readonly logLevel: (typeof logLevels)[number];
}

export interface ConfiguredCache {
  readonly name: string;
  readonly directory: string;
  readonly sizeBytes: number;
}

/** What is asked of the daemon when it starts: a SessionRequest. */
export interface ConfiguredSession {
  readonly name: string;
  /** `store:/golden`, an `nfs://` URL, or an absolute directory; `resolveOrigin` says what it stands for. */
  readonly origin: string;
  readonly kind: 'serve' | 'proxy';
  readonly listen?: string | undefined;
  readonly policy?: string | undefined;
  readonly settings?: SettingsDocument | undefined;
  /** The name of a cache, or null: none. */
  readonly cache: string | null;
  readonly allow: readonly string[];
  readonly squash: (typeof squashes)[number];
  readonly connections?: number | undefined;
  readonly takeOver: boolean;
}

export interface Configuration {
  /** Absolute. */
  readonly file: string;
  readonly daemon: ConfiguredDaemon;
  /** In the order of the file: the first is what sessions use that name none. */
  readonly caches: readonly ConfiguredCache[];
  readonly origins: readonly ConfiguredOrigin[];
  readonly policies: Policies;
  readonly rules: readonly RuleDocument[];
  readonly defaultPolicy: string;
  readonly sessions: readonly ConfiguredSession[];
}

export const defaultListenPool = '127.1.0.0/16';

interface ResolveOptions {
  readonly file: string;
  /** What relative paths are relative to. */
  readonly folder: string;
  /** As they are written. */
  readonly policies: Policies;
  /** Those of sessions, by name, as they are written. */
  readonly settings: ReadonlyMap<string, SettingsDocument>;
}

export function resolveConfiguration(
  values: ConfigurationFile,
  { file, folder, policies, settings: written }: ResolveOptions,
): Configuration {
  const caches = Object.entries(values.caches ?? {}).map(([name, { directory, size }]) => ({
    name,
    directory: resolve(folder, directory),
    sizeBytes: size ?? limits.configuredCacheBytes,
  }));
  const firstCache = caches[0]?.name ?? null;
  const sessions = Object.entries(values.sessions ?? {}).map(([name, session]): ConfiguredSession => {
    const { origin, kind, listen, policy, cache, allow, squash, connections } = session;
    const settings = written.get(name);
    return {
      name,
      origin: isOriginAddress(origin) ? absoluteOrigin(origin, folder) : origin,
      kind: kind ?? 'proxy',
      ...(listen === undefined ? {} : { listen }),
      ...(policy === undefined ? {} : { policy }),
      ...(settings === undefined ? {} : { settings }),
      cache: cache === undefined && kind !== 'serve' ? firstCache : (cache ?? null),
      allow: allow ?? [],
      squash: squash ?? 'none',
      ...(connections === undefined ? {} : { connections }),
      takeOver: session['take-over'] ?? false,
    };
  });
  return {
    file,
    daemon: { ...daemonOf(values, folder), reservedAddresses: [] },
    caches,
    origins: Object.entries(values.origins ?? {}).map(([name, origin]) => originOf(name, origin, folder)),
    policies,
    rules: values.rules ?? [],
    defaultPolicy: values['default-policy'] ?? 'home',
    sessions,
  };
}

function daemonOf(values: ConfigurationFile, folder: string): Omit<ConfiguredDaemon, 'reservedAddresses'> {
  const daemon = values.daemon ?? {};
  const { tcp, 'token-file': tokenFile } = daemon.api ?? {};
  const { workers, 'state-directory': stateDirectory } = daemon;
  return {
    listenPool: daemon['listen-pool'] ?? defaultListenPool,
    api: {
      ...(tcp === undefined ? {} : { tcp: parseListen(tcp) }),
      ...(tokenFile === undefined ? {} : { tokenFile: resolve(folder, tokenFile) }),
    },
    ...(workers === undefined ? {} : { workers }),
    ...(stateDirectory === undefined ? {} : { stateDirectory: resolve(folder, stateDirectory) }),
    logLevel: daemon['log-level'] ?? 'info',
  };
}

function originOf(
  name: string,
  origin: NonNullable<ConfigurationFile['origins']>[string],
  folder: string,
): ConfiguredOrigin {
  if (typeof origin === 'string') return { name, url: absoluteOrigin(origin, folder) };
  const { url, ...rest } = origin;
  return { name, url: absoluteOrigin(url, folder), ...rest };
}

/** Where the configuration is if nobody says. */
export function defaultConfigurationFile({
  environment,
  uid,
}: {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly uid: number;
}): string {
  if (uid === 0) return '/etc/viaduct/viaduct.yaml';
  const base = environment.XDG_CONFIG_HOME || join(environment.HOME ?? '/', '.config');
  return join(base, 'viaduct', 'viaduct.yaml');
}
