// Assembles product.wat into wasm.js; with --check, only compares.
//
//   npm run assemble

import {readFileSync, writeFileSync} from 'node:fs';
import makeWabt from 'wabt';

const FOLDER = new URL('../../tfcharrnn/exporting/page/', import.meta.url);
const wabt = await makeWabt();
const text = readFileSync(new URL('product.wat', FOLDER), 'utf8');
const module = wabt.parseWat('product.wat', text, {simd: true});
module.validate();
const {buffer} = module.toBinary({});
const lines = Buffer.from(buffer)
  .toString('base64')
  .match(/.{1,72}/g);
const script = `// The bytes of product.wat in base64; written by .ci/page/assemble.mjs.

/** The module of \`product.wat\`. */
export const PRODUCT = [
${lines.map((line) => `  '${line}',\n`).join('')}].join('');
`;
const target = new URL('wasm.js', FOLDER);
if (!process.argv.includes('--check')) {
  writeFileSync(target, script);
} else if (readFileSync(target, 'utf8') !== script) {
  console.error('wasm.js is not what product.wat becomes: npm run assemble');
  process.exit(1);
}
