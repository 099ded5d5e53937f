// What a refresh may do to a list that somebody is pointing at.

export interface Merged {
  /** Keys in the order to show. */
  order: string[];
  /** True where the server's order or set of rows is not the one shown. */
  pending: boolean;
}

/**
 * While the list is held (mouse over it, keyboard in it) no row moves, appears or leaves; the
 * contents of the rows that are there may change. Otherwise the server's order is shown.
 */
export function mergeOrder(shown: readonly string[], incoming: readonly string[], held: boolean): Merged {
  if (!held) return { order: [...incoming], pending: false };
  const same = shown.length === incoming.length && shown.every((key, i) => key === incoming[i]);
  return { order: [...shown], pending: !same };
}
