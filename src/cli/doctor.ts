/** `viaduct doctor`: what works on this machine, and what to do about the rest. Never hangs (doctor/probe.ts). */
import { Command } from 'commander';
import { machineProbes } from './doctor/machine.ts';
import { networkProbes } from './doctor/network.ts';
import { type Finding, runProbes } from './doctor/probe.ts';
import { programProbes } from './doctor/programs.ts';
import { exitCodes, printJson, printLine } from './output.ts';
import { notEmpty } from './values.ts';

interface DoctorFlags {
  readonly directory: string;
  readonly json?: boolean;
}

const examples = `
Examples:
  viaduct doctor
  viaduct doctor --directory /srv/images                      # about the disk of an export or a cache
  viaduct doctor --json | jq '.findings[] | select(.state != "ok")'`;

export function doctorCommand(): Command {
  return new Command('doctor')
    .summary('check what works on this machine')
    .description(
      'Checks what Viaduct needs on this machine. Exit code 3 if anything fails; warnings are about things that not everybody needs.',
    )
    .option(
      '--directory <directory>',
      'where a cache or an export would be',
      notEmpty,
      process.getuid?.() === 0 ? '/var/cache' : '.',
    )
    .option('--json', 'print the findings as JSON')
    .addHelpText('after', examples)
    .action(doctor);
}

async function doctor(flags: DoctorFlags): Promise<void> {
  const findings = await runProbes([...machineProbes(flags.directory), ...networkProbes, ...programProbes]);
  const failed = findings.some((finding) => finding.state === 'fail');
  if (flags.json === true) printJson({ ok: !failed, findings });
  else for (const finding of findings) printLine(describe(finding));
  if (failed) process.exitCode = exitCodes.found;
}

function describe({ name, state, message, remedy }: Finding): string {
  const line = `${state.padEnd(4)}  ${name.padEnd(24)}${message}`;
  return remedy === undefined ? line : `${line}\n      remedy: ${remedy}`;
}
