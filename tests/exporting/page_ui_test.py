"""What a person does on the page, in a browser, against numbers from Python."""

import pathlib
import tempfile
import time

import chromium
import numpy as np
import pytest
import tensorflow as tf

import tfcharrnn
from tfcharrnn import exporting
from tfcharrnn.exporting import page, payload
from tfcharrnn.generation import sampling

pytestmark = pytest.mark.skipif(
    chromium.missing() is not None, reason=str(chromium.missing())
)

CHARS = '\n .:;ABCDEabcde'
TEXT = 'Abe: Bad cab.\nAdd a bee; Cede a dead bed.\nDab a cab: Ed. '
# The codes of keys in WebDriver.
ARROW_LEFT, ARROW_RIGHT = '\ue012', '\ue014'
ENTER, ESCAPE, TAB = '\ue007', '\ue00c', '\ue004'
PLANTED = 3  # A unit that is high at capitals, and nowhere else.


def make_model(seed):
    """A model whose next character depends on the last one alone."""
    tf.random.set_seed(seed)
    model = tfcharrnn.CharRNN(
        len(CHARS), embedding_dim=8, rnn_units=12, cell='vanilla'
    )
    (cell,) = model.cells
    for variable in model.variables:
        variable.assign(tf.random.normal(variable.shape))
    cell.recurrent_kernel.assign(tf.zeros_like(cell.recurrent_kernel))
    # The first feature says whether a character is a capital.
    capitals = [[3.0 if char.isupper() else -3.0] for char in CHARS]
    embedding = tf.concat([capitals, model.embedding[:, 1:]], 1)
    model.embedding.assign(embedding)
    first = [[2.0 * (unit == PLANTED) for unit in range(12)]]
    others = cell.kernel[1:] * [float(unit != PLANTED) for unit in range(12)]
    cell.kernel.assign(tf.concat([first, others], 0))
    cell.bias.assign(tf.zeros_like(cell.bias))
    return model


