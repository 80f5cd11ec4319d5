/** What the API shows of a daemon beside its sessions: itself, its configuration, its policies. Holds the configuration that is in force. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Log, ViaductError } from '../../base/mod.ts';
import {
  type Configuration,
  compareConfigurations,
  inspectConfiguration,
  writeConfiguration,
} from '../../config/mod.ts';
import type { ApiServices, DaemonReport, Reloaded, RunningManager } from '../../daemon/mod.ts';
import { describeModels, describePolicy } from '../../policy/mod.ts';
import type { ErrorRecord } from '../../sessions/mod.ts';
import { mountedPath } from '../mounted-path.ts';
import { packageVersion } from '../session-command.ts';
import { type AskedPath, explainIn } from './explain.ts';
import { FileSizes } from './file-sizes.ts';

export interface ServicesOptions {
  readonly manager: RunningManager;
  readonly configuration: Configuration;
  /** False: there is no such file, and defaults hold. */
  readonly hasFile: boolean;
  readonly stateDirectory: string;
  readonly now: () => number;
  readonly log: Log;
}

export class DaemonServices implements ApiServices {
  readonly manager: RunningManager;
  readonly #options: ServicesOptions;
  readonly #sizes = new FileSizes();
  /** Of the API on TCP, once it listens. */
  page: DaemonReport['page'];
  /** Whatever else is read again with the configuration, also when that cannot be taken. */
  onReload: () => void = () => {};
  #configuration: Configuration;
  #loadedAt: string;
  #problem: ErrorRecord | undefined;
  #reloading: Promise<unknown> = Promise.resolve();

  constructor(options: ServicesOptions) {
    this.manager = options.manager;
    this.#options = options;
    this.#configuration = options.configuration;
    this.#loadedAt = this.#time();
  }

  /** The one that holds. */
  get current(): Configuration {
    return this.#configuration;
  }

  daemon() {
    const { manager, stateDirectory, hasFile } = this.#options;
    return {
      pid: process.pid,
      version: packageVersion(),
      startedAt: manager.startedAt,
      residentBytes: process.memoryUsage.rss(),
      sessions: manager.list().length,
      stateDirectory,
      ...(hasFile ? { configurationFile: this.#configuration.file } : {}),
      ...(this.page === undefined ? {} : { page: this.page }),
    };
  }

  policies() {
    const { policies } = this.#configuration;
    const own = Object.keys(policies).map((name) => describePolicy(name, policies));
    return [...describeModels(), ...own];
  }

  async explain({ path, size }: { readonly path: string; readonly size?: number | undefined }) {
    return await explainIn(this.#configuration, { path, size, mounted: await this.#mountedAt(path) }, this.#sizes);
  }

  async #mountedAt(path: string): Promise<AskedPath['mounted']> {
    if (!path.startsWith('/')) return undefined;
    const candidates = this.manager.list().map((session) => ({ session }));
    const at = mountedPath(resolve(path), candidates, readFileSync('/proc/self/mountinfo', 'utf8'));
    if (at === undefined) return undefined;
    const { id, origin } = at.found.session;
    return { origin, inside: at.inside, session: await this.manager.show(id).catch(() => undefined) };
  }

  configuration() {
    const { file } = this.#configuration;
    return {
      ...(this.#options.hasFile ? { file } : {}),
      loadedAt: this.#loadedAt,
      configuration: writeConfiguration(this.#configuration),
      ...(this.#problem === undefined ? {} : { problem: this.#problem }),
    };
  }

  /** Rejects with CONFIGURATION_INVALID; what held goes on then. One after the other: what was read last holds last. */
  reload(): Promise<Reloaded> {
    const reloaded = this.#reloading.then(() => this.#reload());
    this.#reloading = reloaded.catch(() => {});
    return reloaded;
  }

  async #reload(): Promise<Reloaded> {
    const { log, manager } = this.#options;
    const { file } = this.#configuration;
    this.onReload();
    try {
      const { configuration, problems } = await inspectConfiguration(file);
      const errors = problems.filter(({ severity }) => severity === 'error');
      for (const { line, column, cause, remedy, severity } of problems)
        log[severity === 'error' ? 'error' : 'warn']({ file, line, column, remedy }, cause);
      if (configuration === undefined) throw refused(file, errors);
      // With what the daemon was started with: that is what runs.
      const { daemon } = compareConfigurations(this.#options.configuration, configuration);
      const later = daemon.filter((key) => key !== 'listen-pool');
      if (later.length > 0) log.warn({ keys: later }, 'these settings of the daemon hold when it is started again');
      const reloaded = await manager.reconfigure(configuration);
      this.#configuration = configuration;
      this.#loadedAt = this.#time();
      this.#problem = undefined;
      log.info({ file, ...reloaded }, 'the configuration was read again');
      return reloaded;
    } catch (error) {
      if (error instanceof ViaductError) {
        this.#problem = { code: error.code, cause: error.message, remedy: error.remedy };
        log.error({ file, cause: firstLine(error.message) }, 'the configuration is not taken; the earlier one goes on');
      }
      throw error;
    }
  }

  #time(): string {
    return new Date(this.#options.now()).toISOString();
  }
}

function firstLine(text: string): string {
  return text.split('\n')[0]!;
}

function refused(
  file: string,
  errors: readonly {
    readonly line: number;
    readonly column: number;
    readonly cause: string;
    readonly remedy: string;
  }[],
): ViaductError {
  const list = errors.map(({ line, column, cause }) => `${file}:${line}:${column}: ${cause}`);
  return new ViaductError('CONFIGURATION_INVALID', {
    cause: list.join('\n'),
    remedy: errors[0]?.remedy ?? `\`viaduct config check ${file}\` shows what is wrong.`,
  });
}
