// A reporter of node:test for test/run.mjs: one JSON object with the counts, and the names of what failed or
// was skipped. Suites are not counted, a file that ended abnormally is.
import { relative } from 'node:path';

export default async function* resultReporter(events) {
  const result = { tests: 0, pass: 0, fail: 0, skipped: 0, failures: [], skips: [] };
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details.type === 'suite' && data.details.error?.failureType !== 'hookFailed') continue;
    add(result, type, data);
  }
  yield JSON.stringify(result);
}

function add(result, type, data) {
  const file = data.file === undefined ? '' : relative(process.cwd(), data.file);
  const where = data.name === data.file ? file : `${file}: ${data.name}`;
  const left = data.skip ?? data.todo;
  result.tests++;
  if (left !== undefined) {
    result.skipped++;
    result.skips.push(`${where}: ${typeof left === 'string' && left !== '' ? left : 'no reason given'}`);
  } else if (type === 'test:fail') {
    result.fail++;
    result.failures.push(where);
  } else {
    result.pass++;
  }
}
