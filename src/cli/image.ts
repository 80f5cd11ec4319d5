/** `viaduct image pack|inspect|verify|adopt`: content meta-data and packs of images, made and looked at where the images lie. */
import { Command, Option } from 'commander';
import { adopt } from './image-adopt.ts';
import { inspect } from './image-inspect.ts';
import { pack } from './image-pack.ts';
import { verify } from './image-verify.ts';
import { notEmpty, wholeNumber } from './values.ts';

const about = `
What it makes lies beside the images, in .viaduct/NAME.meta and .viaduct/NAME.pack, and works with any NFSv3 server: a proxy answers zeros
itself, fetches no 4 KiB twice that it has from any image, and gets the rest compressed and in the order of the working sets. The
images are only read. \`viaduct serve\` keeps packs current (--pack).`;

const packHelp = `
An image is packed when nobody writes to it; it must be over 2 s old. What an interrupted run found of an image is kept beside it and not
read again; the pack itself is begun anew. A file that fits its meta-data already is passed over.

With --json the results are JSON lines on stdout, progress is JSON lines on stderr.

Examples:
  viaduct image pack /srv/images                       # all files of 1 MiB and more, in all folders
  viaduct image pack disk.raw memory.ram --json        # progress and results for scripts
  viaduct image pack guest7.raw --with /srv/golden     # most hosts will have the golden images: what they share comes last
  viaduct image pack guest7.ram --fetch whole          # a guest that resumes wants all of its memory`;

const inspectHelp = `
Examples:
  viaduct image inspect /srv/images/golden/disk.raw
  viaduct image inspect disk.raw --with /srv/golden --json | jq .sharedBytes`;

const verifyHelp = `
Reads the image and the pack, and compares every 4 KiB with its digest. Exit code 3: something is not right; a line says what to run
then. What is damaged is made anew by \`viaduct image pack\`, with --again where the head of the meta-data still fits the file.

Examples:
  viaduct image verify /srv/images/golden/disk.raw
  viaduct image verify *.raw --json | jq 'select(.isRight | not)'`;

const adoptHelp = `
After cp -a (of the image and of .viaduct), chmod, chown or touch the meta-data are of another version of the file. This reads the file, and if
its bytes still are what they say, stamps them anew; the pack stays as it is. Exit code 3: it has other bytes, and must be packed.

Examples:
  cp -a /srv/images/golden /srv/images/copy && viaduct image adopt /srv/images/copy/disk.raw`;

export function imageCommand(): Command {
  const command = new Command('image')
    .summary('pack images for fast transfer, and look at packs')
    .description('Makes and looks at content meta-data and packs of images on this host.')
    .addHelpText('after', `${about}\n${packHelp.slice(packHelp.indexOf('\nExamples:'))}`);
  withWork(command.command('pack'))
    .description('make meta-data and packs of images')
    .argument('<path...>', 'image files, and folders, which are searched through')
    .option('--with <path>', 'an image or folder of images that most hosts have; may be repeated', collectPath, [])
    .option('--small', 'in folders, files below 1 MiB too (proxies do not ask for their meta-data)')
    .option('--again', 'also what is packed already: for another order after new working sets')
    .option('--level <level>', 'of zstd, 1 to 19', wholeNumber(1, 19))
    .addOption(
      new Option(
        '--fetch <what>',
        'what a host that uses the image fetches ahead unless it was told: all of it (whole), or what earlier runs touched (auto); by default as it was said before',
      ).choices(['whole', 'auto']),
    )
    .addHelpText('after', packHelp)
    .action(pack);
  command
    .command('inspect')
    .description('show what the meta-data of an image say')
    .argument('<file>', 'the image', notEmpty)
    .option('--with <path>', 'also look there for images that share chunks; may be repeated', collectPath, [])
    .option('--json', 'print as JSON')
    .addHelpText('after', inspectHelp)
    .action(inspect);
  withWork(command.command('verify'))
    .description('compare every digest and every group with the image')
    .argument('<file...>', 'images')
    .addHelpText('after', verifyHelp)
    .action(verify);
  withWork(command.command('adopt'))
    .description('let meta-data stand for the same bytes after a copy, chmod or touch')
    .argument('<file...>', 'images')
    .addHelpText('after', adoptHelp)
    .action(adopt);
  return command;
}

function withWork(command: Command): Command {
  return command
    .option('--threads <count>', 'how many threads work (default: one for each core, at most 8)', wholeNumber(1, 64))
    .option('--json', 'results on stdout and progress on stderr as JSON lines');
}

function collectPath(path: string, before: string[]): string[] {
  return [...before, notEmpty(path)];
}
