/** Many things to be done, a bounded number at a time. */

/** Runs `action` for each, at most `width` at a time. Rejects with the first failure; what is under way goes on. */
export async function inParallel<T>(
  items: Iterable<T>,
  width: number,
  action: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const lane = async (): Promise<void> => {
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) await action(next.value);
  };
  await Promise.all(Array.from({ length: width }, lane));
}
