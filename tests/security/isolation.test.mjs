// Attacks on things outside an isolate: the network, secrets, other tenants. Each in a fresh isolate and in a session.
import { after, before, describe } from 'node:test';
import { during, listen, startHome } from './home.mjs';
import { attackNetwork, attackSecrets, attackTenants } from './suites.mjs';

describe('attacks on what is outside of the isolate', () => {
  /** @type {Awaited<ReturnType<typeof startHome>>} */
  let home;
  /** @type {Awaited<ReturnType<typeof listen>>} */
  let listener;
  const canary = `CANARY-SETTING-${Math.random().toString(36).slice(2)}`;
  before(async () => {
    listener = await listen();
    home = await startHome({ ALLOWED_ORIGINS: `https://${canary}.example` });
  });
  after(async () => {
    listener?.close();
    await home?.stop();
  });

  const scene = () => ({ home, listener, planted: [canary] });
  attackNetwork(scene);
  attackSecrets(scene);
  attackTenants(() => home);
});

describe('attacks where the runs of a principal share an interpreter', () => {
  const home = during(() => startHome({ ISOLATION: 'principal' }));
  attackTenants(home, { shared: true });
});
