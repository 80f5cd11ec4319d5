/**
 * A result that may be there already. The hot path (a cache hit) answers in the same turn of the event loop, without a
 * promise; pass-through code returns what it got. Consumers that do not care `await` it.
 */
export type Eventual<T> = T | Promise<T>;

export function isPromise<T>(value: Eventual<T>): value is Promise<T> {
  return value instanceof Promise;
}

/** Applies `next` now if the value is there, else when it comes. */
export function chain<T, U>(value: Eventual<T>, next: (value: T) => Eventual<U>): Eventual<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
