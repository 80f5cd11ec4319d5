/**
 * Which session a path would belong to, so that its policy can be explained.
 *
 *     store:/golden/disk.raw     the origin of that name      nfs://host/images/x   the origin at whose URL it lies, if one does
 *     /mnt/vm/disk.raw           a path below a mount of a session, else a directory of this host
 *
 * The root is that of the session of viaduct.yaml which holds the path (the innermost), else of the origin that has a name, else its folder.
 */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemClock } from '../../base/mod.ts';
import { type Configuration, isBelow, isSameServer, resolveOrigin } from '../../config/mod.ts';
import { type Explanation, explainPath, type Question } from '../../policy/mod.ts';

/** A stat on a dead mount never ends. */
const lookMs = 2_000;

/** `mounted`: what a local path is at the origin, if it lies below a mount. Rejects with ORIGIN_INVALID or CONFIGURATION_INVALID. */
export async function explainIn(
  configuration: Configuration,
  path: string,
  size: number | undefined,
  mounted?: string | undefined,
): Promise<Explanation> {
  const { origins, sessions } = configuration;
  const asked = resolveOrigin(mounted ?? path, origins, process.cwd());
  const inside = sessions
    .map((session) => ({ session, at: resolveOrigin(session.origin, origins, dirname(configuration.file)) }))
    .filter(({ at }) => isSameServer(at.origin, asked.origin) && isBelow(asked.path, at.path))
    .sort((left, right) => right.at.path.length - left.at.path.length)[0];
  const own = origins.find(({ name }) => name === asked.name);
  const root = inside?.at ?? (own === undefined ? undefined : resolveOrigin(own.url, origins, '/'));
  const name = inside === undefined ? asked.name : inside.at.name;
  const question: Question = {
    root: { ...(name === undefined ? {} : { origin: name }), path: root?.path ?? dirname(asked.path) },
    path: asked.path,
    sizeBytes: size ?? (await sizeOf(path)),
    request: inside === undefined ? {} : inside.session,
  };
  return explainPath(question, configuration);
}

/** Of a file of this host; undefined: it is none, or nobody knows. */
async function sizeOf(path: string): Promise<number | undefined> {
  if (!/^\.{0,2}\//.test(path)) return undefined;
  const late = Promise.withResolvers<undefined>();
  const timer = systemClock.after(lookMs, () => late.resolve(undefined));
  const looked = stat(path).then(
    (found) => (found.isFile() ? found.size : undefined),
    () => undefined,
  );
  return await Promise.race([looked, late.promise]).finally(() => timer.cancel());
}
