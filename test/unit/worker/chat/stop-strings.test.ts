import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { below, seededUniform } from '#shared/weights/random.ts';
import { StopStrings } from '#worker/chat/stop-strings.ts';

function said(stops: readonly string[], pieces: readonly string[]) {
  const watch = new StopStrings(stops);
  const text = pieces.map((piece) => watch.push(piece)).join('');
  return { text: text + watch.end(), found: watch.found };
}

describe('StopStrings', () => {
  it('ends the text before the first stop string', () => {
    assert.deepEqual(said(['END'], ['one END two']), { text: 'one ', found: true });
    assert.deepEqual(said(['x', 'b'], ['abcx']), { text: 'a', found: true });
    assert.deepEqual(said(['END'], ['one', ' two']), { text: 'one two', found: false });
    assert.deepEqual(said([], ['all']), { text: 'all', found: false });
  });

  it('sees a stop string that comes in pieces, and hands out none of it', () => {
    const watch = new StopStrings(['\n\nUser:']);
    const out = ['Yes.', '\n', '\nUs', 'er', ': no'].map((piece) => watch.push(piece));
    assert.deepEqual(out, ['Yes.', '', '', '', '']);
    assert.equal(watch.found, true);
    assert.equal(watch.end(), '');
    assert.equal(watch.push('more'), '');
  });

  it('gives back what only began like a stop string', () => {
    const watch = new StopStrings(['aab']);
    assert.deepEqual(
      ['a', 'a', 'a', 'c'].map((piece) => watch.push(piece)),
      ['', '', 'a', 'aac'],
    );
    assert.equal(watch.push('aa'), '');
    assert.equal(watch.end(), 'aa');
  });

  it('does not tear a character that a stop string shares half of', () => {
    const smile = '\u{1f600}';
    assert.deepEqual(said([`${smile}!`], ['a', smile, '?']), { text: `a${smile}?`, found: false });
    assert.deepEqual(said(['naïve 船'], ['so naïve', ' 船', 'x']), { text: 'so ', found: true });
  });

  it('says the same however the text is cut', () => {
    const uniform = seededUniform(4);
    const stops = ['aba', 'bb', 'abbb', 'ca'];
    for (let round = 0; round < 400; round++) {
      const text = Array.from({ length: 12 }, () => 'abc'[below(uniform, 3)]).join('');
      const letters = said(stops, [...text]);
      const cut = below(uniform, 12);
      assert.deepEqual(said(stops, [text.slice(0, cut), text.slice(cut)]), letters, text);
      assert.deepEqual(said(stops, [text]), letters, text);
      assert.ok(stops.every((stop) => !letters.text.includes(stop)));
    }
  });
});
