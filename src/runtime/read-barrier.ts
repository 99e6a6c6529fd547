/**
 * Makes a queue for items whose handling has to see everything that had arrived when it was queued. A check and a revocation come
 * over different sockets: of two that are there, the event loop may read the newer one first. After the rest of this
 * turn's reads and one whole round of reads more, whatever was there before has been read.
 * Cost: two immediates a turn, however many are queued; nothing waits for I/O.
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
