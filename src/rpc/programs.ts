/** The table of programs and versions of one server (RFC 5531 9: which of them is missing decides the reply). */
import { assert } from '../base/mod.ts';
import type { RpcProgram } from './procedure.ts';

export interface ProgramVersions {
  readonly low: number;
  readonly high: number;
  readonly versions: ReadonlyMap<number, RpcProgram>;
}

export class ProgramTable {
  readonly #programs = new Map<number, ProgramVersions>();

  constructor(programs: readonly RpcProgram[]) {
    const byNumber = Map.groupBy(programs, (program) => program.program);
    for (const [number, members] of byNumber) {
      const numbers = members.map((member) => member.version);
      const versions = new Map(members.map((member) => [member.version, member]));
      assert(versions.size === members.length, `program ${number} has a version twice`);
      this.#programs.set(number, { low: Math.min(...numbers), high: Math.max(...numbers), versions });
    }
    for (const program of programs) {
      program.procedures.forEach((served, number) => {
        assert(
          served === undefined || served.procedure.number === number,
          `${program.name}: procedure ${number} misplaced`,
        );
      });
    }
  }

  find(program: number): ProgramVersions | undefined {
    return this.#programs.get(program);
  }
}
