/**
 * Whether meta-data may be believed: exactly as far as the file itself (DESIGN.md, rule 8). Whoever could have made it must be able
 * to change the file as well, so it belongs to the file's owner and is writable for nobody else who may not write the file.
 *
 * The directory `.viaduct` only holds it: its owner may be the file's, root, or that of the directory around, who can put another
 * file in the place of this one.
 */
import { type Attributes, FileType } from '../../vfs/mod.ts';

const groupWrite = 0o020;
const otherWrite = 0o002;
const sticky = 0o1000;

export function isTrustedFile(meta: Attributes, file: Attributes): boolean {
  return meta.type === FileType.REGULAR && meta.uid === file.uid && !isMoreWritable(meta, file);
}

export function isTrustedDirectory(hidden: Attributes, around: Attributes, file: Attributes): boolean {
  if (hidden.type !== FileType.DIRECTORY) return false;
  if (hidden.uid !== file.uid && hidden.uid !== 0 && hidden.uid !== around.uid) return false;
  return (hidden.mode & sticky) !== 0 || !isMoreWritable(hidden, around) || !isMoreWritable(hidden, file);
}

function isMoreWritable(what: Attributes, than: Attributes): boolean {
  const isByOthers = (than.mode & otherWrite) !== 0;
  if ((what.mode & otherWrite) !== 0 && !isByOthers) return true;
  if ((what.mode & groupWrite) === 0) return false;
  return (than.mode & groupWrite) === 0 || (what.gid !== than.gid && !isByOthers);
}
