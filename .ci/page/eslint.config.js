// The rules for the scripts of the page; run from the root of the repository.

import js from '@eslint/js';
import globals from 'globals';

const FORBIDDEN = ['innerHTML', 'outerHTML', 'insertAdjacentHTML'].map(
  (property) => ({property, message: 'Text becomes nodes, never markup.'}),
);

export default [
  js.configs.recommended,
  {
    languageOptions: {ecmaVersion: 2022, sourceType: 'module'},
    rules: {
      curly: ['error', 'multi-line'],
      eqeqeq: 'error',
      'no-eval': 'error',
      'no-implied-eval': 'error',
      'no-new-func': 'error',
      'no-script-url': 'error',
      'no-shadow': 'error',
      'no-var': 'error',
      'object-shorthand': 'error',
      'prefer-const': 'error',
      'max-lines': ['error', 300],
      'max-lines-per-function': ['error', 60],
      'max-params': ['error', 7],
    },
  },
  {
    files: ['tfcharrnn/**/*.js'],
    languageOptions: {globals: globals.browser},
    rules: {'no-restricted-properties': ['error', ...FORBIDDEN]},
  },
  {files: ['.ci/**'], languageOptions: {globals: globals.node}},
];
