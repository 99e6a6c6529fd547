import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createHttpServer } from '../../src/runtime/http-server.ts';
import { createLog } from '../../src/runtime/log.ts';
import { freePort } from '../processes.ts';

const log = createLog({ program: 'test', level: 'silent' });

describe('the listener, when it is stopped', () => {
  const sockets: Socket[] = [];
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
  });

  async function listening(handler: Parameters<typeof createHttpServer>[0]['handler']) {
    const port = await freePort();
    const address = { kind: 'tcp', host: '127.0.0.1', port } as const;
    const server = createHttpServer({ address, handler, log, lastRequestsMs: 200 });
    await server.start();
    const open = async (bytes: string): Promise<Socket> => {
      const socket = connect(port, '127.0.0.1');
      sockets.push(socket);
      await once(socket, 'connect');
      socket.write(bytes);
      return socket;
    };
    return { server, port, open };
  }

  it.each([
    ['sends nothing', ''],
    ['sends half a request', 'GET / HTTP/1.1\r\nhost: id\r\n'],
    ['sends a body that never ends', 'POST / HTTP/1.1\r\nhost: id\r\ncontent-length: 9\r\n\r\nhalf'],
    ['has had its answer', 'GET / HTTP/1.1\r\nhost: id\r\n\r\n'],
  ])('waits for no client that %s', async (_, bytes) => {
    const { server, open } = await listening(async (request, response) => {
      await buffer(request);
      response.end('done');
    });
    const socket = await open(bytes);
    // Connections are accepted in order: with this one answered the other one is known.
    const later = await open('GET / HTTP/1.1\r\nhost: id\r\nconnection: close\r\n\r\n');
    expect(await text(later)).toContain('done');
    const closed = once(socket.resume(), 'close');
    await server.stop();
    await closed;
  });

  it('finishes the requests in progress', async () => {
    const { promise: isBegun, resolve: begin } = Promise.withResolvers<void>();
    const { promise: mayFinish, resolve: finish } = Promise.withResolvers<void>();
    const { server, open } = await listening(async (_, response) => {
      response.write('begun ');
      begin();
      await mayFinish;
      response.end('done');
    });
    const socket = await open('GET / HTTP/1.1\r\nhost: id\r\n\r\n');
    const answer = text(socket);
    await isBegun;
    const stopped = server.stop();
    finish();
    await stopped;
    expect(await answer).toContain('done');
  });

  it('loses no request of clients that keep their connections, and asks them to close', async () => {
    const { server, port } = await listening(async (incoming, response) => {
      await buffer(incoming);
      response.end('done');
    });
    const answers: string[] = [];
    const client = async (): Promise<void> => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      let connection = 'keep-alive';
      while (connection === 'keep-alive') {
        connection = await post(port, agent);
        answers.push(connection);
      }
      agent.destroy();
    };
    const clients = Array.from({ length: 50 }, client);
    await vi.waitUntil(() => answers.length > 200);
    await server.stop();
    await Promise.all(clients);
    expect(answers.filter((answer) => answer !== 'keep-alive')).toEqual(clients.map(() => 'close'));
  });
});

/** @returns the header `connection` of the answer, or the message of the error that came instead */
async function post(port: number, agent: Agent): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  request({ port, host: '127.0.0.1', agent, method: 'POST' }, (response) => {
    response.resume().on('end', () => resolve(String(response.headers.connection)));
  })
    .on('error', (error) => resolve(error.message))
    .end('body');
  return promise;
}

describe('the listener, when there are too many connections', () => {
  it('closes the connection that has been silent for the longest time, of the network with the most', async () => {
    const port = await freePort();
    const crowdedOut: string[] = [];
    const server = createHttpServer({
      address: { kind: 'tcp', host: '127.0.0.1', port },
      handler: async (request, response) => {
        await buffer(request);
        response.end('done');
      },
      log,
      maxConnections: 5,
      crowdedOut: ({ address, share }) => void crowdedOut.push(`${address} ${share}`),
    });
    await server.start();
    const open = async (localAddress: string): Promise<Socket> => {
      const socket = connect({ port, host: '127.0.0.1', localAddress });
      await once(socket, 'connect');
      return socket.on('error', () => undefined);
    };
    const ask = async (socket: Socket): Promise<void> => {
      socket.write('GET / HTTP/1.1\r\nhost: id\r\n\r\n');
      await once(socket, 'data');
    };
    const client = await open('127.0.0.1');
    await ask(client);
    const flood = [];
    for (let count = 0; count < 4; count += 1) flood.push(await open('127.0.5.5'));
    const [first, second] = flood;
    if (first === undefined || second === undefined) throw new Error('no flood');
    await ask(first);
    const closed = once(second.resume(), 'close');
    const later = await open('127.0.0.2');
    await closed;
    expect(crowdedOut).toEqual(['127.0.5.5 0.8']);
    await ask(client);
    await ask(later);
    for (const socket of [client, later, ...flood]) socket.destroy();
    await server.stop();
  });
});

describe('the listener, when a client sends requests without waiting for answers', () => {
  it('answers a few, and closes a connection with too many unanswered requests', async () => {
    const port = await freePort();
    const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
    let waiting = 0;
    const server = createHttpServer({
      address: { kind: 'tcp', host: '127.0.0.1', port },
      handler: async (_, response) => {
        waiting += 1;
        await mayAnswer;
        response.end('done');
      },
      log,
    });
    await server.start();
    const get = 'GET / HTTP/1.1\r\nhost: id\r\n\r\n';
    const [few, many] = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
    many.on('error', () => undefined);
    few.write(get.repeat(4));
    many.write(get.repeat(100));
    await once(many.resume(), 'close');
    await vi.waitFor(() => expect(waiting).toBe(4 + 16));
    answer();
    let answers = '';
    for await (const chunk of few) {
      answers += String(chunk);
      if (answers.split('done').length > 4) break;
    }
    few.destroy();
    await server.stop();
  });
});
