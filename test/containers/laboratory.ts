import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import {
  GenericContainer,
  getContainerRuntimeClient,
  StartedNetwork,
  type StartedTestContainer,
  type WaitStrategy,
} from 'testcontainers';
import { outputFile } from '../output.ts';
import { eventually } from '../processes.ts';
import { runLabel, runName, statusOf } from './docker.ts';

type Engine = Awaited<ReturnType<typeof getContainerRuntimeClient>>;
type Handle = ReturnType<Engine['container']['getById']>;

/** `source` is a path of this machine, or a volume's name. */
export type Mount = { source: string; target: string; mode?: 'ro' | 'rw' };
export const readOnly = (source: string, target: string): Mount => ({ source, target, mode: 'ro' });

export type RunOptions = {
  /** Its name is also how other containers of the network find it. */
  name: string;
  image: string;
  args?: readonly string[];
  entrypoint?: string;
  env?: Readonly<Record<string, string>>;
  mounts?: readonly Mount[];
  user?: string;
  /** A network's name, or `container:NAME` to share one's. */
  network?: string;
  /** A port of this machine, on 127.0.0.1 only. */
  publish?: { host: number; container: number };
  capabilities?: readonly string[];
  /** Default: as our charts run it: no capability, no writable file, no new privileges. */
  hardened?: boolean;
};

/** What a program that has ended printed. */
export type Ended = { code: number; stdout: string; stderr: string };

/** Containers, networks and folders of one test file; all gone at its end. */
export class Laboratory {
  readonly id: string;
  #containers: Container[] = [];
  #networks: StartedNetwork[] = [];
  #volumes: string[] = [];

  constructor() {
    this.id = `curfew-${randomBytes(4).toString('hex')}`;
  }

  /** The name a container, network or volume has in the engine. */
  named(name: string): string {
    return `${this.id}-${name}`;
  }

  /** A network; with `ipv6` for both address families. */
  async network(name: string, { ipv6 = false }: { ipv6?: boolean } = {}): Promise<string> {
    const engine = await getContainerRuntimeClient();
    const full = this.named(name);
    const prefix = `fd${randomBytes(5).toString('hex')}`.match(/.{4}/g)?.join(':') ?? '';
    const network = await engine.network.create({
      Name: full,
      Labels: labels(),
      ...(ipv6 && { EnableIPv6: true, IPAM: { Driver: 'default', Config: [{ Subnet: `${prefix}::/64` }] } }),
    });
    this.#networks.push(new StartedNetwork(engine, full, network));
    return full;
  }

  /** A volume in memory, with options of tmpfs. */
  async memoryVolume(name: string, options: string): Promise<string> {
    const { container } = await getContainerRuntimeClient();
    const full = this.named(name);
    await container.dockerode.createVolume({
      Name: full,
      Driver: 'local',
      DriverOpts: { type: 'tmpfs', device: 'tmpfs', o: options },
      Labels: labels(),
    });
    this.#volumes.push(full);
    return full;
  }

  /** Starts a container in the background. */
  async start(options: RunOptions): Promise<Container> {
    const name = this.named(options.name);
    const started = await new Program(name, options).start();
    const container = new Container(name, started, await handleOf(started));
    this.#containers.push(container);
    return container;
  }

  /** Runs a container to its end. Rejects when it fails. */
  async once(options: RunOptions, input = ''): Promise<string> {
    const ended = await this.ended(options, input);
    if (ended.code !== 0) throw new Error(`${options.name} ended with ${ended.code}:\n${ended.stderr}`);
    return ended.stdout.trim();
  }

  /** Runs a container to its end, whatever that is. */
  async ended(options: RunOptions, input = ''): Promise<Ended> {
    const started = await new Program(this.named(options.name), options, input).start();
    const handle = await handleOf(started);
    const { StatusCode: code } = (await handle.wait()) as { StatusCode: number };
    const printed = await printedBy(handle);
    await started.stop({ remove: true, removeVolumes: true });
    return { code, ...printed };
  }

