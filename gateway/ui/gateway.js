// What the page asks of the gateway. Addresses are relative: the page may lie below any path.

// A refusal; its message is the gateway's sentence.
export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

export async function get(path) {
  return answerOf(await send(path, { headers: { Accept: 'application/json' } }));
}

export async function post(path, body, signal) {
  return answerOf(await send(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  }));
}

async function send(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refused(0, 'The gateway does not answer. Is it still running?');
  }
}

async function answerOf(response) {
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  throw new Refused(response.status, answer.error ?? `The gateway answered ${response.status}.`);
}

function dataUrl(blob) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(new Error('The browser could not read the file.'));
    reader.readAsDataURL(blob);
  });
}

// Where several gateways share the work, each that has its turn has to be sent the picture.
const SENDINGS = 4;

// A picture that the gateway keeps for a while; if it has dropped it, it is sent again.
export class SentPicture {
  constructor(blob) {
    this.blob = blob;
  }

  async send() {
    const answer = await post('images', { image: await dataUrl(this.blob) });
    this.id = answer.image_id;
    return answer;
  }

  async ask(path, body = {}, signal = undefined) {
    for (let sendings = 0; ; ++sendings) {
      try {
        return await post(path, { ...body, image_id: this.id }, signal);
      } catch (error) {
        if (error.status !== 404 || sendings === SENDINGS) throw error;
        await this.send();
      }
    }
  }
}

// Asks one thing at a time. What comes meanwhile replaces what waits: the newest wins, and nobody
// waits for what is no longer wanted.
export class NewestFirst {
  // `ask(wanted, signal)` gives a promise; `answered(wanted, answer)` and `failed(error)` are told.
  constructor(ask, answered, failed) {
    Object.assign(this, { ask, answered, failed });
    this.waiting = null;
    this.running = null;
  }

  want(wanted) {
    this.waiting = wanted;
    if (!this.running) this.run();
  }

  // Forgets what waits, and gives up what is asked.
  cancel() {
    this.waiting = null;
    this.running?.abort();
  }

  async run() {
    while (this.waiting) {
      const wanted = this.waiting;
      this.waiting = null;
      const controller = this.running = new AbortController();
      try {
        const answer = await this.ask(wanted, controller.signal);
        if (!controller.signal.aborted) this.answered(wanted, answer);
      } catch (error) {
        if (!controller.signal.aborted) this.failed(error);
      }
    }
    this.running = null;
  }
}
