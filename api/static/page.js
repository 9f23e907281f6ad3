// The tickets page: who is in, what the address shows, what the keys do, and what changes by itself.

import { call, get, session } from "./api.js";
import { Aside } from "./aside.js";
import { Certificates } from "./certificates.js";
import { h, icon, toast } from "./dom.js";
import { TicketList, connectHelp } from "./list.js";
import { AGAIN_MS, Live } from "./live.js";
import { followLink, logIn } from "./login.js";
import * as route from "./route.js";
import { Thread } from "./thread.js";

const root = document.querySelector("#page");
const VIEWS = [["open", "Open", "inbox"], ["pending", "Pending", "clock"], ["closed", "Closed", "check"], ["", "All", "stack"]];
const KEYS = [
  ["j, k", "Next, previous ticket"], ["Enter", "Open it"], ["u", "Back to the list"], ["r", "Reply"], ["Ctrl + Enter", "Send the reply"],
  ["e", "Close the ticket, or open it again"], ["/", "Search"], ["?", "These keys"],
];
const THEMES = ["system", "light", "dark"];

function applyTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
applyTheme(localStorage.getItem("theme") ?? "system");

async function begin() {
  let said = "";
  const tried = async (ask) => {
    try {
      return await ask();
    } catch (problem) {
      said ||= problem.message;
      return null;
    }
  };
  const isNew = location.pathname !== "/login";
  let who = (await tried(followLink)) ?? (await tried(() => get("/session")));
  who ??= await logIn(root, isNew && said.startsWith("Send a key") ? "" : said);
  new Page(who).start();
}

class Page {
  constructor(who) {
    this.who = who;
    this.live = new Live();
    this.list = new TicketList({
      open: (id) => this.go({ ticket: id, filter: this.at.filter }),
      change: (filter, replace) => this.go({ ticket: this.at.ticket, filter }, replace),
      connectHelp,
    });
    this.thread = new Thread({ back: () => this.go({ filter: this.at.filter }), changed: () => this.list.refresh() });
    this.aside = new Aside({ back: () => this.go({ filter: this.at.filter }) });
    this.certificates = new Certificates({ back: () => this.go({ filter: this.at.filter }) });
  }

