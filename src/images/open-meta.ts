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

/** `path`: binary. */
export async function withMeta<T>(path: string, action: (open: ImageWithMeta) => Promise<T>): Promise<T> {
  const image = ImageFile.open(path);
  let folder: ContentFolder | undefined;
  let meta: LocalMeta | undefined;
  try {
    folder = ContentFolder.of(image);
    meta = folder === undefined ? undefined : openMeta(folder, image);
    if (folder === undefined || meta === undefined) throw notPacked(`${image.path} has no content meta-data`);
    return await action({ image, folder, meta });
  } finally {
    meta?.close();
    folder?.close();
    image.close();
  }
}

function openMeta(folder: ContentFolder, image: ImageFile): LocalMeta | undefined {
  try {
    return LocalMeta.open(folder, image.name);
  } catch (error) {
    if (error instanceof ContentError)
      throw notPacked(`the meta-data of ${image.path} cannot be used: ${error.message}`);
    throw error;
  }
}

export function notPacked(cause: string): ViaductError {
  return new ViaductError('IMAGE_NOT_PACKED', { cause: `${cause}.`, remedy: 'Make them: viaduct image pack FILE.' });
}
