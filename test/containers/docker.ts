import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { outputFile } from '../output.ts';
import { eventually } from '../processes.ts';

const run = promisify(execFile);

/** Programs of ours that have an image; `redirect` is nftables. */
export const imageNames = ['authorizer', 'identity', 'relay', 'injector', 'cli', 'redirect'] as const;
export type ImageName = (typeof imageNames)[number];

export const image = (name: ImageName): string => `curfew-${name}:test`;
export const redisImage = 'redis:7';
export const postgresImage = 'postgres:15';
export const envoyImage = 'envoyproxy/envoy:v1.40.0';
export const nodeImage = 'node:24-bookworm-slim';

/** Runs `docker` and returns what it printed; a failure holds its error output. */
export async function docker(...args: readonly string[]): Promise<string> {
  const { stdout } = await run('docker', args, { maxBuffer: 64 * 1024 * 1024, encoding: 'utf8' });
  return stdout.trim();
}

export type RunOptions = {
  /** Its name is also how other containers of the network find it. */
  name: string;
  image: string;
  args?: readonly string[];
  entrypoint?: string;
  env?: Readonly<Record<string, string>>;
  /** `host path:container path[:ro]`. */
  volumes?: readonly string[];
  user?: string;
  /** A network's name, or `container:NAME` to share one's. */
  network?: string;
  /** Default: as our charts run it: no capability, no writable file, no new privileges. */
  hardened?: boolean;
  flags?: readonly string[];
};

const hardening = ['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges'];

/** Containers, networks and folders of one test file; all gone at its end. */
export class Laboratory {
  readonly id: string;
  #containers: string[] = [];
  #networks: string[] = [];
  #volumes: string[] = [];

  constructor() {
    this.id = `curfew-${randomBytes(4).toString('hex')}`;
  }

  /** The name a container, network or volume has in Docker. */
  named(name: string): string {
    return `${this.id}-${name}`;
  }

  /** A network; with `ipv6` for both address families. */
  async network(name: string, options: { ipv6?: boolean } = {}): Promise<string> {
    const full = this.named(name);
    const prefix = `fd${randomBytes(5).toString('hex')}`.match(/.{4}/g)?.join(':') ?? '';
    const ipv6 = options.ipv6 === true ? ['--ipv6', '--subnet', `${prefix}::/64`] : [];
    await docker('network', 'create', ...ipv6, full);
    this.#networks.push(full);
    return full;
  }

  async volume(name: string, ...options: readonly string[]): Promise<string> {
    const full = this.named(name);
    await docker('volume', 'create', ...options, full);
    this.#volumes.push(full);
    return full;
  }

  /** Starts a container in the background. */
  async start(options: RunOptions): Promise<Container> {
    const name = this.named(options.name);
    this.#containers.push(name);
    await docker('run', '--detach', ...runArgs(name, options));
    return new Container(name);
  }

  /** Runs a container to its end. Rejects when it fails. */
  async once(options: RunOptions, input = ''): Promise<string> {
    const name = this.named(options.name);
    const finished = run('docker', ['run', '--rm', '--interactive', ...runArgs(name, options)], {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    });
    finished.child.stdin?.end(input);
    return (await finished).stdout.trim();
  }

  async clear(): Promise<void> {
    for (const name of this.#containers) {
      // Kept for the search for credentials.
      const { stdout, stderr } = await run('docker', ['logs', name], { maxBuffer: 64 * 1024 * 1024 });
      writeFileSync(outputFile(name), `${stdout}${stderr}`);
    }
    if (this.#containers.length > 0) await docker('rm', '--force', '--volumes', ...this.#containers);
    for (const name of this.#networks) await docker('network', 'rm', name);
    for (const name of this.#volumes) await docker('volume', 'rm', name);
  }
}

function runArgs(name: string, options: RunOptions): string[] {
  const { env = {}, volumes = [], network, user, entrypoint } = options;
  const alias =
    network === undefined || network.startsWith('container:') ? [] : ['--network-alias', options.name];
  return [
    '--name',
    name,
    ...(network === undefined ? [] : ['--network', network]),
    ...alias,
    ...(user === undefined ? [] : ['--user', user]),
    ...(entrypoint === undefined ? [] : ['--entrypoint', entrypoint]),
    ...Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
    ...volumes.flatMap((volume) => ['--volume', volume]),
    ...(options.hardened === false ? [] : hardening),
    ...(options.flags ?? []),
    options.image,
    ...(options.args ?? []),
  ];
}

type State = { Running: boolean; ExitCode: number };
type Inspected = {
  State: State;
  NetworkSettings: { Networks: Record<string, { IPAddress: string; GlobalIPv6Address: string }> };
};

export class Container {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  async #inspect(): Promise<Inspected> {
    const [inspected] = JSON.parse(await docker('inspect', this.name)) as Inspected[];
    if (inspected === undefined) throw new Error(`no container ${this.name}`);
    return inspected;
  }

  /** Its addresses, as this machine reaches it. */
  async addresses(): Promise<{ ipv4: string; ipv6: string }> {
    const { NetworkSettings } = await this.#inspect();
    const [network] = Object.values(NetworkSettings.Networks);
    return { ipv4: network?.IPAddress ?? '', ipv6: network?.GlobalIPv6Address ?? '' };
  }

  async logs(): Promise<string> {
    const { stdout, stderr } = await run('docker', ['logs', this.name], { maxBuffer: 64 * 1024 * 1024 });
    return `${stdout}${stderr}`;
  }

  async state(): Promise<State> {
    return (await this.#inspect()).State;
  }

  exec(...command: readonly string[]): Promise<string> {
    return docker('exec', this.name, ...command);
  }

  /** Sends a signal, waits for its end and returns the exit code. */
  async end(signal = 'SIGTERM'): Promise<number> {
    await docker('kill', '--signal', signal, this.name);
    return Number(await docker('wait', this.name));
  }

  /** Waits until a URL answers with the status. */
  async answers(url: string, status = 200): Promise<void> {
    await eventually(
      `${this.name} answers ${url} with ${status}`,
      async () => {
        const { Running } = await this.state();
        if (!Running) throw new Error(`${this.name} has ended:\n${(await this.logs()).slice(-2000)}`);
        return (await statusOf(url)) === status ? true : undefined;
      },
      30_000,
    );
  }
}

/** The status of an answer; undefined when there is none. */
export async function statusOf(
  url: string,
  headers: Record<string, string> = {},
): Promise<number | undefined> {
  try {
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(2000) });
    await response.arrayBuffer();
    return response.status;
  } catch {
    return undefined;
  }
}