  async start() {
    this.state = h("span", { class: "live away", role: "status" });
    this.views = VIEWS.map(([status, label, shape]) => this.#view({ filter: { status, inbox: "", unread: "", q: "" } }, label, shape, `status:${status}`));
    this.asides = Object.entries(route.ASIDE).map(([name, { title, icon: shape }]) => this.#view({ aside: name, filter: { status: "open" } }, title, shape, `aside:${name}`));
    this.proofs = this.who.role === "admin" ? [this.#view({ certificates: true }, "Certificates", "check", "certificates")] : [];
    const rail = h("nav", { class: "rail", "aria-label": "Views" },
      h("p", { class: "brand" }, h("img", { src: "/static/icon.svg", alt: "", width: "26", height: "26" }), h("span", {}, this.who.tenant)),
      h("ul", {}, this.views), h("p", { class: "rail-title" }, "Set aside"), h("ul", {}, this.asides),
      this.proofs.length ? [h("p", { class: "rail-title" }, "Accounts"), h("ul", {}, this.proofs)] : [],
      h("div", { class: "rail-foot" }, this.state,
        h("div", { class: "rail-buttons" }, this.#themeButton(),
          h("button", { class: "quiet", "aria-label": "Keyboard shortcuts", title: "Keyboard shortcuts", onclick: () => this.#showKeys() }, icon("keys")),
          h("button", { class: "quiet", "aria-label": `Log out ${this.who.name}`, title: "Log out", onclick: () => this.#leave() }, icon("leave"))),
        h("span", { class: "muted who-am-i" }, this.who.name)));
    this.shell = h("div", { class: "shell" }, rail, this.list.element, this.thread.element, this.aside.element, this.certificates.element);
    root.replaceChildren(this.shell);
    addEventListener("popstate", () => this.#show());
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.thread.refresh());
    session.addEventListener("ended", () => location.reload(), { once: true });
    this.live.addEventListener("state", ({ detail }) => {
      this.state.textContent = detail === "live" ? "Live" : "Connecting …";
      this.state.className = `live ${detail}`;
    });
    this.live.addEventListener("reset", () => this.#refresh());
    this.live.addEventListener("event", ({ detail }) => this.#heard(detail));
    this.live.open();
    await Promise.all([this.#show(), this.#loadInboxes()]);
  }

  go(to, replace = false) {
    const address = route.address(to);
    if (address !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](null, "", address);
    this.#show();
  }

  async #show() {
    this.at = route.read();
    const { ticket, aside, certificates, filter } = this.at;
    this.shell.dataset.pane = certificates ? "certificates" : aside ? "aside" : ticket ? "thread" : "list";
    const current = certificates ? "certificates" : aside ? `aside:${aside}` : `status:${filter.status}`;
    for (const item of [...this.views, ...this.asides, ...this.proofs]) {
      const link = item.firstChild;
      if (link.dataset.view === current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (certificates) {
      document.title = "Certificates · InboxOps";
      return this.certificates.show();
    }
    if (aside) {
      document.title = `${route.ASIDE[aside].title} · InboxOps`;
      return this.aside.show(aside);
    }
    this.list.mark(ticket);
    if (ticket) this.thread.show(ticket);
    else {
      this.thread.showNothing();
      document.title = "Tickets · InboxOps";
    }
    await this.list.show(filter);
  }

  #heard(event) {
    if (event.name.startsWith("inbox.")) return this.#loadInboxes();
    this.list.refresh();
    if (event.ticket_id === this.thread.id) this.thread.refresh();
  }

  #refresh() {
    this.list.refresh();
    this.thread.refresh();
    this.#loadInboxes();
  }

  async #loadInboxes() {
    clearTimeout(this.again);
    try {
      const { items } = await get("/inboxes?limit=200");
      await this.list.setInboxes(items);
    } catch (problem) {
      if (problem.status !== 401) this.again = setTimeout(() => this.#loadInboxes(), AGAIN_MS);
    }
  }

  #view(to, label, shape, name) {
    return h("li", {}, h("a", {
      href: route.address(to), "data-view": name,
      onclick: (event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        this.go(to);
      },
    }, icon(shape), h("span", {}, label)));
  }

  #themeButton() {
    const button = h("button", {
      class: "quiet",
      onclick: () => {
        const next = THEMES[(THEMES.indexOf(localStorage.getItem("theme") ?? "system") + 1) % THEMES.length];
        localStorage.setItem("theme", next);
        applyTheme(next);
        label(next);
      },
    }, icon("moon"));
    const label = (theme) => {
      button.setAttribute("aria-label", `Colours: ${theme}`);
      button.title = `Colours: ${theme}`;
    };
    label(localStorage.getItem("theme") ?? "system");
    return button;
  }

  #showKeys() {
    const dialog = h("dialog", { class: "keys", "aria-labelledby": "keys-title", onclose: () => dialog.remove() },
      h("h2", { id: "keys-title" }, "Keys"),
      h("dl", {}, KEYS.map(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])),
      h("form", { method: "dialog" }, h("button", { class: "primary" }, "Close")));
    document.body.append(dialog);
    dialog.showModal();
  }

  async #leave() {
    try {
      await call("DELETE", "/session");
    } catch (problem) {
      if (problem.status !== 401) return toast(`You are still logged in. ${problem.message}`, "bad");
    }
    this.live.close();
    location.assign("/");
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest?.("input, textarea, select, dialog")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const done = {
      j: () => this.list.step(1),
      k: () => this.list.step(-1),
      u: () => this.go({ filter: this.at.filter }),
      r: () => this.thread.reply(),
      e: () => this.thread.setStatus(this.thread.ticket?.status === "closed" ? "open" : "closed"),
      "/": () => this.list.search.focus(),
      "?": () => this.#showKeys(),
    }[event.key];
    if (!done) return;
    event.preventDefault();
    done();
  }
}

begin();
