// A ticket: its head, its messages as they come, and the reply box, which stays what it is while they come.

import { call, get, query } from "./api.js";
import { Composer, hasDraft } from "./composer.js";
import { correctionList, ticketTasks } from "./correct.js";
import { h, icon, toast } from "./dom.js";
import { labels } from "./evidence.js";
import { AGAIN_MS, coalesced, released } from "./live.js";
import { messageElement, retry } from "./message.js";

const STATUSES = [["open", "Open"], ["pending", "Pending"], ["closed", "Closed"]];

const isGone = (problem) => problem.status === 404 || problem.status === 422;

export class Thread {
  /** hooks: {back(), changed()} */
  constructor(hooks) {
    this.hooks = hooks;
    this.id = null;
    this.element = h("main", { class: "thread", tabindex: "-1", "aria-label": "Ticket" });
    this.refresh = coalesced(() => this.#refresh());
    this.showNothing();
  }

  showNothing() {
    this.id = null;
    this.element.replaceChildren(h("div", { class: "empty" }, icon("inbox"), h("h2", {}, "Choose a ticket"),
      h("p", { class: "muted" }, h("kbd", {}, "j"), " and ", h("kbd", {}, "k"), " move through the list, ", h("kbd", {}, "Enter"), " opens, ", h("kbd", {}, "?"), " shows all keys.")));
  }

  async show(id) {
    if (this.id === id) return;
    this.id = id;
    this.ticket = null;
    this.shown = new Map();
    this.earlier = [];
    this.element.replaceChildren(h("p", { class: "muted pad" }, "Loading …"));
    await this.refresh();
  }

  reply() {
    this.composer?.focus();
  }

  async setStatus(status) {
    if (!this.ticket || this.ticket.status === status) return;
    try {
      await call("PATCH", `/tickets/${this.id}`, { status });
      toast(`Ticket #${this.ticket.ticket_number} is ${status}.`);
    } catch (problem) {
      toast(problem.message, "bad");
    }
    await this.refresh();
    this.hooks.changed();
  }

  async #refresh() {
    const id = this.id;
    if (id === null) return;
    let ticket, corrections;
    try {
      [ticket, corrections] = await Promise.all([get(`/tickets/${id}${query({ limit: 50 })}`), get(`/corrections${query({ ticket: id, limit: 20 })}`)]);
    } catch (problem) {
      if (id !== this.id || problem.status === 401) return;
      if (!this.ticket) this.#showProblem(problem);
      clearTimeout(this.again);
      if (!isGone(problem)) this.again = setTimeout(() => this.refresh(), AGAIN_MS);
      return;
    }
    await released();
    if (id !== this.id) return;
    const first = !this.ticket;
    const older = this.ticket?.olderLoaded ? this.ticket.older : ticket.older;
    const isNear = first || this.element.scrollHeight - this.element.scrollTop - this.element.clientHeight < 160;
    const count = this.shown.size;
    this.ticket = { ...ticket, older, olderLoaded: this.ticket?.olderLoaded };
    this.corrections = corrections.items;
    this.#draw(first);
    if (first) this.#showLatest();
    else if (isNear && this.shown.size > count) this.element.scrollTop = this.element.scrollHeight;
    if (ticket.unread && !ticket.merged_into && document.visibilityState === "visible") await this.#markRead(id);
  }

