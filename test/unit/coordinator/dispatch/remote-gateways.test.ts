import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { CoreLink } from '#coordinator/dispatch/link/core-link.ts';
import { RemoteGateways } from '#coordinator/dispatch/link/remote-gateways.ts';
import { until } from '#test/helpers/until.ts';

const closers: (() => unknown)[] = [];
after(() => Promise.all(closers.map((close) => close())));

/** A core and one gateway, with a wire between them that can lose what the gateway says. */
async function linked() {
  const events: string[] = [];
  const wire = { loses: false };
  const desk = { admit: () => Promise.reject(new Error('nobody comes')), ban: () => undefined };
  const onFault = (message: string) => assert.fail(message);
  const core = new RemoteGateways({
    ...{ desk, version: '1', onFault },
    write: async (_, text) => link.take(text),
    onGateway: (_, event) => void events.push(event),
  });
  const link: CoreLink = new CoreLink({
    ...{ name: 'east', version: '1', onFault },
    onLink: () => undefined,
    write: async (text) => {
      if (!wire.loses) core.take(text);
    },
  });
  closers.push(
    () => core.close(),
    () => link.close(),
  );
  await until('they are linked', () => link.isUp && events.includes('linked'));
  events.length = 0;
  return { core, link, wire, events };
}

describe('a further gateway, as the core sees it', () => {
  it('has left where it says goodbye', async () => {
    const { link, events } = await linked();
    await link.close();
    await until('it is noticed', () => events.length > 0);
    assert.deepEqual(events, ['left']);
  });

  it('has left where the core ends', async () => {
    const { core, events } = await linked();
    core.close();
    assert.deepEqual(events, ['left']);
  });

  it('is lost where a frame of its is missing, and linked anew', async () => {
    const { wire, events } = await linked();
    wire.loses = true;
    await new Promise((resolve) => setTimeout(resolve, 700)); // a beat at least
    wire.loses = false;
    await until('it is linked anew', () => events.includes('linked'));
    assert.deepEqual(events, ['lost', 'linked']);
  });

  it('is lost where it falls silent', async () => {
    const { wire, events } = await linked();
    wire.loses = true;
    await until('it is noticed', () => events.length > 0);
    assert.deepEqual(events, ['lost']);
  });
});
