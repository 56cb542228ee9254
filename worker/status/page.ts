import { statusLines } from '#worker/status/lines.ts';
import type { WorkerStatus } from '#worker/status/status.ts';

const REFRESH_SECONDS = 3;

/** The status as a page without scripts, which loads itself again. */
export function statusPage(status: WorkerStatus): string {
  const rows = statusLines(status, Date.now()).map(
    ([what, text]) => `<tr><th scope="row">${htmlText(what)}</th><td>${htmlText(text)}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="${REFRESH_SECONDS}">
<meta name="viewport" content="width=device-width">
<title>${htmlText(status.name)}: ${status.connected ? 'connected' : 'not connected'}</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.375rem 0.75rem 0.375rem 0; border-top: 1px solid #8884; }
th { font-weight: 500; white-space: nowrap; opacity: 0.75; }
td { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
</style>
</head>
<body>
<h1>${htmlText(status.name)}</h1>
<table>
${rows.join('\n')}
</table>
</body>
</html>
`;
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function htmlText(text: string): string {
  return text.replaceAll(/[&<>"]/g, (character) => ENTITIES[character] ?? character);
}
