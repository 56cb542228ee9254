import { timers } from '../net/browser.ts';
import { createClock } from './clock.ts';

/** The one clock of this page. */
export const clock = createClock(timers);
