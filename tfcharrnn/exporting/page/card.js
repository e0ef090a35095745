// The head and the card of the page: what the model is.

import {byId, element, grouped} from './dom.js';

const CELL_NAMES = {
  gru: 'GRU',
  lstm: 'LSTM',
  mingru: 'minGRU',
  vanilla: 'simple recurrent',
};

/** Fills in what the page says about the model. */
export function showCard({payload, config, noun}) {
  const {name, card, python, version} = payload;
  document.title = `${name}: what a model has learnt`;
  byId('name').textContent = name;
  const layers = config.layers > 1 ? `${config.layers} layers of ` : '';
  byId('lede').textContent =
    `${layers}${grouped(config.units)} ${CELL_NAMES[config.cell]} units that ` +
    `have learnt to predict the next ${noun}. All ` +
    `${grouped(config.parameters)} parameters are in this file: the model ` +
    'runs in your browser, and nothing is sent anywhere.';
  for (const node of document.querySelectorAll('.noun')) {
    node.textContent = noun;
  }
  for (const node of document.querySelectorAll('.Noun')) {
    node.textContent = noun[0].toUpperCase() + noun.slice(1);
  }
  for (const [label, text] of card) {
    const pair = [element('dt', {}, label), element('dd', {}, text)];
    byId('card').append(element('div', {}, ...pair));
  }
  byId('card-section').hidden = !card.length && !python;
  byId('python').textContent = python;
  byId('python-block').hidden = !python;
  byId('foot').textContent =
    `Made by tfcharrnn ${version}. Weights in int8; everything is computed ` +
    'in this page.';
}
