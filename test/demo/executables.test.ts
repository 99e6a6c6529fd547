import { describe, expect, it } from 'vitest';
import { cacheDirectory, executablePath } from '../../src/demo/executables.ts';

describe('an executable', () => {
  it('is found on PATH, and a folder of that name is not one', () => {
    expect(executablePath('sh', { PATH: '/nonexistent:/bin' })).toBe('/bin/sh');
    expect(executablePath('bin', { PATH: '/usr' })).toBeUndefined();
    expect(executablePath('sh', {})).toBeUndefined();
  });
});

describe('the folder for what is fetched', () => {
  it('is in XDG_CACHE_HOME, if that is set', () => {
    expect(cacheDirectory({ XDG_CACHE_HOME: '/var/cache' })).toBe('/var/cache/curfew');
    expect(cacheDirectory({ XDG_CACHE_HOME: '' })).toMatch(/\/\.cache\/curfew$/);
  });
});