class Page:
    """A page in a browser, and the models in it."""

    def __init__(self, browser, folder):
        vocabulary = tfcharrnn.Vocabulary(CHARS)
        self.models = models = [make_model(seed) for seed in (1, 2)]
        self.generators = [
            tfcharrnn.Generator(exporting.quantized(model), vocabulary)
            for model in models
        ]
        self.name = 'A <b>name</b> & more'
        self.payload = {
            **payload.describe(models[1], vocabulary, name=self.name),
            'checkpoints': [
                {
                    'label': label,
                    'step': step,
                    'best': step == 200,
                    'loss': 2.0 - step / 1000,
                    'weights': payload.weights_of(model),
                }
                for label, step, model in zip(
                    ['100', '200'], [100, 200], models, strict=True
                )
            ],
            'start': 1,
            'curve': [
                {'step': step, 'loss': 2.0, 'valid': 1.9}
                for step in (50, 100, 200)
            ],
            'units': [
                {
                    'feature': 'upper case',
                    'layer': 0,
                    'unit': PLANTED,
                    'correlation': 0.99,
                    'auc': 1.0,
                    'control': 0.2,
                    'controlAuc': 0.6,
                }
            ],
            'sampleText': TEXT,
            'card': [['Trained on', 'nothing']],
            'python': 'import tfcharrnn',
        }
        self.browser = browser
        self.path = pathlib.Path(folder, 'page.html')
        self.path.write_text(page.render(self.payload), 'utf-8')

    def open(self, fragment=''):
        """Opens the page anew; returns when its first text is written."""
        self.browser.get('about:blank')
        self.browser.get(f'{self.path.as_uri()}{fragment}')
        self.wait(
            "return document.getElementById('write-note').textContent"
            " && document.getElementById('output').ariaBusy === 'false'"
        )

    def run(self, script, *arguments):
        """Runs a script there; returns what it returns."""
        return self.browser.execute_script(script, *arguments)

    def wait(self, script, *arguments):
        """Waits until a script returns something, and returns that."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if result := self.run(script, *arguments):
                return result
            time.sleep(0.02)
        raise AssertionError(f'never: {script}')

    def find(self, id_):
        """Returns the element with an id."""
        return self.browser.find_element('id', id_)

    def find_all(self, selector):
        """Returns the elements that a CSS selector selects."""
        return self.browser.find_elements('css selector', selector)

    def text(self, id_):
        """Returns all text of an element, hidden or not."""
        return self.find(id_).get_property('textContent')

    def type(self, id_, text):
        """Replaces the text of an input, as if typed at once."""
        self.run(
            'const node = document.getElementById(arguments[0]);'
            'node.focus(); node.value = arguments[1];'
            "node.dispatchEvent(new Event('input', {bubbles: true}));"
            "node.dispatchEvent(new Event('change', {bubbles: true}));",
            id_,
            text,
        )

    def write(self, **settings):
        """Presses Write; returns the text."""
        for id_, value in settings.items():
            self.type(id_.replace('_', '-'), value)
        self.find('write').click()
        self.wait("return document.getElementById('output').ariaBusy==='false'")
        return self.text('output')

    def bars(self):
        """Returns the probability of each bar, and its label."""
        return self.run(
            "return [...document.querySelectorAll('#bars .bar-row')].map((b) =>"
            "[Number(b.dataset.probability), b.querySelector('.glyph')"
            '.textContent])'
        )

    def wait_for_bars(self, expected):
        """Waits until the bars show probabilities; the last is the rest."""
        order = np.sort(expected)[::-1][:10]

        def differ():
            shown = np.array([share for share, _ in self.bars()])
            return abs(shown[:-1] - order).max(), shown.sum()

        end = time.monotonic() + 10
        while (difference := differ())[0] > 1e-3 and time.monotonic() < end:
            time.sleep(0.02)
        assert difference[0] < 1e-3
        assert abs(difference[1] - 1) < 1e-5


@pytest.fixture(scope='module')
def opened():
    with chromium.opened() as browser, tempfile.TemporaryDirectory() as folder:
        yield Page(browser, folder)


@pytest.fixture
def shown(opened):
    opened.open()
    return opened


def distribution_after(generator, text, temperature):
    """Returns the probabilities that a model draws with after a text."""
    ids = generator.vocabulary.encode(text)[None]
    model = generator.model
    logits, _ = model(tf.constant(ids), model.initial_state(1))
    return sampling.distribution(
        logits[:, -1], temperature=temperature
    ).numpy()[0]


def test_the_page_says_what_it_shows(shown):
    assert shown.text('name') == shown.name
    assert '12 simple recurrent units' in shown.text('lede')
    assert 'Trained on' in shown.text('card')
    assert shown.text('python') == 'import tfcharrnn'
    assert not chromium.complaints(shown.browser)


def test_the_same_settings_write_what_python_writes(shown):
    written = shown.write(prompt='Abe: ', seed='7', temperature='0.8')
    expected = shown.generators[1].generate(
        'Abe: ', 400, temperature=0.8, seed=7
    )
    assert written == expected
    assert shown.write() == expected
    assert shown.write(seed='8') != expected


def test_top_k_top_p_and_stop_reach_the_model(shown):
    generator = shown.generators[1]
    settings = dict(prompt='a', seed='3', temperature='1', length='60')
    written = shown.write(**settings, top_k='3')
    assert written == generator.generate('a', 60, seed=3, top_k=3)
    written = shown.write(top_k='99', top_p='0.5')
    assert written == generator.generate('a', 60, seed=3, top_p=0.5)
    written = shown.write(top_p='1', until='b')
    assert written == generator.generate('a', 60, seed=3, stop='b')


def test_bars_are_the_distribution_at_the_cursor(shown):
    generator = shown.generators[1]
    for prompt, temperature in [('Abe', 1.0), ('Abe', 0.3), ('Ed ', 2.0)]:
        shown.type('temperature', str(temperature))
        shown.type('prompt', prompt)
        shown.wait_for_bars(distribution_after(generator, prompt, temperature))
    shown.run("document.getElementById('prompt').setSelectionRange(1, 1)")
    shown.wait_for_bars(distribution_after(generator, 'E', 2.0))


def test_a_bar_is_taken_at_the_cursor(shown):
    shown.type('temperature', '1')
    shown.type('prompt', 'A')
    after = distribution_after(shown.generators[1], 'A', 1.0)
    shown.wait_for_bars(after)
    shown.find_all('#bars button')[1].click()
    second = CHARS[np.argsort(-after, kind='stable')[1]]
    assert shown.find('prompt').get_property('value') == 'A' + second


def test_another_choice_leads_the_text_elsewhere_and_back(shown):
    first = shown.write(prompt='A', temperature='1', length='50')
    at = next(i for i in range(5, 50) if first[i] != '\n')
    shown.find_all('#output span')[at].click()
    after = distribution_after(shown.generators[1], first[:at], 1.0)
    shown.wait_for_bars(after)
    order = [CHARS[i] for i in np.argsort(-after, kind='stable')]
    choice = next(i for i, char in enumerate(order) if char != first[at])
    shown.find_all('#bars button')[choice].click()
    shown.wait(
        "return document.getElementById('output').ariaBusy === 'false' &&"
        "document.getElementById('output').textContent.length === 51"
    )
    second = shown.text('output')
    assert second[: at + 1] == first[:at] + order[choice]
    versions = shown.find_all('#versions button')
    assert len(versions) == 2
    versions[0].click()
    assert shown.text('output') == first
    shown.find_all('#versions button')[1].click()
    assert shown.text('output') == second


def test_the_keyboard_is_enough(shown):
    first = shown.write(prompt='A', temperature='1', length='30')
    shown.find('output').send_keys(ARROW_RIGHT * 5)
    after = distribution_after(shown.generators[1], first[:4], 1.0)
    shown.wait_for_bars(after)
    shown.find('output').send_keys(ENTER)
    focused = shown.browser.switch_to.active_element
    assert focused.get_attribute('class').startswith('bar-row')
    focused.send_keys(TAB)
    shown.browser.switch_to.active_element.send_keys(ENTER)
    second = CHARS[np.argsort(-after, kind='stable')[1]]
    shown.wait(
        "return document.getElementById('output').textContent"
        '.startsWith(arguments[0])',
        first[:4] + second,
    )
    shown.browser.switch_to.active_element.send_keys(ESCAPE)
    assert shown.browser.switch_to.active_element.get_attribute('id') == (
        'output'
    )


def test_stop_stops(shown):
    shown.type('length', '20000')
    # In the page, since the text is finished sooner than a call arrives.
    shown.run(
        "const output = document.getElementById('output');"
        "const stop = document.getElementById('stop');"
        'const look = () => output.textContent.length > 20'
        ' ? stop.click() : setTimeout(look, 1);'
        "document.getElementById('write').click(); look();"
    )
    shown.wait(
        "return document.getElementById('output').textContent.length > 20 &&"
        "document.getElementById('stop').disabled"
    )
    before = len(shown.text('output'))
    assert before < 20000
    time.sleep(0.3)
    assert len(shown.text('output')) == before
    shown.type('length', '50')
    shown.find('more').click()
    shown.wait(
        "return document.getElementById('output').textContent.length"
        ' === arguments[0]',
        before + 50,
    )


def test_a_link_writes_the_same_text(shown):
    written = shown.write(
        prompt='Cab & "bee": #1\n', seed='11', temperature='1.25', length='70'
    )
    fragment = shown.wait(
        "return location.hash.includes('length=70') && location.hash"
    )
    shown.open(fragment)
    assert shown.find('prompt').get_property('value') == 'Cab & "bee": #1\n'
    assert shown.text('output') == written


def test_the_slider_moves_everything_through_training(shown):
    shown.write(prompt='A', seed='5', temperature='1', length='40')
    shown.find('checkpoint').send_keys(ARROW_LEFT)
    earlier = shown.generators[0]
    expected = earlier.generate('A', 40, seed=5, temperature=1.0)
    shown.wait(
        "return document.getElementById('output').textContent === arguments[0]",
        expected,
    )
    assert shown.text('step').startswith('100')
    scores = chromium.call(shown.browser, 'tfcharrnn.logProbs(given[0])', TEXT)
    np.testing.assert_allclose(scores, earlier.score(TEXT), atol=1e-3)
    bits = -earlier.score(TEXT).mean() / np.log(2)
    shown.wait(
        "return document.getElementById('surprise-total').textContent"
        '.startsWith(arguments[0])',
        f'{bits:.2f} bits per character',
    )


def test_each_checkpoint_writes_its_row(shown):
    shown.write(prompt='A', seed='5', temperature='1')
    shown.run("document.getElementById('learning').scrollIntoView()")
    expected = [
        generator.generate('A', 160, seed=5) for generator in shown.generators
    ]
    shown.wait(
        "return JSON.stringify([...document.querySelectorAll('.learning-text')]"
        '.map((node) => node.textContent)) === JSON.stringify(arguments[0])',
        expected,
    )


def test_surprise_is_the_score_of_python(shown):
    text = 'Bad cab.\nEd'
    shown.type('surprise-text', text)
    bits = -shown.generators[1].score(text) / np.log(2)
    shown.wait(
        "return document.getElementById('surprise-total').textContent"
        '.startsWith(arguments[0])',
        f'{bits.mean():.2f} bits per character over 11 characters',
    )
    shown.wait(
        "return document.getElementById('surprise-info').textContent"
        '.startsWith(arguments[0])',
        f'“d”: {bits[-1]:.2f} bits',
    )
    alphas = shown.run(
        "return [...document.querySelectorAll('#surprise-lens .ink span')].map("
        '(node) => {const c = getComputedStyle(node).backgroundColor;'
        'return Number(/\\/ ([\\d.]+)\\)/.exec(c)?.[1] ?? 0);})'
    )
    np.testing.assert_allclose(
        alphas, 0.78 * np.minimum(bits / 8, 1), atol=0.011
    )


def test_what_is_not_in_the_vocabulary_is_marked_and_shows_as_itself(shown):
    strange = ['é', '<', '😀', '\u202e', '‮', '\u2028', '&']
    text = 'Abe ' + ''.join(strange) + '</script><img onerror=alert(1)> bed'
    shown.type('surprise-text', text)
    marked = shown.wait(
        "const marked = document.querySelectorAll('#surprise-lens .unseen');"
        'return [...marked].map((node) => node.textContent)'
    )
    assert marked == [char for char in text if char not in CHARS]
    ink = shown.run(
        "return document.querySelector('#surprise-lens .ink').textContent"
    )
    assert ink == text + '\u200b'
    note = shown.wait(
        "const note = document.getElementById('surprise-total').textContent;"
        "return note.includes('vocabulary') && note"
    )
    assert 'é' in note and '😀' in note
    scores = chromium.call(shown.browser, 'tfcharrnn.logProbs(given[0])', text)
    unseen = [score is None for score in scores]
    assert unseen == [char not in CHARS for char in text]


def test_find_ranks_the_planted_unit_first(shown):
    shown.type('neuron-text', TEXT)
    shown.type('mark', 'upper case')
    shown.find('find').click()
    row = shown.wait("return document.querySelector('#found button')")
    assert row.get_attribute('data-unit') == str(PLANTED)
    assert '1.000' in row.text
    assert shown.find('unit').get_property('value') == str(PLANTED)
    # And the text is warm at capitals, cool elsewhere.
    shown.wait(
        "return [...document.querySelectorAll('#neuron-lens .ink span')].every("
        '(node) => node.style.backgroundColor.includes('
        "/[A-E]/.test(node.textContent) ? '--warm' : '--cool'))"
    )


def test_find_takes_what_is_selected(shown):
    shown.type('neuron-text', 'abcdeABCDEabcde .:;')
    shown.run(
        "const area = document.getElementById('neuron-text'); area.focus();"
        'area.setSelectionRange(5, 10)'
    )
    shown.find('find').click()
    row = shown.wait("return document.querySelector('#found button')")
    assert row.get_attribute('data-unit') == str(PLANTED)
    assert '5 characters from 14' in shown.text('found-note')


def test_found_units_have_the_auc_of_pairs(shown):
    text = 'abcdeABCDEabcde .:;'
    shown.type('neuron-text', text)
    shown.type('mark', 'vowels')
    shown.find('find').click()
    rows = shown.wait(
        "const rows = [...document.querySelectorAll('#found button')];"
        'return rows.length === 12 && rows.map((row) => [row.dataset.unit,'
        "row.querySelector('.found-auc').textContent])"
    )
    states = chromium.call(
        shown.browser,
        'tfcharrnn.states(given[0]).then((s) => [...s.values.state])',
        text,
    )
    states = np.reshape(states, [len(text), -1])
    is_vowel = np.array([char in 'aeAE' for char in text])
    high, low = states[is_vowel][:, None], states[~is_vowel][None]
    auc = ((high > low) + 0.5 * (high == low)).mean((0, 1))
    for unit, shown_auc in rows:
        expected = max(auc[int(unit)], 1 - auc[int(unit)])
        assert abs(float(shown_auc) - expected) < 6e-4
    order = [float(shown_auc) for _, shown_auc in rows]
    assert order == sorted(order, reverse=True)


def test_find_asks_for_a_selection(shown):
    shown.find('find').click()
    shown.wait(
        "return document.getElementById('found-note').textContent"
        ".startsWith('Select some characters')"
    )


def test_a_known_unit_is_followed(shown):
    shown.type('unit', '0')
    shown.find_all('#known-rows button')[0].click()
    assert shown.find('unit').get_property('value') == str(PLANTED)
    values = chromium.call(
        shown.browser,
        'tfcharrnn.states(given[0]).then((states) =>'
        '[states.steps, states.units, ...states.values.state])',
        'Ab',
    )
    assert values[:2] == [2, 12]
    model = shown.models[1]
    ids = shown.generators[1].vocabulary.encode('Ab')
    inputs = model.embedding.numpy()[ids]
    states = np.tanh(inputs @ model.cells[0].kernel)
    np.testing.assert_allclose(values[2:], np.ravel(states), atol=1e-3)


def test_memory_ends_where_that_of_the_model_ends(shown):
    shown.type('memory-text', TEXT)
    # Python: reading the last character alone is as good as reading all.
    bits = -shown.generators[1].score(TEXT)[-1] / np.log(2)
    shown.wait(
        "return document.getElementById('memory-info').textContent"
        '.startsWith(arguments[0])',
        f'“␣”: {bits:.2f} bits after all that is before it. '
        'The last character is enough',
    )
    without_last = distribution_after(shown.generators[1], TEXT[:-2], 1.0)
    change = -np.log2(without_last[CHARS.index(TEXT[-1])]) - bits
    colours = shown.run(
        "const spans = document.querySelectorAll('#memory-lens .ink span');"
        'return [...spans].map((node) => node.style.backgroundColor)'
    )
    assert not any(colours[:-2]) and not colours[-1]
    share = round(78 * min(1.0, abs(change) / 4))
    assert f'--{"warm" if change > 0 else "cool"}) {share}%' in colours[-2]


def test_neighbours_are_the_nearest_by_cosine(shown):
    shown.run("document.getElementById('letters').scrollIntoView()")
    shown.wait("return document.querySelector('#letters text').style.transform")
    shown.find('letters').send_keys(ARROW_RIGHT)
    chosen = shown.wait(
        "return document.querySelector('#letters .chosen')?.textContent"
    )
    char = {'↵': '\n', '␣': ' '}.get(chosen, chosen)
    embedding = shown.models[1].embedding.numpy()
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    cosine = embedding @ embedding[CHARS.index(char)]
    nearest = np.argsort(-cosine)[1:6]
    names = {'\n': '↵', ' ': '␣'}
    listed = ', '.join(
        f'“{names.get(CHARS[i], CHARS[i])}” {cosine[i]:.2f}' for i in nearest
    )
    assert listed in shown.text('letters-info')


def test_typing_and_writing_move_nothing(shown):
    shown.run(
        'window.shifts = 0; new PerformanceObserver((list) => {'
        'for (const entry of list.getEntries()) window.shifts += entry.value;'
        "}).observe({type: 'layout-shift'});"
    )
    shown.find('prompt').send_keys('Abe bad')
    shown.find('write').click()
    shown.find('temperature').send_keys(ARROW_RIGHT * 3)
    time.sleep(0.4)
    assert shown.run('return window.shifts') < 0.01


@pytest.mark.parametrize('width', [360, 390, 1280])
def test_nothing_is_wider_than_the_screen(shown, width):
    metrics = {'width': width, 'height': 800, 'deviceScaleFactor': 1}
    command = shown.browser.execute_cdp_cmd
    command('Emulation.setDeviceMetricsOverride', {**metrics, 'mobile': True})
    try:
        shown.wait(
            'return document.documentElement.scrollWidth <= arguments[0]', width
        )
    finally:
        command('Emulation.clearDeviceMetricsOverride', {})


def test_without_webassembly_the_numbers_are_the_same(shown):
    def log_probs():
        return chromium.call(
            shown.browser, 'tfcharrnn.logProbs(given[0])', TEXT
        )

    expected = log_probs()
    plain = shown.path.with_name('plain.html')
    text = shown.path.read_text('utf-8')
    assert " 'wasm-unsafe-eval'" in text
    plain.write_text(text.replace(" 'wasm-unsafe-eval'", ''), 'utf-8')
    shown.browser.get(plain.as_uri())
    assert log_probs() == expected


def test_every_control_has_a_name(shown):
    shown.wait(
        "const controls = document.querySelectorAll('button, input, select,"
        "textarea');"
        'return [...controls].every((node) => node.labels?.length ||'
        'node.ariaLabel || node.textContent.trim())'
    )
