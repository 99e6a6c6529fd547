import { describe, expect, it } from 'vitest';
import { Note } from '../../src/runtime/memo-slots.ts';

describe('what is noted about an object', () => {
  it('is told to who noted it, about that object alone', () => {
    const [age, name] = [new Note<number>(), new Note<string>()];
    const [one, other] = [{ notes: [] }, { notes: [] }];
    age.set(one, 1);
    name.set(one, 'one');
    name.set(other, 'other');
    age.set(one, 2);
    expect([age.get(one), name.get(one)]).toEqual([2, 'one']);
    expect([age.get(other), name.get(other)]).toEqual([undefined, 'other']);
    expect(new Note<string>().get(one)).toBeUndefined();
  });
});
