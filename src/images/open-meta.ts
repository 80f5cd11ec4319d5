/** An image with its meta-data, open for a while; or the error that says why it has none. */
import { ViaductError } from '../base/mod.ts';
import { ContentError } from '../content/mod.ts';
import { ContentFolder } from './content-folder.ts';
import { ImageFile } from './image-file.ts';
import { LocalMeta } from './local-meta.ts';

export interface ImageWithMeta {
  readonly image: ImageFile;
  readonly folder: ContentFolder;
  readonly meta: LocalMeta;
}

/** `path`: binary. `unusable` answers for meta-data that are there and cannot be used; without it they are an error. */
export async function withMeta<T>(
  path: string,
  action: (open: ImageWithMeta) => Promise<T>,
  unusable?: (image: ImageFile, problem: string) => T,
): Promise<T> {
  const image = ImageFile.open(path);
  let folder: ContentFolder | undefined;
  let meta: LocalMeta | undefined;
  try {
    folder = ContentFolder.of(image);
    if (folder === undefined) throw withoutMeta(image);
    try {
      meta = openMeta(folder, image);
    } catch (error) {
      const problem = error instanceof ViaductError ? error.cause : undefined;
      if (unusable === undefined || !(problem instanceof ContentError)) throw error;
      return unusable(image, problem.message);
    }
    return await action({ image, folder, meta });
  } finally {
    meta?.close();
    folder?.close();
    image.close();
  }
}

export function openMeta(folder: ContentFolder, image: ImageFile): LocalMeta {
  try {
    const meta = LocalMeta.open(folder, image.name);
    if (meta !== undefined) return meta;
  } catch (error) {
    if (error instanceof ContentError)
      throw notPacked(`the meta-data of ${image.path} cannot be used: ${error.message}`, error);
    throw error;
  }
  throw withoutMeta(image);
}

function withoutMeta(image: ImageFile): ViaductError {
  return notPacked(`${image.path} has no content meta-data`);
}

export function notPacked(cause: string, from?: unknown): ViaductError {
  return new ViaductError('IMAGE_NOT_PACKED', {
    cause: `${cause}.`,
    remedy: 'Make them: viaduct image pack FILE.',
    from,
  });
}
