/** Floor 8: the commands. Nothing in src imports them; tools make manual pages of them. */
export { describeCommand } from './command-shape.ts';
export { manualPage, pageName } from './man/page.ts';
export { createProgram } from './program.ts';
export { packageVersion } from './session-command.ts';
