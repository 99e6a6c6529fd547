// Attacks a TLS server from a process of its own, so that its CPU time isn't that of the clients beside it.
import { flood, type Target } from './tls-attacks.ts';

type Order = Target & { readonly name: string; readonly attempts: number; readonly parallel: number };

process.on('message', (order: Order) => {
  void flood(order.name, order, order).then(() => process.send?.('done'));
});
process.on('disconnect', () => process.exit());