  /** Where it fails, the ticket stays unread and its next refresh tries again. */
  async #markRead(id) {
    try {
      await call("PATCH", `/tickets/${id}`, { unread: false });
    } catch {
      return;
    }
    this.hooks.changed();
  }

  #showProblem(problem) {
    this.element.replaceChildren(this.#backButton(), h("div", { class: "empty", role: "alert" },
      h("h2", {}, isGone(problem) ? "There is no such ticket" : "The ticket can’t be shown"),
      h("p", {}, isGone(problem) ? "It does not exist, or belongs to somebody else." : `${problem.message} Trying again …`)));
  }

  /** The newest message at the top of the view: long threads start where there is news. */
  #showLatest() {
    const last = [...this.shown.values()].at(-1)?.element;
    this.element.scrollTop = 0;
    if (this.shown.size > 1 && last) this.element.scrollTop = last.offsetTop - this.head.offsetHeight - 14;
  }

  #draw(first) {
    const { ticket } = this;
    if (first) {
      this.head = h("header", { class: "thread-head" });
      this.putRight = h("div", {});
      this.messages = h("div", { class: "messages" });
      this.foot = h("footer", {});
      this.composer = null;
      this.element.replaceChildren(this.head, this.putRight, this.messages, this.foot);
    }
    document.title = `${ticket.subject || "(no subject)"} · InboxOps`;
    this.head.replaceChildren(
      this.#backButton(),
      h("div", { class: "thread-title" }, h("h2", {}, ticket.subject || "(no subject)"),
        h("p", { class: "muted" }, `#${ticket.ticket_number} · ${ticket.inbox}`,
          ticket.follows && ` · continues #${ticket.follows}`, ticket.merged_into && ` · became part of #${ticket.merged_into}`),
        labels(ticket).length ? h("p", { class: "marks" }, labels(ticket)) : null),
      ...[ticketTasks(ticket, this.#tasks())].filter(Boolean),
      h("div", { class: "segments", role: "group", "aria-label": "Status" }, STATUSES.map(([value, label]) => h("button", {
        "aria-pressed": String(ticket.status === value), class: value, disabled: Boolean(ticket.merged_into),
        onclick: () => this.setStatus(value),
      }, label))));
    this.putRight.replaceChildren(...[correctionList(this.corrections, ticket, this.#tasks())].filter(Boolean));
    this.#letGo();
    for (const message of [...this.earlier, ...ticket.messages]) {
      const text = JSON.stringify(message);
      const known = this.shown.get(message.id);
      if (known?.text === text) continue;
      const element = messageElement(message, ticket, { retry: (id) => this.#retry(id), ...this.#tasks() });
      if (known) known.element.replaceWith(element);
      this.shown.set(message.id, { text, element });
      if (!known) this.#place(message.id, element);
    }
    this.messages.querySelector(".earlier")?.remove();
    if (ticket.older) {
      this.messages.prepend(h("button", { class: "more earlier", onclick: () => this.#loadEarlier() }, "Show earlier messages"));
    }
    // Of a ticket that was merged: what was written before is not lost, and who sends it is told where it belongs.
    if (!this.composer && (!ticket.merged_into || hasDraft(ticket.id))) {
      this.composer = new Composer(ticket, { sent: () => this.#sent() });
      this.foot.replaceChildren(this.composer.element);
    }
    this.composer?.goesTo(ticket);
  }

  #tasks() {
    return { corrected: async () => { await this.refresh(); this.hooks.changed(); } };
  }

  /** Messages that stand in another ticket by now. */
  #letGo() {
    const here = new Set(this.ticket.messages.map((message) => message.id));
    const oldest = Math.min(...here);
    for (const [id, { element }] of this.shown) {
      if (here.has(id) || (id < oldest && here.size)) continue;
      element.remove();
      this.shown.delete(id);
    }
    this.earlier = this.earlier.filter((message) => message.id < oldest);
  }

  /** Messages stand in the order of their ids, whenever they come. */
  #place(id, element) {
    const next = [...this.messages.querySelectorAll(".message")].find((other) => Number(other.dataset.id) > id);
    if (next) next.before(element);
    else this.messages.append(element);
    this.shown = new Map([...this.shown.entries()].sort(([one], [other]) => one - other));
  }

  async #loadEarlier() {
    const { ticket } = this;
    let page;
    try {
      page = await get(`/tickets/${ticket.id}${query({ limit: 50, cursor: ticket.older })}`);
    } catch (problem) {
      return toast(problem.message, "bad");
    }
    if (ticket.id !== this.id) return;
    this.earlier = [...page.messages, ...this.earlier];
    this.ticket.older = page.older;
    this.ticket.olderLoaded = true;
    this.#draw(false);
  }

  async #retry(id) {
    try {
      await retry(id);
      toast("It is being sent again.");
    } catch (problem) {
      toast(problem.message, "bad");
    }
    await this.refresh();
  }

  async #sent() {
    toast("The reply is on its way.");
    await this.refresh();
    this.element.scrollTop = this.element.scrollHeight;
    this.hooks.changed();
  }

  #backButton() {
    return h("button", { class: "quiet back", "aria-label": "Back to the list", onclick: () => this.hooks.back() }, icon("back"));
  }
}
