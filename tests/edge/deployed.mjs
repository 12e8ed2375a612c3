// The settings of a deployed worker.
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const file = fileURLToPath(new URL('../../worker/wrangler.jsonc', import.meta.url));

/** The variables of wrangler.jsonc. @type {Record<string, string>} */
export const DEPLOYED = ts.readConfigFile(file, ts.sys.readFile).config.vars;
