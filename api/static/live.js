// Events of the server, as they happen. The browser comes back by itself and says where it stopped; after a reset, or when the
// connection had to be made anew, everything is read again. While no events come, it is read again from time to time.

const NAMES = [
  "ticket.updated", "ticket.message_added", "message.failed", "message.unknown", "message.bounced", "inbox.disconnected",
  "inbox.connected",
];
/** Between two tries, when the server is away. */
export const AGAIN_MS = 3000;
/** Between two readings, while nobody tells of news. */
const UNTOLD_MS = 15000;

export class Live extends EventTarget {
  #source = null;
  #timer = 0;
  #untold = 0;

  open() {
    this.close();
    this.#is("away");
    this.#source = new EventSource("/v1/events");
    for (const name of ["ready", "back"]) this.#source.addEventListener(name, () => this.#is("live"));
    this.#source.addEventListener("away", () => this.#is("away"));
    // A new stream begins here: what happened since the page was read, it does not tell.
    this.#source.addEventListener("ready", () => this.#say("reset"), { once: true });
    this.#source.addEventListener("reset", () => this.#say("reset"));
    for (const name of NAMES) {
      this.#source.addEventListener(name, (event) => this.#say("event", { name, ...JSON.parse(event.data) }));
    }
    this.#source.addEventListener("error", () => {
      this.#is("away");
      if (this.#source.readyState !== EventSource.CLOSED) return;
      // Refused, not broken off: the browser gives up, we ask again (the session may have ended, or the server restarts).
      this.#timer = setTimeout(() => {
        this.open();
        this.#say("reset");
      }, AGAIN_MS);
    });
  }

  close() {
    clearTimeout(this.#timer);
    clearInterval(this.#untold);
    this.#source?.close();
    this.#source = null;
  }

  #is(state) {
    this.#say("state", state);
    clearInterval(this.#untold);
    if (state === "away") this.#untold = setInterval(() => this.#say("reset"), UNTOLD_MS);
  }

  #say(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** Runs `work` now; calls that come meanwhile become one more run at the end. */
export function coalesced(work) {
  let running = false;
  let wanted = false;
  return async function run() {
    if (running) {
      wanted = true;
      return;
    }
    running = true;
    try {
      do {
        wanted = false;
        await work();
      } while (wanted);
    } finally {
      running = false;
    }
  };
}

const LONGEST_PRESS_MS = 2000;
/** How long a click may come behind the finger that made it. */
const CLICK_MS = 50;
let isPressed = false;
const waiting = [];

function letGo() {
  isPressed = false;
  for (const go of waiting.splice(0)) go();
}

addEventListener("pointerdown", () => { isPressed = true; }, true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(letGo, CLICK_MS), true);

/** Once nothing is pressed: of an element that is replaced between press and release, the browser makes no click. */
export async function released() {
  if (!isPressed) return;
  await new Promise((go) => {
    waiting.push(go);
    setTimeout(go, LONGEST_PRESS_MS);
  });
}
