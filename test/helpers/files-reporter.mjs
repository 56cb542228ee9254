// A reporter of node:test for people: one line per test file, and each failure in full.
import { relative } from 'node:path';
import { inspect } from 'node:util';

export default async function* filesReporter(events) {
  const counts = new Map();
  for await (const { type, data } of events) {
    if (type === 'test:stderr' || type === 'test:stdout') {
      yield data.message;
    } else if (type === 'test:diagnostic' && data.nesting > 0) {
      yield `  (${data.message})\n`;
    } else if (type === 'test:pass' || type === 'test:fail') {
      const failed = type === 'test:fail';
      const file = nameOf(data.file);
      const count = counts.get(file) ?? { pass: 0, fail: 0, ms: 0 };
      counts.set(file, count);
      if (data.details.type !== 'suite') count[failed ? 'fail' : 'pass']++;
      if (data.nesting === 0) count.ms += data.details.duration_ms;
      if (failed) yield failureText(data);
      else if (data.skip !== undefined) yield `  skipped: ${data.name}: ${data.skip || 'no reason given'}\n`;
    }
  }
  for (const [file, { pass, fail, ms }] of counts) {
    yield `${fail > 0 ? 'FAIL' : 'ok'}  ${file}  ${pass}${fail > 0 ? ` passed, ${fail} failed` : ''}  ${(ms / 1000).toFixed(1)} s\n`;
  }
}

function failureText({ name, file, details }) {
  const { error } = details;
  // A suite fails because something in it did, which has been shown.
  if (error?.failureType === 'subtestsFailed') return '';
  const cause = error?.exitCode ? `ended with exit code ${error.exitCode}` : (error?.cause ?? error);
  return `\nFAIL ${nameOf(file)}: ${name === file ? 'the whole file' : name}\n${inspect(cause).replace(/^/gm, '    ')}\n\n`;
}

function nameOf(file) {
  return file === undefined ? '?' : relative(process.cwd(), file);
}
