// A plain ext_authz server with grpc-js and proto-loader. It allows every request.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import descriptor from '../test/envoy/generated/descriptor.json' with { type: 'json' };

const definitions = fromJSON(descriptor as Parameters<typeof fromJSON>[0], { longs: Number });
const service = definitions['envoy.service.auth.v3.Authorization'];
if (service === undefined) throw new Error('the descriptor holds no Authorization service');
const server = new Server();
server.addService(service as Parameters<Server['addService']>[0], {
  Check: (_: unknown, answer: (error: null, response: object) => void) =>
    answer(null, { status: { code: 0 }, okResponse: {} }),
});
const address = process.argv[2] ?? '127.0.0.1:9001';
server.bindAsync(address, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
});
process.on('SIGTERM', () => server.forceShutdown());
