import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Piece, Speech } from '#worker/chat/speech.ts';

function speech() {
  const pieces: Piece[] = [];
  const time = { now: 0 };
  return {
    pieces,
    time,
    speech: new Speech(
      (piece) => pieces.push(piece),
      () => time.now,
    ),
  };
}

it('says the first at once, what comes soon after together, and how many tokens each took', () => {
  const { speech: said, pieces, time } = speech();
  said.say('call');
  said.say(' me');
  said.say('');
  time.now = 25;
  said.say(' Ishmael');
  said.say('.');
  said.say(' Some', 0);
  said.end();
  assert.deepEqual(pieces, [
    { text: 'call', tokens: 1 },
    { text: ' me Ishmael', tokens: 3 },
    { text: '. Some', tokens: 1 },
  ]);
});

it('cuts what is too long for a message, and counts its tokens once', () => {
  const { speech: said, pieces } = speech();
  said.say('a'.repeat(12_000), 7);
  assert.deepEqual(
    pieces.map(({ text, tokens }) => [text.length, tokens]),
    [
      [5_000, 7],
      [5_000, 0],
      [2_000, 0],
    ],
  );
});

it('says nothing where there is nothing', () => {
  const { speech: said, pieces } = speech();
  said.say('');
  said.end();
  assert.deepEqual(pieces, []);
});
