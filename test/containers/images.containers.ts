import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { repository } from '../processes.ts';
import { docker, image, type ImageName } from './docker.ts';
import { Laboratory } from './laboratory.ts';

const laboratory = new Laboratory();
afterAll(() => laboratory.clear());

const programs = ['authorizer', 'identity', 'relay', 'injector', 'cli'] as const;

type Image = {
  Size: number;
  Config: { User: string; Entrypoint: string[]; Env: string[]; Labels: Record<string, string> };
};

async function inspect(name: string): Promise<Image> {
  const [found] = JSON.parse(await docker('image', 'inspect', name)) as Image[];
  if (found === undefined) throw new Error(`no image ${name}`);
  return found;
}

/** The files below /app, and their texts on demand. */
async function appFiles(name: ImageName): Promise<string[]> {
  const script =
    "console.log(require('node:fs').readdirSync('/app', { recursive: true, withFileTypes: true }).filter((one) => one.isFile()).map((one) => `${one.parentPath}/${one.name}`).join('\\n'))";
  const printed = await laboratory.once({
    name: `list-${name}`,
    image: image(name),
    entrypoint: '/nodejs/bin/node',
    args: ['-e', script],
  });
  return printed.split('\n').toSorted();
}

const readFile = (name: ImageName, path: string): Promise<string> =>
  laboratory.once({
    name: `read-${name}`,
    image: image(name),
    entrypoint: '/nodejs/bin/node',
    args: ['-p', `require('node:fs').readFileSync(${JSON.stringify(path)}, 'utf8')`],
  });

describe.each(programs)('the image of %s', (name) => {
  it('runs as a user without rights and says what it is', async () => {
    const { Config } = await inspect(image(name));
    expect(Config.User).toBe('65532:65532');
    expect(Config.Entrypoint[0]).toBe('/nodejs/bin/node');
    expect(Config.Labels).toMatchObject({
      'org.opencontainers.image.title': `curfew-${name}`,
      'org.opencontainers.image.licenses': 'Apache-2.0',
      'org.opencontainers.image.version': manifest.version,
    });
  });

  it('contains its bundle, its licenses and its bill of materials, and no source, test or package', async () => {
    const files = await appFiles(name);
    const allowed =
      /^\/app\/(?:(?:authorizer|identity|relay|injector|curfew)\.mjs(?:\.map|\.LEGAL\.txt)?|LICENSE|sbom\.cdx\.json|assets\/[\w/-]+\.(?:lua|js)|compile-cache\/[\w./-]+)$/;
    expect(files.filter((file) => !allowed.test(file))).toEqual([]);
    expect(files).toContain('/app/sbom.cdx.json');
  });

  it('lists the packages of the lock file, without those of development', async () => {
    const bill = JSON.parse(await readFile(name, '/app/sbom.cdx.json')) as {
      bomFormat: string;
      components: { name: string; version: string }[];
    };
    expect(bill.bomFormat).toBe('CycloneDX');
    const names = bill.components.map((component) => component.name);
    // The first three are packages that development tools need too.
    expect(names).toEqual(expect.arrayContaining(['@grpc/grpc-js', 'jose', 'yaml', 'ioredis', 'valibot']));
    expect(
      names.filter((one) => /^(?:vitest|esbuild|testcontainers|dockerode|node-linux-.*)$/.test(one)),
    ).toEqual([]);
  });

  it('has source maps without sources', async () => {
    for (const file of (await appFiles(name)).filter((one) => one.endsWith('.map'))) {
      const map = JSON.parse(await readFile(name, file)) as Record<string, unknown>;
      expect(map['sourcesContent']).toBeUndefined();
      expect(JSON.stringify(map['sources'])).not.toMatch(/\/(?:root|home|work)\//);
    }
  });

  it('adds little to its base', async () => {
    const base = await inspect('gcr.io/distroless/nodejs24-debian12:nonroot');
    const { Size } = await inspect(image(name));
    const added = (Size - base.Size) / 1_000_000;
    console.log(
      `${image(name)}: ${Math.round(Size / 1_000_000)} MB, of which ${added.toFixed(1)} MB are ours`,
    );
    expect(added).toBeLessThan(name === 'authorizer' || name === 'injector' ? 4 : 16);
  });
});

describe.each(['authorizer', 'identity', 'relay', 'injector'] as const)('the program of %s', (name) => {
  it('ends with 2 and a message when its configuration is missing', async () => {
    const { code, stderr } = await laboratory.ended({ name: `missing-${name}`, image: image(name) });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining(`/etc/curfew/${name}.yaml`),
    });
  });
});

describe('the image of redirect', () => {
  it('contains nftables', async () => {
    expect(await laboratory.once({ name: 'nft', image: image('redirect'), args: ['--version'] })).toMatch(
      /^nftables v/,
    );
  });
});

describe('the image of cli', () => {
  it('prints what `bin/curfew help` prints', async () => {
    expect(await laboratory.once({ name: 'help', image: image('cli') })).toMatch(
      /^usage: bin\/curfew COMMAND/,
    );
  });

  it('lints an Envoy configuration on its standard input', async () => {
    const config = readFileSync(join(repository, 'k8s', 'envoy', 'config', 'envoy.yaml'), 'utf8');
    const lint = { name: 'lint', image: image('cli'), args: ['envoy-lint', '-'] };
    expect(await laboratory.once(lint, config)).toMatch(/errors: 0, warnings: 0, notes: 2$/);
    const open = config.replace('failure_mode_allow: false', 'failure_mode_allow: true');
    expect(await laboratory.ended(lint, open)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('failure-mode-allow'),
    });
  });
});
