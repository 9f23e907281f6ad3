// The list of tickets: filters, search, pages, and the rows, kept fresh while tickets change.

import { get, query } from "./api.js";
import { h, icon, toast } from "./dom.js";
import { labels } from "./evidence.js";
import { exactTime, initials, nameOf, shortTime, tone, withoutMark } from "./format.js";
import { AGAIN_MS, coalesced, released } from "./live.js";

const PAGE = 50;
const TROUBLE = { failed: "Not sent", unknown: "Check sending", bounced: "Bounced" };
const TITLES = { open: "Open", pending: "Pending", closed: "Closed", "": "All tickets" };

export class TicketList {
  /** hooks: {open(id), change(filter), connectHelp()} */
  constructor(hooks) {
    this.hooks = hooks;
    this.items = [];
    this.next = null;
    this.filter = null;
    this.inboxes = null;
    this.opened = null;
    this.rows = h("ul", { class: "rows" });
    this.state = h("div", { class: "list-state", "aria-live": "polite" });
    this.more = h("button", { class: "more", onclick: () => this.loadMore() }, "Show more");
    this.search = h("input", {
      type: "search", placeholder: "Search words, names, #number", "aria-label": "Search tickets", enterkeyhint: "search", maxlength: "300",
    });
    this.search.addEventListener("input", () => this.#searchSoon());
    this.heading = h("h1", {});
    this.unread = h("button", {
      class: "chip", "aria-pressed": "false",
      onclick: () => this.hooks.change({ ...this.filter, unread: this.filter.unread ? "" : "true" }),
    }, "Unread");
    this.inbox = h("select", {
      "aria-label": "Inbox", class: "chip", hidden: true,
      onchange: () => this.hooks.change({ ...this.filter, inbox: this.inbox.value }),
    });
    this.scroller = h("div", { class: "scroller" }, this.rows, this.state, this.more);
    this.element = h("section", { class: "list", "aria-label": "Tickets" },
      h("header", { class: "list-head" },
        h("div", { class: "list-title" }, this.heading, h("div", { class: "filters" }, this.inbox, this.unread)),
        h("label", { class: "search" }, icon("search"), this.search),
        (this.trouble = h("div", { class: "inbox-trouble" })),
      ),
      this.scroller,
    );
    this.refresh = coalesced(() => this.#refresh());
  }

  async show(filter) {
    const same = JSON.stringify(filter) === JSON.stringify(this.filter);
    this.filter = filter;
    this.heading.textContent = TITLES[filter.status];
    if (document.activeElement !== this.search) this.search.value = filter.q;
    this.unread.setAttribute("aria-pressed", String(Boolean(filter.unread)));
    this.inbox.value = filter.inbox;
    if (same) return;
    this.scroller.scrollTop = 0;
    this.items = [];
    this.loaded = false;
    this.#draw();
    await this.refresh();
  }

  async setInboxes(inboxes) {
    this.inboxes = inboxes;
    this.inbox.replaceChildren(h("option", { value: "" }, "All inboxes"),
      ...inboxes.map((inbox) => h("option", { value: String(inbox.id) }, inbox.display_name || inbox.name)));
    this.inbox.value = this.filter?.inbox ?? "";
    this.inbox.hidden = inboxes.length < 2;
    this.trouble.replaceChildren(...inboxes.filter((inbox) => inbox.state === "disconnected").map((inbox) =>
      h("p", { class: "notice bad" }, icon("warn"),
        h("span", {}, h("strong", {}, inbox.email_address), " is disconnected. ", inbox.last_error ?? "",
          " An operator reconnects it with ", h("code", {}, `inboxops inbox reconnect ${inbox.name}`), "."))));
    this.#draw();
  }

  /** Put the mark on the row of the ticket that is open. */
  mark(id) {
    this.opened = id;
    for (const row of this.rows.querySelectorAll("a")) {
      if (Number(row.dataset.id) === id) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  }

  /** Move the focus by `step` rows, from the focused one or from the open one. */
  step(step) {
    const rows = [...this.rows.querySelectorAll("a")];
    const from = rows.findIndex((row) => row === document.activeElement);
    const at = from >= 0 ? from : rows.findIndex((row) => Number(row.dataset.id) === this.opened);
    const row = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
    row?.focus(); // which scrolls it into view
  }

  async loadMore() {
    const asked = this.filter;
    this.more.disabled = true;
    try {
      const page = await get(`/tickets${query({ ...asked, limit: PAGE, cursor: this.next })}`);
      if (asked !== this.filter) return;
      const known = new Set(this.items.map((ticket) => ticket.id));
      this.items.push(...page.items.filter((ticket) => !known.has(ticket.id)));
      this.next = page.next;
      this.#draw();
    } catch (problem) {
      toast(problem.message, "bad");
    } finally {
      this.more.disabled = false;
    }
  }

  async #refresh() {
    const asked = this.filter;
    if (!asked) return;
    let page;
    try {
      page = await get(`/tickets${query({ ...asked, limit: PAGE })}`);
    } catch (problem) {
      if (problem.status === 401) return;
      this.state.replaceChildren(h("p", { class: "notice bad" }, problem.message));
      clearTimeout(this.again);
      this.again = setTimeout(() => this.refresh(), AGAIN_MS);
      return;
    }
    await released();
    if (asked !== this.filter) return this.#refresh();
    // What stands behind the first page stays, also what was in it before: news push the others down.
    const fresh = new Set(page.items.map((ticket) => ticket.id));
    const last = page.items.at(-1);
    const older = page.next === null ? [] : this.items.filter((ticket) => !fresh.has(ticket.id) && ticket.updated_at <= last.updated_at);
    if (!older.length) this.next = page.next;
    this.items = [...page.items, ...older];
    this.loaded = true;
    this.#draw();
  }

  #searchSoon() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.hooks.change({ ...this.filter, q: this.search.value.replace(/\p{Cc}+/gu, " ").trim() }, true), 200);
  }

  #draw() {
    const focused = document.activeElement?.closest?.(".rows a")?.dataset.id;
    this.rows.replaceChildren(...this.items.map((ticket) => h("li", {}, this.#row(ticket))));
    if (focused) this.rows.querySelector(`a[data-id="${focused}"]`)?.focus({ preventScroll: true });
    this.more.hidden = !this.next;
    this.state.replaceChildren(...(this.items.length ? [] : [this.loaded && this.inboxes ? this.#empty() : h("p", { class: "muted pad" }, "Loading …")]));
    this.mark(this.opened);
  }

  #row(ticket) {
    return h("a", {
      href: `/tickets/${ticket.id}`, class: ticket.unread ? "row unread" : "row", "data-id": String(ticket.id),
      onclick: (event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
        event.preventDefault();
        this.hooks.open(ticket.id);
      },
    },
      h("span", { class: `avatar tone-${tone(ticket.requester.address)}`, "aria-hidden": "true" }, initials(ticket.requester)),
      h("span", { class: "row-text" },
        h("span", { class: "row-top" },
          ticket.unread && h("span", { class: "dot", title: "Unread" }, h("span", { class: "hidden" }, "Unread. ")),
          h("span", { class: "who" }, nameOf(ticket.requester)),
          h("time", { datetime: ticket.updated_at, title: exactTime(ticket.updated_at) }, shortTime(ticket.updated_at))),
        h("span", { class: "subject" }, ticket.subject || "(no subject)"),
        h("span", { class: "preview" }, withoutMark(ticket.preview ?? "").replace(/\s+/g, " ") || "\u00a0"),
        h("span", { class: "marks" },
          h("span", { class: "number" }, `#${ticket.ticket_number}`),
          ...labels(ticket),
          ticket.trouble && h("span", { class: "badge bad" }, TROUBLE[ticket.trouble]),
          this.filter.status === "" && ticket.status !== "open" && h("span", { class: `badge ${ticket.status}` }, TITLES[ticket.status]),
          this.inboxes?.length > 1 && h("span", { class: "badge" }, ticket.inbox)),
      ));
  }

  #empty() {
    if (!this.inboxes.length) return this.hooks.connectHelp();
    const { q, unread, inbox, status } = this.filter;
    if (q || unread || inbox) {
      return h("div", { class: "empty" }, h("h2", {}, "Nothing matches"),
        h("p", {}, q ? "Search finds beginnings of words in subjects, names and addresses, and ticket numbers." : "No ticket fits these filters."),
        h("button", { onclick: () => this.hooks.change({ status: "", inbox: "", unread: "", q: "" }) }, "Show all tickets"));
    }
    if (status === "pending" || status === "closed") {
      return h("div", { class: "empty" }, h("h2", {}, `Nothing ${status}`), h("p", {}, "Tickets come here when somebody changes their status."));
    }
    return h("div", { class: "empty" }, icon("check"), h("h2", {}, "All done"),
      h("p", {}, `Mail to ${this.inboxes.map((each) => each.email_address).join(", ")} appears here by itself.`));
  }
}

export function connectHelp() {
  return h("div", { class: "empty" }, icon("inbox"), h("h2", {}, "Connect an inbox"),
    h("p", {}, "No mailbox is connected yet. Where InboxOps runs, an operator types:"),
    h("pre", { tabindex: "0" }, "inboxops inbox add \\\n  support@example.com \\\n  --host imap.example.com \\\n  --tenant NAME"),
    h("p", {}, "It asks for the password, logs in, and takes in the mail of the last 7 days. Gmail and Microsoft 365 are connected with ",
      h("code", {}, "inboxops inbox connect gmail --tenant NAME"), " (or ", h("code", {}, "microsoft"), "); an admin’s key may also use ", h("a", { href: "/openapi.json" }, "the API"), "."),
    h("p", { class: "muted" }, "Tickets appear here as soon as mail arrives; there is nothing to reload."));
}
