/** An object that others note something about. What they noted goes with it. */
export type Notable = {
  /** A place for each `Note`. Begins empty. */
  readonly notes: unknown[];
};

let places = 0;

/**
 * What one part of the program notes about objects, as in a `WeakMap`. That has a table of its own to look into, and where a
 * thousand tokens come in turn each such look waits for memory.
 * Cost: that of an array's element. To be made once for many objects: each note made so far takes a place in them.
 */
export class Note<Value> {
  readonly #place = places++;

  get({ notes }: Notable): Value | undefined {
    // Nobody else knows this place.
    return notes[this.#place] as Value | undefined;
  }

  set({ notes }: Notable, value: Value): void {
    notes[this.#place] = value;
  }
}
