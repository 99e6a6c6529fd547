/**
 * Creates a queue whose items are handled after everything that had arrived when they were queued. A check
 * and a revocation arrive on different sockets; when both have arrived, the event loop may read the newer one
 * first. Waiting for the rest of this turn's reads and one complete round of reads guarantees that the
 * revocation was read before the check is decided. Cost: two immediates a turn, however many items are
 * queued. Nothing waits for I/O.
 */
export function createReadBarrier<Item>(handle: (item: Item) => void): (item: Item) => void {
  let fresh: Item[] = [];
  let aged: Item[] = [];
  let isScheduled = false;

  function turn(): void {
    const due = aged;
    aged = fresh;
    fresh = [];
    isScheduled = aged.length > 0;
    if (isScheduled) setImmediate(turn);
    for (const item of due) handle(item);
  }

  return (item) => {
    fresh.push(item);
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(turn);
  };
}
