/**
 * Which session a path would belong to, so that its policy can be explained.
 *
 *     store:/golden/disk.raw     the origin of that name      nfs://host/images/x   the origin at whose URL it lies, if one does
 *     /mnt/vm/disk.raw           a path below a mount of a session, else a directory of this host
 *
 * The root is that of the session that is mounted there, else of the session of viaduct.yaml which holds the path (the innermost), else of the
 * origin that has a name, else its folder.
 */
import { dirname } from 'node:path';
import { parse } from 'yaml';
import { type Configuration, isBelow, isSameServer, originBelow, resolveOrigin } from '../../config/mod.ts';
import type { SettingRow } from '../../daemon/mod.ts';
import { type Explanation, explainPath, type Question } from '../../policy/mod.ts';
import type { FileSizes } from './file-sizes.ts';

/** What somebody asks about. */
export interface AskedPath {
  readonly path: string;
  /** Undefined: that of a local file is looked at. */
  readonly size?: number | undefined;
  readonly mounted?: MountedAt | undefined;
}

/** Of a local path below a mount. */
interface MountedAt {
  /** Of the session that is mounted there. */
  readonly origin: string;
  /** What the path is in its export: empty, or `/` and more. */
  readonly inside: string;
  /** If the daemon has it. */
  readonly session: MountedSession | undefined;
}

/** Parts of a SessionDetail. */
interface MountedSession {
  readonly origin: string;
  readonly kind: 'serve' | 'proxy';
  readonly policy: string;
  readonly rule?: string | undefined;
  readonly settings: readonly SettingRow[];
}

/** Rejects with ORIGIN_INVALID or CONFIGURATION_INVALID. */
export async function explainIn(
  configuration: Configuration,
  { path, size, mounted }: AskedPath,
  sizes: FileSizes,
): Promise<Explanation> {
  const { origins, sessions } = configuration;
  const asked = resolveOrigin(
    mounted === undefined
      ? path
      : originBelow(resolveOrigin(mounted.origin, origins, process.cwd()).origin, mounted.inside),
    origins,
    process.cwd(),
  );
  const known = mounted?.session === undefined ? sessions : [requestOf(mounted.session, configuration)];
  const inside = known
    .map((session) => ({ session, at: resolveOrigin(session.origin, origins, dirname(configuration.file)) }))
    .filter(({ at }) => isSameServer(at.origin, asked.origin) && isBelow(asked.path, at.path))
    .sort((left, right) => right.at.path.length - left.at.path.length)[0];
  const own = origins.find(({ name }) => name === asked.name);
  const root = inside?.at ?? (own === undefined ? undefined : resolveOrigin(own.url, origins, '/'));
  const name = inside === undefined ? asked.name : inside.at.name;
  const question: Question = {
    root: { ...(name === undefined ? {} : { origin: name }), path: root?.path ?? dirname(asked.path) },
    path: asked.path,
    sizeBytes: size ?? (await sizes.of(path)),
    request: inside === undefined ? {} : inside.session,
  };
  return explainPath(question, configuration);
}

/** What somebody must have asked for to get such a session. */
function requestOf({ origin, kind, policy, rule, settings }: MountedSession, { defaultPolicy }: Configuration) {
  const isChosen = rule !== undefined || policy === defaultPolicy;
  // Rows have values as viaduct.yaml has them on one line.
  const own = settings.filter(({ from }) => from === 'this session').map(({ key, value }) => [key, parse(value)]);
  return { origin, kind, ...(isChosen ? {} : { policy }), settings: Object.fromEntries(own) };
}
