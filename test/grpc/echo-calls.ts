import type {
  BidirectionalCall,
  BidirectionalHandler,
  BidirectionalMethod,
} from '../../src/grpc/bidirectional-method.ts';
import { lengthPrefixed } from '../../src/grpc/length-prefix.ts';

export const echoPath = '/test.Echo/Talk';

/** The server's side of one call, as the tests see it. */
export type EchoCall = {
  readonly call: BidirectionalCall;
  readonly messages: string[];
  /** `half-close`, and how the call was over. */
  readonly events: string[];
};

export type EchoMethod = { readonly method: BidirectionalMethod; readonly calls: EchoCall[] };

/**
 * Echoes each message, reads no more than the client reads, and ends the call with OK after the client's
 * half-close.
 * @param override replaces functions of the handler
 */
export function createEchoMethod(
  override: (entry: EchoCall) => Partial<BidirectionalHandler> = () => ({}),
  maxOpenCalls = 100,
): EchoMethod {
  const calls: EchoCall[] = [];
  const method: BidirectionalMethod = {
    kind: 'bidirectional',
    path: echoPath,
    maxOpenCalls,
    open: (call) => {
      const entry: EchoCall = { call, messages: [], events: [] };
      calls.push(entry);
      return {
        onMessage: (message) => {
          entry.messages.push(message.toString('latin1'));
          if (!call.write(lengthPrefixed(message))) call.pause();
        },
        onHalfClose: () => {
          entry.events.push('half-close');
          call.end();
        },
        onWritable: () => call.resume(),
        onOver: (cause) => void entry.events.push(cause),
        ...override(entry),
      };
    },
  };
  return { method, calls };
}
