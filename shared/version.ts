/** Equal to the version in package.json: a check compares them. */
export const SOFTWARE_VERSION = '0.1.0';
