/**
 * What viaduct.yaml says of a session that somebody asks for.
 *
 *     origin ──resolveOrigin──► URL, path ──choosePolicy──► settings of the session, and whence they came
 *                                         ──compileFileRules──► what its files are told
 */
import { dirname } from 'node:path';
import { type Configuration, resolveOrigin } from '../../config/mod.ts';
import { choosePolicy, compileFileRules, type OriginPlace } from '../../policy/mod.ts';
import type { SessionRequest } from '../contract.ts';
import type { Decision, ManagerConfiguration } from './opening.ts';

export function managerConfiguration(configuration: Configuration): ManagerConfiguration {
  const { daemon, caches, sessions } = configuration;
  return {
    listenPool: daemon.listenPool,
    reservedAddresses: daemon.reservedAddresses,
    workers: daemon.workers,
    caches: new Map(caches.map(({ name, directory, sizeBytes }) => [name, { directory, sizeBytes }])),
    sessions,
    decide: (request) => decide(configuration, request),
  };
}

/** Throws CONFIGURATION_INVALID or ORIGIN_INVALID. */
function decide(configuration: Configuration, request: SessionRequest): Decision {
  const folder = dirname(configuration.file);
  const { origin, name, path, connections } = resolveOrigin(request.origin, configuration.origins, folder);
  const place: OriginPlace = { origin: name, path };
  const policy = choosePolicy(request, place, configuration);
  const { settings, rows, rule } = policy;
  return {
    ...{ origin, connections, settings, files: compileFileRules(policy, place, configuration) },
    resolved: {
      policy: policy.name,
      ...(rule === undefined ? {} : { rule }),
      settings: rows.map(({ key, value, from }) => ({ key, value, from })),
      onClose: settings.session.onClose ?? 'keep',
    },
  };
}
