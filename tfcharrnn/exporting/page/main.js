// Main: the same script is the page and, started by it, the worker.

import {startPage} from './start.js';
import {makeReceiver} from './worker.js';

if (typeof document === 'undefined') {
  const receive = makeReceiver((message) => self.postMessage(message));
  self.onmessage = ({data}) => receive(data);
} else {
  startPage();
}
