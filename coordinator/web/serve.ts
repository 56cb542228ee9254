import { existsSync } from 'node:fs';
import { join } from 'node:path';
import express, { type RequestHandler } from 'express';

/** Vite names these files by their content: an address never changes what it stands for. */
const ASSETS = '/assets';
const YEAR_MS = 365 * 24 * 3600 * 1000;
const NOT_BUILT = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>AI-Block Pool</title></head>
<body>
<h1>The page is not built yet</h1>
<p>Run <code>npm run build</code> in the folder of the pool, then load this page again. The pool itself is running:
see <a href="overview">overview</a>, <a href="model">model</a> and <a href="submissions">submissions</a>.</p>
</body>
</html>
`;

/**
 * Serves the built page: `/` and its files, found anew on each request, so that a build needs no restart. Assets may
 * be kept for ever, `index.html` is asked for again each time. Before the first build `/` answers 503 with a page that
 * names the command. Every other path is left to the handlers that follow.
 */
export function webPage(distDir: string): RequestHandler[] {
  const index = join(distDir, 'index.html');
  const assets = express.static(join(distDir, ASSETS), {
    immutable: true,
    maxAge: YEAR_MS,
    index: false,
    redirect: false,
  });
  const files = express.static(distDir, {
    index: 'index.html',
    redirect: false,
    setHeaders: (response) => response.setHeader('cache-control', 'no-cache'),
  });
  return [
    (request, response, next) => {
      if (request.path !== '/' || existsSync(index)) return next();
      if (request.method !== 'GET' && request.method !== 'HEAD') return next();
      response.status(503).setHeader('cache-control', 'no-store').type('html').send(NOT_BUILT);
    },
    below(ASSETS, assets),
    files,
  ];
}

/** `handler` for the paths below `prefix`, which it does not see. */
function below(prefix: string, handler: RequestHandler): RequestHandler {
  const router = express.Router();
  router.use(prefix, handler);
  return router;
}