  async clear(): Promise<void> {
    for (const container of this.#containers.reverse()) {
      // Kept for the search for credentials.
      writeFileSync(outputFile(container.name), await container.logs());
      await container.remove();
    }
    for (const network of this.#networks) await network.stop();
    const { container } = await getContainerRuntimeClient();
    for (const name of this.#volumes) await container.dockerode.getVolume(name).remove();
  }
}

const labels = (): Record<string, string> => ({ [runLabel]: runName() });

const handleOf = async (started: StartedTestContainer): Promise<Handle> =>
  (await getContainerRuntimeClient()).container.getById(started.getId());

// A program is there when it answers what a test asks of it, which each test waits for itself.
const atOnce: WaitStrategy = {
  waitUntilReady: () => Promise.resolve(),
  withStartupTimeout: () => atOnce,
  isStartupTimeoutSet: () => true,
  getStartupTimeout: () => 0,
};

/**
 * A container with what the public interface can't say: a read-only root, one alias, one address, standard
 * input.
 */
class Program extends GenericContainer {
  readonly #input: string | undefined;

  constructor(name: string, options: RunOptions, input?: string) {
    super(options.image);
    this.#input = input;
    const {
      args = [],
      env = {},
      mounts = [],
      user,
      entrypoint,
      network,
      publish,
      capabilities = [],
    } = options;
    // Removed by the laboratory; the library's own way needs an image that can't be had everywhere.
    this.withAutoCleanup(false).withName(name).withLabels(labels()).withWaitStrategy(atOnce);
    this.withEnvironment(env)
      .withBindMounts([...mounts])
      .withAddedCapabilities(...capabilities);
    if (args.length > 0) this.withCommand([...args]);
    if (entrypoint !== undefined) this.withEntrypoint([entrypoint]);
    if (user !== undefined) this.withUser(user);
    if (options.hardened !== false) {
      this.withDroppedCapabilities('ALL').withSecurityOpt('no-new-privileges');
      this.hostConfig.ReadonlyRootfs = true;
    }
    if (network !== undefined) {
      this.withNetworkMode(network);
      if (!network.startsWith('container:'))
        this.createOpts.NetworkingConfig = { EndpointsConfig: { [network]: { Aliases: [options.name] } } };
    }
    if (publish !== undefined) {
      const port = `${publish.container}/tcp`;
      this.createOpts.ExposedPorts = { [port]: {} };
      this.hostConfig.PortBindings = { [port]: [{ HostIp: '127.0.0.1', HostPort: String(publish.host) }] };
    }
    if (input !== undefined) Object.assign(this.createOpts, { OpenStdin: true, StdinOnce: true });
  }

  protected override async containerCreated(id: string): Promise<void> {
    if (this.#input === undefined) return;
    const { container } = await getContainerRuntimeClient();
    const stdin = await container.getById(id).attach({ stream: true, stdin: true, hijack: true });
    stdin.end(this.#input);
  }
}

type Printed = { stdout: string; stderr: string };

async function printedBy(handle: Handle): Promise<Printed> {
  const logs = await handle.logs({ stdout: true, stderr: true, follow: false });
  const printed = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  // Each piece has the stream's number in its first byte, and its length in the last four of eight.
  for (let at = 0; at + 8 <= logs.length;) {
    const end = at + 8 + logs.readUInt32BE(at + 4);
    printed[logs[at] === 2 ? 'stderr' : 'stdout'].push(logs.subarray(at + 8, end));
    at = end;
  }
  const textOf = (parts: readonly Buffer[]): string => Buffer.concat(parts).toString('utf8');
  return { stdout: textOf(printed.stdout), stderr: textOf(printed.stderr) };
}

type State = { Running: boolean; ExitCode: number };

export class Container {
  readonly name: string;
  readonly #started: StartedTestContainer;
  readonly #handle: Handle;

  constructor(name: string, started: StartedTestContainer, handle: Handle) {
    this.name = name;
    this.#started = started;
    this.#handle = handle;
  }

  /** Its addresses, as this machine reaches it. */
  async addresses(): Promise<{ ipv4: string; ipv6: string }> {
    const { NetworkSettings } = await this.#handle.inspect();
    const [network] = Object.values(NetworkSettings.Networks);
    return { ipv4: network?.IPAddress ?? '', ipv6: network?.GlobalIPv6Address ?? '' };
  }

  /** All it has printed until now. */
  async logs(): Promise<string> {
    const { stdout, stderr } = await printedBy(this.#handle);
    return `${stdout}${stderr}`;
  }

  async state(): Promise<State> {
    return (await this.#handle.inspect()).State;
  }

  /** Runs a command in it. Rejects when it fails. */
  async exec(...command: readonly string[]): Promise<string> {
    const { exitCode, stdout, output: printed } = await this.#started.exec([...command]);
    if (exitCode !== 0) throw new Error(`${command[0]} in ${this.name} ended with ${exitCode}:\n${printed}`);
    return stdout.trim();
  }

  /** Sends a signal, waits for its end and returns the exit code. */
  async end(signal = 'SIGTERM'): Promise<number> {
    await this.#handle.kill({ signal });
    const { StatusCode } = (await this.#handle.wait()) as { StatusCode: number };
    return StatusCode;
  }

  /** The same container once more, as kubelet would do after it has failed. */
  async startAgain(): Promise<void> {
    await this.#handle.start();
  }

  async remove(): Promise<void> {
    await this.#handle.remove({ force: true, v: true });
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
