// Start: puts the sections together.

import {makeApi} from './api.js';
import {Band} from './band.js';
import {showCard} from './card.js';
import {byId} from './dom.js';
import {Learning} from './learning.js';
import {Letters} from './letters.js';
import {Memory} from './memory.js';
import {Neurons} from './neurons.js';
import {readPayload} from './payload.js';
import {Session} from './session.js';
import {Settings} from './settings.js';
import {Surprise} from './surprise.js';
import {WriteView} from './write_view.js';

const SHOWN = 500; // Characters of the sample that the sections begin with.
const CHOSEN = 120; // "Memory" begins with a word behind so many.

/** Starts the page. */
export function startPage() {
  window.addEventListener('unhandledrejection', ({reason}) => {
    byId('failure').hidden = false;
    byId('failure').textContent = `The model failed. ${reason}`;
  });
  const session = new Session(
    readPayload(),
    document.currentScript.textContent,
  );
  const ready = session.open().then(() => session.ask('prepare', {}));
  window.tfcharrnn = makeApi(session, ready);
  showCard(session);
  document.body.classList.toggle('is-words', session.vocabulary.isWords);
  const sample = wholeLines(session.payload.sampleText);
  const settings = new Settings(firstWords(sample), session.vocabulary.size);
  settings.read(location.hash);
  const writing = new WriteView(session, settings);
  const learning = new Learning(session, settings);
  bind(session, settings, {writing, learning});
  new Band(session);
  new Letters(session);
  const look = lookInside(session);
  look(sample);
  writing.write().then(() => sample || look(writing.text));
}

/** Makes the sections that look at a text; returns what gives them one. */
function lookInside(session) {
  const surprise = new Surprise(session);
  const neurons = new Neurons(session);
  const memory = new Memory(session);
  const [first] = session.payload.units;
  return (text) => {
    surprise.text = text;
    neurons.text = text;
    memory.open(text, insideWord(text));
    if (first) neurons.choose({layer: first.layer, unit: first.unit});
  };
}

/** Returns the lines of a text that are whole, some hundred characters. */
function wholeLines(text) {
  if (text.length <= SHOWN) return text;
  const start = text.indexOf('\n') + 1;
  const part = text.slice(start < SHOWN / 2 ? start : 0).trimStart();
  const end = part.lastIndexOf('\n', SHOWN);
  return part.slice(0, end > SHOWN / 2 ? end : SHOWN);
}

/** Lets a change of the settings or the checkpoint reach what depends on it. */
function bind(session, settings, {writing, learning}) {
  let timer = null;
  const remember = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      history.replaceState(null, '', settings.fragment);
      learning.refresh();
    }, 200);
  };
  settings.onChange = () => {
    writing.showNext();
    remember();
  };
  session.onChoice(() => {
    writing.rewrite();
    writing.showNext();
  });
  byId('reseed').addEventListener('click', () => {
    settings.set({seed: crypto.getRandomValues(new Uint32Array(1))[0] % 10000});
    remember();
    writing.write();
  });
  byId('link').addEventListener('click', async () => {
    history.replaceState(null, '', settings.fragment);
    const isCopied = await copy(location.href);
    byId('write-note').textContent = isCopied
      ? 'Copied: the link writes this text again.'
      : 'The link in the address bar writes this text again.';
  });
  window.addEventListener('hashchange', () => {
    if (!location.hash.includes('=')) return; // A link to a section.
    settings.read(location.hash);
    writing.write();
  });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // The browser does not allow it.
  }
}

/** Returns a place inside of a long word. */
function insideWord(text) {
  const start = text.slice(CHOSEN).search(/\p{L}{6}/u);
  return CHOSEN + (start < 0 ? 0 : start + 4);
}

/** Returns the first words of a text. */
function firstWords(text) {
  const [line] = text.split('\n');
  return line.split(' ').slice(0, 3).join(' ');
}
