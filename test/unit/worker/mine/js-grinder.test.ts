import { grinderConformance } from '#test/conformance/grinder.ts';
import { createJsGrinder } from '#worker/mine/js-grinder.ts';

grinderConformance('node:crypto', async () => createJsGrinder());
